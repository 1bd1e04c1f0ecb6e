"""The card of an export tells how to run it, and leaves what the model is worth to the model's own card beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from quaclrs.default_model import DEFAULT_MODEL
from quaclrs.inference.export_card import MODEL_CARD, export_card
from quaclrs.models import LogMelConfig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("model.onnx", "classifier.onnx", "config.json", "LICENSE"):
        (tmp_path / name).write_text("")
    return tmp_path


def card_of(folder: Path) -> str:
    return export_card(["kettle", "bell"], LogMelConfig(), folder)


def test_it_tells_at_its_top_how_the_export_is_run_and_names_the_files_that_are_there(folder):
    (folder / "classifier.onnx").unlink()
    shutil.copy(DEFAULT_MODEL / "README.md", folder / MODEL_CARD)
    card = card_of(folder)
    matter = ModelCard(card).data.to_dict()
    assert (matter["library_name"], "onnx" in matter["tags"], "pipeline_tag" in matter) == ("onnx", True, False)
    assert matter["license"] == "cc-by-nc-4.0"
    assert ModelCard(card).data.eval_results == ModelCard.load(DEFAULT_MODEL / "README.md").data.eval_results
    assert "pip install numpy onnxruntime soundfile soxr\npython predict.py clip.wav\n" in card and "`kettle`" in card
    assert f"- `{MODEL_CARD}`: " in card and "- `LICENSE`: " in card
    for absent in ("classifier.onnx", "report.html", "load_classifier", "pipeline("):
        assert absent not in card


@pytest.mark.parametrize("text", ["---\nlicense: [\n---\n# Theirs\n", "# Theirs\n", "---\n- a\n---\n", ""])
def test_front_matter_that_cannot_be_read_is_left_out(text, folder):
    (folder / MODEL_CARD).write_text(text)
    assert set(ModelCard(card_of(folder)).data.to_dict()) == {"library_name", "tags"}


def test_without_a_card_the_worth_of_a_model_is_called_unknown(folder):
    assert card_of(folder).endswith("The model has no card, so what it is worth is unknown here.\n")
