"""The model card beside a self-supervised encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .model_card import CardContext, evaluation_result, figure_rows, fill_card
from .options import command_line
from .ssl_config import SSLConfig

_ROWS = {
    "linear": "linear probe",
    "knn": "k-NN",
    "random_linear": "control: the encoder before training, linear probe",
    "random_knn": "control: the encoder before training, k-NN",
}


def write_encoder_card(
    folder: Path, config: SSLConfig, metrics: dict[str, Any], context: CardContext | None = None
) -> None:
    """Write README.md into an encoder's folder; arguments as for `write_model_card`."""
    evaluations, controls = metrics["evaluations"], metrics["controls"]
    figures = {label: evaluations[name]["accuracy"] for name, label in _ROWS.items()}
    figures |= {f"control: {name}": control["accuracy"] for name, control in controls.items() if "encoder" not in name}
    results = [
        evaluation_result(
            f"fold{config.test_fold}", "accuracy", f"Accuracy, {_ROWS[name]}", evaluations[name]["accuracy"]
        )
        for name in ("linear", "knn")
    ]
    tags = ["audio", "urban-sound", "self-supervised", config.method, "quaclrs"]
    fields = {"figures": figure_rows(figures), "command": training_command(config)}
    fill_card(
        folder, "encoder_template.md", "feature-extraction", tags, fields, metrics, results, context or CardContext()
    )


def training_command(config: SSLConfig) -> str:
    """The command that repeats a run."""
    return command_line("accelerate launch -m training.train_ssl", config)
