"""The model card beside a self-supervised encoder."""

from __future__ import annotations

from pathlib import Path

from quaclrs.evaluation.run_metrics import KNN, LINEAR, RANDOM_KNN, RANDOM_LINEAR, RunMetrics
from quaclrs.models import find_backbone

from ..runs.card import CardContext, evaluation_result, figure_table, fill_card, without_local_paths
from ..runs.options import command_line
from .config import SSLConfig

_ROWS = {
    LINEAR: "linear probe",
    KNN: "k-NN",
    RANDOM_LINEAR: "control: the encoder before training, linear probe",
    RANDOM_KNN: "control: the encoder before training, k-NN",
}


def write_encoder_card(
    folder: Path, config: SSLConfig, metrics: RunMetrics, context: CardContext | None = None
) -> None:
    """Write README.md into an encoder's folder; arguments as for `write_model_card`."""
    controls = metrics.controls
    figures = {label: metrics.of(name)["accuracy"] for name, label in _ROWS.items()}
    figures |= {f"control: {name}": control["accuracy"] for name, control in controls.items() if "encoder" not in name}
    results = [
        evaluation_result(
            f"fold{config.test_fold}", "accuracy", f"Accuracy, {_ROWS[name]}", metrics.of(name)["accuracy"]
        )
        for name in (LINEAR, KNN)
    ]
    tags = ["audio", "urban-sound", "self-supervised", config.method, "quaclrs"]
    spec = find_backbone(config.backbone)
    plain = f"`timm_backbone.safetensors` is the backbone alone, for timm's `{spec.timm_name.split('.')[0]}`."
    fields = {
        "figures": figure_table("accuracy", figures),
        "command": training_command(config),
        "labels_used": "with the labels of some clips" if config.supervised_weight else "without labels",
        "plain_backbone": "" if config.backbone == "alexnet" else f"{plain}\n\n",
    }
    context = context or CardContext()
    fill_card(
        folder, config, "encoder_template.md", "feature-extraction", tags, fields, metrics.to_dict(), results, context
    )


def training_command(config: SSLConfig) -> str:
    """The command that repeats a run."""
    return command_line(f"accelerate launch -m {config.module}", without_local_paths(config))
