"""The model card beside a classifier's weights, filled in from its run."""

from __future__ import annotations

import shutil
from pathlib import Path

from quaclrs.evaluation.run_metrics import RunMetrics

from ..runs.card import CardContext, class_table, evaluation_result, figure_table, fill_card, without_local_paths
from ..runs.options import command_line
from .config import SupervisedConfig

_PICTURE = "confusion_matrix.png"

_FIGURES = {
    "accuracy": "accuracy",
    "macro F1": "macro_f1",
    "accuracy, UrbanSound8K's classes": "accuracy_urbansound8k",
    "accuracy, new classes": "accuracy_sirennet",
}

#: The Hub's names of what it shows beside a model: type of metric -> entry of `metrics.json`.
_METRICS = {"accuracy": ("Accuracy", "accuracy"), "f1": ("Macro F1", "macro_f1")}


def write_model_card(
    folder: Path, config: SupervisedConfig, metrics: RunMetrics, context: CardContext | None = None
) -> None:
    """Write README.md, with the picture that it shows, into a classifier's folder.

    Args:
        folder: of the weights.
        config: of the run.
        metrics: of the run.
        context: what else is known.
    """
    context = context or CardContext()
    found, per_class = metrics.figures, metrics.figures["per_class"]
    fields = {
        "title": f"QUACLRS {config.backbone}, {config.mode}, tested on fold {config.test_fold}",
        "num_classes": str(len(per_class)),
        "class_list": ", ".join(per_class),
        "initial_weights": f"{metrics.initial_weights}, {config.mode}",
        "training": _describe_training(config, metrics),
        "figures": figure_table(
            f"test fold {config.test_fold}",
            {name: found[key] for name, key in _FIGURES.items()}
            | {f"control: {name}: accuracy": figures["accuracy"] for name, figures in metrics.controls.items()},
        ),
        "per_class": class_table(per_class, {"support": "clips"}),
        "confusion_matrix": _confusion_matrix(folder, context),
        "command": training_command(config),
    }
    tested = f"fold{config.test_fold}"
    results = [evaluation_result(tested, kind, name, found[key]) for kind, (name, key) in _METRICS.items()]
    tags = ["audio-classification", "urban-sound", "quaclrs"]
    fill_card(folder, config, "template.md", "audio-classification", tags, fields, metrics.to_dict(), results, context)


def training_command(config: SupervisedConfig) -> str:
    """The command that repeats a run."""
    return command_line(f"accelerate launch -m {config.module}", without_local_paths(config))


def _describe_training(config: SupervisedConfig, metrics: RunMetrics) -> str:
    clips, epochs = f"trained on {metrics.clips_train} clips", metrics.epochs
    fold = f"fold {metrics.validation_fold} ({metrics.clips_validation} clips)"
    if config.keep_epoch == "best":
        return f"{clips}, the best of {epochs} epochs chosen on {fold}"
    watched = f"{clips} for {epochs} epochs, {'offsets by' if config.class_offsets else 'watched on'} {fold}"
    if metrics.clips_refit is None:
        return watched
    return f"{watched}, then from the start on {metrics.clips_refit} clips, with those of that fold"


def _confusion_matrix(folder: Path, context: CardContext) -> str:
    picture = context.run / "plots" / _PICTURE if context.run else None
    if picture is None or not picture.is_file():
        return ""
    shutil.copyfile(picture, folder / _PICTURE)
    return f"![Confusion matrix of the test fold]({_PICTURE})\n\n"
