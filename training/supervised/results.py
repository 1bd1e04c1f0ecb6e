"""The test of a run: figures of the held-out fold, controls against shortcuts, and what is written of them."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from quaclrs.data import SYNTHETIC_WARNING
from quaclrs.evaluation.figures.plots import confusion_matrix_figure, save_figure, training_curves_figure
from quaclrs.evaluation.metrics import STANDARD_SOURCES, classification_metrics
from quaclrs.evaluation.result_files import write_predictions
from quaclrs.evaluation.shortcuts import shortcut_features, shortcut_probabilities
from quaclrs.folds import PAPER_PROTOCOL_WARNING, fold_column
from quaclrs.models import QuaclrsFeatureExtractor, QuaclrsForAudioClassification

from ..clips.splits import Split, Splits
from ..runs.config import TrainingConfig
from ..runs.folder import RunFolder
from .card import CardContext, write_model_card
from .config import SupervisedConfig

#: Rows of `metrics.json` and of every summary beside the model's own figures.
SHORTCUT_CONTROL = "duration, channels and sampling rate alone"
CUT_CONTROL = "the model on clips cut to a random 1 to 2.9 s"

#: What a network takes of a batch.
_INPUTS = ("input_values", "input_features", "embeddings")


def inputs_of(batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """What a batch holds for the network, by the names of its arguments."""
    return {name: batch[name] for name in _INPUTS if name in batch}


@torch.no_grad()
def predict(accelerator: Accelerator, model: nn.Module, loader: DataLoader) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels (clips,) and float32 logits (clips, classes) of every clip in the loader's order, gathered on the CPU."""
    model.eval()
    labels, logits = [], []
    for batch in loader:
        with accelerator.autocast():
            output = model(**inputs_of(batch)).logits
        # `gather_for_metrics` drops the clips that fill up the last batch when processes share it unevenly.
        batch_labels, batch_logits = accelerator.gather_for_metrics((batch["labels"], output.float()))
        labels.append(batch_labels.cpu())
        logits.append(batch_logits.cpu())
    return torch.cat(labels), torch.cat(logits)


def probabilities_of(accelerator: Accelerator, model: nn.Module, split: Split, loader: DataLoader) -> np.ndarray:
    """Class probabilities (clips, classes), float64, of a split's clips in the order of its rows."""
    labels, logits = predict(accelerator, model, loader)
    if not torch.equal(labels, torch.as_tensor(split.labels)):
        raise RuntimeError("clips came back in another order than they were read in")
    return logits.double().softmax(-1).numpy()


def figures(split: Split, probabilities: np.ndarray, names: list[str]) -> dict[str, Any]:
    """`classification_metrics` of a split's clips, by class and by source."""
    return classification_metrics(split.labels, probabilities, names, split.rows["source"][:])


def control_figures(split: Split, probabilities: np.ndarray, names: list[str]) -> dict[str, float | None]:
    """The few figures that a control is compared by."""
    return few_of(figures(split, probabilities, names))


def few_of(found: dict[str, Any]) -> dict[str, float | None]:
    """Those of all figures that a control is compared by."""
    wanted = ["accuracy", "balanced_accuracy", "macro_f1", *(f"accuracy_{source}" for source in STANDARD_SOURCES)]
    return {name: found[name] for name in wanted}


def shortcut_control(splits: Splits, seed: int) -> dict[str, float | None]:
    """How far length, channels and rate of the original files reach: a classifier that hears nothing.

    All siren clips last exactly 3 s, so it is the least that a network's figure on the new classes must be seen beside.
    """
    train, test = (shortcut_features(split.rows, range(len(split))) for split in (splits.train, splits.test))
    probabilities = shortcut_probabilities(train, splits.train.labels, test, len(splits.class_names), seed)
    return control_figures(splits.test, probabilities, splits.class_names)


def data_warnings(config: TrainingConfig, splits: Splits) -> list[str]:
    """What makes every figure on these clips optimistic or meaningless."""
    warnings = [PAPER_PROTOCOL_WARNING] if config.protocol == "paper" else []
    return [*warnings, SYNTHETIC_WARNING] if splits.synthetic else warnings


def describe_run(
    config: SupervisedConfig, splits: Splits, history: list[dict[str, Any]], accelerator: Accelerator
) -> dict[str, Any]:
    """What a figure must not be read without: protocol, folds, sizes, model, and what makes it optimistic."""
    best = best_epoch(history)
    seconds = sum(row["train_seconds"] for row in history)
    return {
        "protocol": config.protocol,
        "test_fold": splits.plan.test_fold,
        "validation_fold": splits.plan.validation_fold,
        "complete_folds": list(splits.plan.complete_folds),
        "clips_train": len(splits.train),
        "clips_validation": len(splits.validation),
        "synthetic": splits.synthetic,
        "warnings": data_warnings(config, splits),
        "backbone": config.backbone,
        "mode": config.mode,
        "initial_weights": describe_initial_weights(config),
        "image_size": config.image_size,
        "duration": config.duration,
        "pad_mode": config.pad_mode,
        "augment": "none" if config.augment_on == "none" else config.augment,
        "epochs": len(history),
        "best_epoch": best,
        "validation_accuracy": history[best - 1]["validation_accuracy"],
        "seed": config.seed,
        "num_processes": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
        "device": accelerator.device.type,
        "train_seconds": seconds,
        "train_clips_per_second": len(history) * len(splits.train) / seconds,
        "peak_memory_bytes": peak_memory(accelerator),
    }


def describe_initial_weights(config: SupervisedConfig) -> str:
    """`random init`, `pretrained` or `init from RUN`: what the network began with, whatever the mode is called."""
    if config.init_from:
        return f"init from {config.init_from}"
    return "random init" if config.initial_weights == "random" else "pretrained"


def best_epoch(history: list[dict[str, Any]]) -> int:
    """The epoch of the highest validation accuracy; of several, the one of the lowest validation loss."""
    return max(history, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))["epoch"]


def peak_memory(accelerator: Accelerator) -> int:
    """Most bytes held so far: of the accelerator's memory, or else of the resident memory of this process."""
    if accelerator.device.type == "cuda":
        return torch.cuda.max_memory_allocated(accelerator.device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def write_results(
    run: RunFolder,
    config: SupervisedConfig,
    splits: Splits,
    history: list[dict[str, Any]],
    metrics: dict[str, Any],
    probabilities: np.ndarray,
    model: QuaclrsForAudioClassification,
    feature_extractor: QuaclrsFeatureExtractor,
) -> None:
    """Predictions, plots, model with its card, and `metrics.json` last: a run that has it is finished."""
    names = splits.class_names
    rows = splits.test.rows
    folds = rows[fold_column(config.protocol)][:]
    write_predictions(run.path / "predictions.csv", rows["clip_id"][:], folds, splits.test.labels, probabilities, names)
    title = f"{config.backbone}, {config.mode}, test fold {config.test_fold} ({config.protocol})"
    save_figure(confusion_matrix_figure(metrics["confusion_matrix"], names, title), run.plots / "confusion_matrix.png")
    save_figure(training_curves_figure(history, title), run.plots / "training_curves.png")
    model.save_pretrained(run.model)
    feature_extractor.save_pretrained(run.model)
    write_model_card(run.model, config, metrics, CardContext(run=run.path))
    run.write_json("metrics.json", metrics)


def print_result(config: SupervisedConfig, metrics: dict[str, Any]) -> None:
    """The figures of the test fold, the controls beside them, and where the run lies."""
    print(
        f"test fold {metrics['test_fold']} ({metrics['protocol']}, {metrics['clips']} clips): "
        f"accuracy {_share(metrics['accuracy'])}, macro F1 {_share(metrics['macro_f1'])}; "
        f"UrbanSound8K's classes {_share(metrics['accuracy_urbansound8k'])}, "
        f"new classes {_share(metrics['accuracy_sirennet'])}"
    )
    for name, control in metrics["controls"].items():
        print(
            f"control: {name}: accuracy {_share(control['accuracy'])}, "
            f"new classes {_share(control['accuracy_sirennet'])}"
        )
    for warning in metrics["warnings"]:
        print(f"warning: {warning}")
    print(f"run: {config.output_dir}, model: {RunFolder(config.output_dir).model}")


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"
