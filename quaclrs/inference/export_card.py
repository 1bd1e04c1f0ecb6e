"""The card of an export: what the folder is and how to run it. The model's own card lies beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..models import LogMelConfig

CARD, MODEL_CARD = "README.md", "MODEL_CARD.md"

#: Entries of a model's front matter that hold for its export too; how it is loaded does not.
_KEPT = ("license", "license_name", "license_link", "language", "datasets", "base_model", "metrics", "model-index")

#: Files of an export, as its card names them.
_FILES = {
    "classifier.onnx": "log-mels to logits",
    "config.json": "class names and front end",
    "LICENSE": "the model's, which holds for its export",
    MODEL_CARD: "what the model is worth, and what it has heard; commands there are for the model itself",
}


def export_card(labels: Sequence[str], log_mel: LogMelConfig, folder: Path) -> str:
    """Write the text of an export's `README.md`.

    Args:
        labels: class names.
        log_mel: the front end of the graph.
        folder: of the export, with all its other files.
    """
    front = _front_matter(folder / MODEL_CARD)
    kept = {name: front[name] for name in _KEPT if name in front}
    matter = {"library_name": "onnx", **kept, "tags": ["audio-classification", "onnx", "quaclrs"]}
    lines = [
        "---",
        yaml.safe_dump(matter, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        "# A classifier of sounds for ONNX Runtime",
        "",
        "A graph, and a script that runs it. It needs neither PyTorch nor QUACLRS:",
        "",
        "```bash",
        "pip install numpy onnxruntime soundfile soxr",
        "python predict.py clip.wav",
        "```",
        "",
        f"It names {', '.join(f'`{label}`' for label in labels)}. Where QUACLRS is installed, `--model` of "
        "`quaclrs predict` takes this folder too.",
        "",
        f"- `model.onnx`: waveforms (batch, {log_mel.n_samples}) at {log_mel.sampling_rate} Hz to probabilities",
        *(f"- `{name}`: {told}" for name, told in _FILES.items() if (folder / name).is_file()),
    ]
    if not (folder / MODEL_CARD).is_file():
        lines += ["", "The model has no card, so what it is worth is unknown here."]
    return "\n".join(lines) + "\n"


def _front_matter(card: Path) -> dict[str, Any]:
    """The front matter of a card; empty where there is none that can be read."""
    from huggingface_hub import ModelCard

    try:
        return ModelCard(card.read_text(encoding="utf-8", errors="replace")).data.to_dict()
    except Exception:  # no card, or somebody else's idea of one
        return {}
