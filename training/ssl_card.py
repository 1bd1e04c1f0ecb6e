"""The model card beside a self-supervised encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .options import command_line
from .ssl_config import SSLConfig

_TEMPLATE = Path(__file__).parents[1] / "model_cards" / "encoder_template.md"

_ROWS = {
    "linear": "linear probe",
    "knn": "k-NN",
    "random_linear": "control: the encoder before training, linear probe",
    "random_knn": "control: the encoder before training, k-NN",
}


def write_encoder_card(folder: Path, config: SSLConfig, metrics: dict[str, Any]) -> None:
    """Write README.md into an encoder's folder from its run's options and the contents of `metrics.json`."""
    synthetic = metrics["synthetic"]
    tags = ["audio", "urban-sound", "self-supervised", config.method, "quaclrs"]
    header = {
        "library_name": "transformers",
        "pipeline_tag": "feature-extraction",
        "license": "apache-2.0" if synthetic else "cc-by-nc-4.0",
        "tags": tags + (["synthetic"] if synthetic else []),
    }
    evaluations, controls = metrics["evaluations"], metrics["controls"]
    figures = {label: evaluations[name]["accuracy"] for name, label in _ROWS.items()}
    figures |= {f"control: {name}": control["accuracy"] for name, control in controls.items() if "encoder" not in name}
    fields = {
        **{name: str(value) for name, value in metrics.items()},
        "notice": "".join(f"> **Note.** {warning}.\n\n" for warning in metrics["warnings"]),
        "figures": "\n".join(f"| {label} | {accuracy:.1%} |" for label, accuracy in figures.items()),
        "command": training_command(config),
        "licence_text": "Apache-2.0; trained on synthesised clips only."
        if synthetic
        else "Non-commercial: the weights were learned from recordings under CC BY-NC 3.0 (UrbanSound8K).",
    }
    text = _TEMPLATE.read_text(encoding="utf-8")
    for name, value in fields.items():
        text = text.replace("{{ " + name + " }}", value)
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n{text}", encoding="utf-8")


def training_command(config: SSLConfig) -> str:
    """The command that repeats a run."""
    return command_line("accelerate launch -m training.train_ssl", config)
