"""The part of a run's metrics that is the same for every kind of training: figures, controls, warnings, costs."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator

from quaclrs.data import SYNTHETIC_WARNING
from quaclrs.evaluation.metrics import STANDARD_SOURCES, classification_metrics
from quaclrs.evaluation.shortcuts import shortcut_features, shortcut_probabilities
from quaclrs.folds import PAPER_PROTOCOL_WARNING
from quaclrs.models import find_backbone

from .config import TrainingConfig
from .heard import heard_by_initial_weights
from .session import Session

if TYPE_CHECKING:
    from ..clips.splits import Split, Splits

#: Beside figures of a run that began with weights of others.
UNKNOWN_WARNING = "the weights that training began with do not say what they have heard: they may know the test clips"

#: Row of `metrics.json` and of every summary beside the model's own figures.
SHORTCUT_CONTROL = "duration, channels and sampling rate alone"


def figures(split: Split, probabilities: np.ndarray, names: list[str]) -> dict[str, Any]:
    """`classification_metrics` of a split's clips, by class and by source."""
    return classification_metrics(split.labels, probabilities, names, split.rows["source"][:])


def few_of(found: dict[str, Any]) -> dict[str, float | None]:
    """The few of all figures that a control is compared by."""
    wanted = ["accuracy", "balanced_accuracy", "macro_f1", *(f"accuracy_{source}" for source in STANDARD_SOURCES)]
    return {name: found[name] for name in wanted}


def shortcut_control(splits: Splits, seed: int, refit: bool = False) -> dict[str, float | None]:
    """Control: length, channels and rate of the original files, a classifier that hears nothing.

    All siren clips last exactly 3 s, so it is the least that a network's figure on the new classes must be seen beside.

    Args:
        splits, seed: of the run.
        refit: whether the validation clips train too, as in the network.
    """
    names, heard = splits.known_names, [splits.train, *([splits.validation] if refit else [])]
    known = [(split, np.flatnonzero(split.labelled & (split.labels < len(names)))) for split in heard]
    train = np.concatenate([shortcut_features(split.rows, rows) for split, rows in known])
    labels = np.concatenate([split.labels[rows] for split, rows in known])
    test = shortcut_features(splits.test.rows, range(len(splits.test)))
    probabilities = shortcut_probabilities(train, labels, test, len(names), seed)
    return few_of(figures(splits.test, probabilities, names))


def data_warnings(config: TrainingConfig, splits: Splits) -> list[str]:
    """Reasons why every figure on these clips is optimistic or meaningless."""
    found = {
        PAPER_PROTOCOL_WARNING: config.protocol == "paper",
        UNKNOWN_WARNING: not heard_by_initial_weights(config).complete,
        SYNTHETIC_WARNING: splits.synthetic,
        splits.leak: bool(splits.leak) and config.protocol == "strict",
    }
    return [warning for warning, applies in found.items() if applies]


def describe_run(session: Session, splits: Splits, epochs: int) -> dict[str, Any]:
    """The fields of `RunMetrics` that every run has but its own controls: data, options and costs.

    Args:
        session: of the run, all epochs done.
        splits: of the run.
        epochs: that were trained.
    """
    config, accelerator = session.config, session.accelerator
    seconds = sum(row.get("train_seconds", 0.0) for row in session.history)
    return {
        **{name: getattr(config, name) for name in ("backbone", "augment", "protocol", "seed")},
        "image_size": config.image_size or find_backbone(config.backbone_names[0]).image_size,
        "test_fold": splits.plan.test_fold,
        "validation_fold": splits.plan.validation_fold,
        "epochs": epochs,
        "clips_train": len(splits.train),
        "clips_validation": len(splits.validation),
        "synthetic": splits.synthetic,
        "warnings": data_warnings(config, splits),
        "num_processes": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
        "device": accelerator.device.type,
        "train_seconds": seconds,
        "train_clips_per_second": epochs * len(splits.train) / max(seconds, 1e-9),
        "peak_memory_bytes": peak_memory(accelerator),
        "seconds": session.seconds,
    }


def peak_memory(accelerator: Accelerator) -> int:
    """Most bytes held so far: of the accelerator's memory, or else of the resident memory of this process."""
    if accelerator.device.type == "cuda":
        return torch.cuda.max_memory_allocated(accelerator.device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
