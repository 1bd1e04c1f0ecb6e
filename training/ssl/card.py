"""The model card beside a self-supervised encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quaclrs.models import find_backbone

from ..runs.options import command_line
from ..supervised.card import (
    CardContext,
    evaluation_result,
    figure_rows,
    fill_card,
    without_local_paths,
)
from .config import SSLConfig

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
    spec = find_backbone(config.backbone)
    plain = f"`timm_backbone.safetensors` is the backbone alone, for timm's `{spec.timm_name.split('.')[0]}`."
    fields = {
        "figures": figure_rows(figures),
        "command": training_command(config),
        "labels_used": "with the labels of some clips" if config.supervised_weight else "without labels",
        "plain_backbone": "" if config.backbone == "alexnet" else f"{plain}\n\n",
    }
    fill_card(
        folder, "encoder_template.md", "feature-extraction", tags, fields, metrics, results, context or CardContext()
    )


def training_command(config: SSLConfig) -> str:
    """The command that repeats a run."""
    return command_line("accelerate launch -m training.train_ssl", without_local_paths(config))
