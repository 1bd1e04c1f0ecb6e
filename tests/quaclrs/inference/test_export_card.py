"""The card of an export tells how to run it, and what the model's own card says of its worth."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from quaclrs.default_model import DEFAULT_MODEL
from quaclrs.inference.export_card import export_card
from quaclrs.models import LogMelConfig

FILES = {"model.onnx", "classifier.onnx", "config.json", "predict.py", "LICENSE"}

LEARNED = """---
library_name: transformers
pipeline_tag: audio-classification
license: cc-by-nc-4.0
tags: [audio-classification, few-shot, quaclrs]
---

# 2 sounds, learned from 24 labelled clips

Names `kettle`, `bell`. The encoder is that of yamnet, which was not changed.

```bash
quaclrs predict clip.wav --model THIS_FOLDER
```

## What it is worth

Accuracy 83.5%. [The page](report.html) has more.

| class  | recall |
| ------ | -----: |
| kettle |  83.5% |

Other places may be harder. `report.html` has the confusion matrix.

## Licence

See LICENSE.
"""

RUN = """# A run

Classifies urban sound into 2 classes: kettle, bell.

```python
classifier = pipeline("audio-classification", model="a/b")
```

or, from files and without FFmpeg, `quaclrs predict clip.wav --model a/b`.

## Evaluation

Accuracy 62.0%.

![Confusion matrix](confusion_matrix.png)

## How it was trained

```
# one line
python -m training.train_supervised
```

Python 3.11. `config.yaml` and `metrics.json` of the run hold the rest.
"""


def card_of(model_card: str | None) -> str:
    return export_card(["kettle", "bell"], LogMelConfig(), FILES, model_card)


@pytest.mark.parametrize("model_card", [LEARNED, RUN, (DEFAULT_MODEL / "README.md").read_text(), None])
def test_a_card_tells_at_its_top_how_the_export_is_run_and_promises_nothing_that_is_not_there(model_card):
    card = card_of(model_card)
    matter = ModelCard(card).data.to_dict()
    assert (matter["library_name"], "onnx" in matter["tags"], "pipeline_tag" in matter) == ("onnx", True, False)
    top = card[: card.find("\n## ")]
    assert "pip install numpy onnxruntime soundfile soxr\npython predict.py clip.wav\n" in top and "`kettle`" in top
    for absent in ("report.html", "confusion_matrix.png", "config.yaml", "load_classifier", "pipeline(", "THIS_FOLDER"):
        assert absent not in card


def test_a_card_keeps_the_licence_and_what_the_model_is_worth():
    card = card_of(LEARNED)
    assert ModelCard(card).data.license == "cc-by-nc-4.0"
    assert "\n## 2 sounds, learned from 24 labelled clips\n" in card and "\n### What it is worth\n" in card
    assert "\nAccuracy 83.5%.\n" in card  # without the sentence on a page that is not there
    assert "Other places may be harder.\n" in card and "| kettle |  83.5% |" in card and "yamnet" in card
    assert ModelCard(card_of((DEFAULT_MODEL / "README.md").read_text())).data.eval_results[0].metric_value == 0.74926


def test_a_card_keeps_how_the_model_was_trained_as_it_is():
    assert "```\n# one line\npython -m training.train_supervised\n```\n\nPython 3.11.\n" in card_of(RUN)


def test_the_answer_other_is_not_counted_among_the_sounds():
    card = export_card(["kettle", "other"], LogMelConfig(), FILES, None)
    assert "# 1 sound, named by ONNX Runtime\n" in card and "It names `kettle`, or answers `other`." in card


def test_without_a_card_the_worth_of_a_model_is_called_unknown():
    assert card_of(None).endswith("The model has no card, so what it is worth is unknown here.\n")


def test_front_matter_that_cannot_be_read_is_left_out():
    card = card_of("---\nlicense: [\n---\n# Theirs\n\nGood.\n")
    assert "## Theirs\n\nGood.\n" in card and "license" not in card.split("---")[1]
