"""The card of an export: what the folder is and how to run it, then the model's own card."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import yaml

from ..labels import OTHER
from ..models import LogMelConfig
from ..text_files import parse_yaml

#: Entries of a model's front matter that hold for its export too; how it is loaded does not.
_KEPT = (
    *("license", "license_name", "license_link", "language", "datasets", "base_model"),
    *("metrics", "tags", "model-index"),
)

_FENCE = ("```", "~~~")
_SENTENCE_END = re.compile(r"(?<=[.:]) (?=[A-Z`[!])")
_FILE = re.compile(r"`([\w-]+\.(?:csv|html|json|npz|onnx|png|py|safetensors|yaml))`")
_LINK = re.compile(r"\[[^]]*]\((?!\w+://|#)([^)\s]+)\)")  # to a file, of a picture too


def export_card(labels: Sequence[str], log_mel: LogMelConfig, files: Collection[str], model_card: str | None) -> str:
    """Write the text of an export's `README.md`.

    Args:
        labels: class names.
        log_mel: the front end of the graph.
        files: names of what lies in the export.
        model_card: text of the model's own card; None where it has none.
    """
    front, body = _parts_of(model_card or "")
    tags = front.get("tags")
    named = [label for label in labels if label != OTHER]
    matter = {
        "library_name": "onnx",
        **{name: front[name] for name in _KEPT if name in front},
        "tags": list(dict.fromkeys([*(tags if isinstance(tags, list) else ["audio-classification"]), "onnx"])),
    }
    lines = [
        "---",
        yaml.safe_dump(matter, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        f"# {len(named)} sound{'s' * (len(named) != 1)}, named by ONNX Runtime",
        "",
        "A classifier as an ONNX graph, and a script that runs it. It needs neither PyTorch nor QUACLRS:",
        "",
        "```bash",
        "pip install numpy onnxruntime soundfile soxr",
        "python predict.py clip.wav",
        "```",
        "",
        f"It names {', '.join(f'`{label}`' for label in named)}"
        + (f", or answers `{OTHER}`" if OTHER in labels else "")
        + ". Where QUACLRS is installed, `--model` of "
        "`quaclrs predict` takes this folder too.",
        "",
        f"- `model.onnx`: waveforms (batch, {log_mel.n_samples}) at {log_mel.sampling_rate} Hz to probabilities",
        *(["- `classifier.onnx`: log-mels to logits"] if "classifier.onnx" in files else []),
        "- `config.json`: class names and front end",
        *(["- `LICENSE`: the model's, which holds for its export"] if "LICENSE" in files else []),
        "",
        _of_model(body, files) if body else "The model has no card, so what it is worth is unknown here.",
    ]
    return "\n".join(lines) + "\n"


def _parts_of(card: str) -> tuple[dict[str, Any], str]:
    """The front matter, empty where there is none that can be read, and the rest."""
    if not (found := re.match(r"---\s*\n(.*?\n)?---\s*(?:\n|$)", card, re.DOTALL)):
        return {}, card.strip()
    try:
        front = parse_yaml(found[1] or "")
    except ValueError:  # somebody else's idea of one
        front = None
    return front if isinstance(front, dict) else {}, card[found.end() :].strip()


def _of_model(body: str, files: Collection[str]) -> str:
    """A model's card one level down, without how the model itself is run, and without files that do not lie here."""
    kept: list[str] = []
    fenced, introduction = False, True
    for line in body.splitlines():
        if line.startswith(_FENCE):
            fenced = not fenced
        elif not fenced:
            introduction = introduction and not line.startswith("## ")
            line = _told(line, files, introduction)
            line = f"#{line}" if line.startswith("#") else line
        elif introduction:
            continue
        if not (introduction and line.startswith(_FENCE)) and (fenced or line or (kept and kept[-1])):
            kept.append(line)
    return "\n".join(kept).rstrip()


def _told(line: str, files: Collection[str], introduction: bool) -> str:
    """A line without sentences that name files which do not lie here, and, in the introduction, commands to run."""
    if line.startswith("|"):
        return line
    sentences = [
        sentence
        for sentence in _SENTENCE_END.split(line)
        if not any(name not in files for name in (*_FILE.findall(sentence), *_LINK.findall(sentence)))
        and not (introduction and ("quaclrs predict" in sentence or sentence.endswith(":")))
    ]
    return " ".join(sentences).rstrip()
