"""The model card beside a self-supervised encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .model_card import fill_card
from .options import command_line
from .ssl_config import SSLConfig

_ROWS = {
    "linear": "linear probe",
    "knn": "k-NN",
    "random_linear": "control: the encoder before training, linear probe",
    "random_knn": "control: the encoder before training, k-NN",
}


def write_encoder_card(folder: Path, config: SSLConfig, metrics: dict[str, Any]) -> None:
    """Write README.md into an encoder's folder from its run's options and the contents of `metrics.json`."""
    evaluations, controls = metrics["evaluations"], metrics["controls"]
    figures = {label: evaluations[name]["accuracy"] for name, label in _ROWS.items()}
    figures |= {f"control: {name}": control["accuracy"] for name, control in controls.items() if "encoder" not in name}
    fields = {
        "figures": "\n".join(f"| {label} | {accuracy:.1%} |" for label, accuracy in figures.items()),
        "command": training_command(config),
    }
    tags = ["audio", "urban-sound", "self-supervised", config.method, "quaclrs"]
    fill_card(folder, "encoder_template.md", "feature-extraction", tags, fields, metrics)


def training_command(config: SSLConfig) -> str:
    """The command that repeats a run."""
    return command_line("accelerate launch -m training.train_ssl", config)
