"""`metrics.json`: the figures of a training run, with everything they must not be read without."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from ..errors import QuaclrsError, first_line_of
from ..text_files import read_mapping
from .result_files import write_text

METRICS_FILE = "metrics.json"

#: Names of `RunMetrics.evaluations`: a linear probe and k-NN on an encoder's embeddings, now and before training.
LINEAR, KNN = "linear", "knn"
RANDOM_LINEAR, RANDOM_KNN = "random_linear", "random_knn"


def run_folder(folder: Path, fold: int, seed: int) -> Path:
    """The folder of a run in that of its cross-validation."""
    return folder / f"fold-{fold}-seed-{seed}"


def run_folders(folder: Path, summary: Mapping[str, Any]) -> list[Path]:
    """The folders of all runs of a cross-validation, by its `summary.json`."""
    return [run_folder(folder, run["fold"], run["seed"]) for run in summary["runs"]]


@dataclass(kw_only=True)
class RunMetrics:
    """The result of one run on its test fold. Shares are in [0, 1], times in seconds.

    A supervised run has the `figures` of its classifier. A self-supervised run has `method`, and `evaluations` of
    probes on its encoder. Fields that a kind of run has no use for are None, and absent in the file.

    Attributes:
        figures: `classification_metrics` of the test clips; they stand in the file beside the other entries.
        controls: name -> the few figures of what a result must be compared with.
        warnings: reasons why the figures are optimistic or meaningless.
        open_set: `open_set_figures` of a run with background.
        epochs: that were trained; `best_epoch` is the one that was kept.
        class_offsets: class -> what was added to its logit in the end, by the validation clips.
        clips_refit: clips of the second training, with those of validation; None where there was one training.
        validation_accuracy: of that epoch, before anything was added.
        history: name -> value after each epoch, beginning with the encoder before training.
        gains, balanced_gains: name of a probe -> its paired difference from the encoder before training.
    """

    backbone: str
    image_size: int
    augment: str
    protocol: str
    test_fold: int
    validation_fold: int
    seed: int
    epochs: int
    clips_train: int
    clips_validation: int
    synthetic: bool
    warnings: list[str]
    controls: dict[str, dict[str, float | None]]
    num_processes: int
    mixed_precision: str
    device: str
    train_seconds: float
    train_clips_per_second: float
    peak_memory_bytes: int
    seconds: float

    # Of supervised training.
    figures: dict[str, Any] = field(default_factory=dict)
    mode: str | None = None
    initial_weights: str | None = None
    complete_folds: list[int] | None = None
    duration: float | None = None
    pad_mode: str | None = None
    best_epoch: int | None = None
    validation_accuracy: float | None = None
    parameters: int | None = None
    trained_parameters: int | None = None
    open_set: dict[str, Any] | None = None
    class_offsets: dict[str, float] | None = None
    clips_refit: int | None = None

    # Of self-supervised training.
    method: str | None = None
    batch_size: int | None = None
    clips_labelled: int | None = None
    clips_test: int | None = None
    class_names: list[str] | None = None
    evaluations: dict[str, dict[str, Any]] | None = None
    gains: dict[str, Any] | None = None
    balanced_gains: dict[str, Any] | None = None
    history: dict[str, list[float | None]] | None = None

    def of(self, evaluation: str = LINEAR) -> dict[str, Any]:
        """Figures of the test clips by one of the `evaluations`; of a supervised run always its classifier's."""
        return self.figures if self.evaluations is None else self.evaluations[evaluation]

    @property
    def tested_clips(self) -> int:
        """Clips of the test fold."""
        return int(self.of()["clips"])

    def to_dict(self) -> dict[str, Any]:
        """The contents of `metrics.json`."""
        own = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self) if entry.name != "figures"}
        return {**self.figures, **{name: value for name, value in own.items() if value is not None}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunMetrics:
        """The metrics that `to_dict` gave; a `TypeError` names what is missing."""
        names = {entry.name for entry in dataclasses.fields(cls)} - {"figures"}
        own = {name: value for name, value in values.items() if name in names}
        return cls(**own, figures={name: value for name, value in values.items() if name not in names})

    def write(self, folder: Path) -> None:
        """Write `metrics.json` into a run's folder, last of all: a run that has it is finished."""
        write_text(folder / METRICS_FILE, json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> RunMetrics:
        """Read the metrics of a finished run; a `QuaclrsError` where its folder holds none of this version."""
        file = folder / METRICS_FILE
        values = read_mapping(file, "restore the file, or train anew")
        try:
            metrics = cls.from_dict(values)
            for name, kinds in _kinds_of_fields().items():
                if not isinstance(getattr(metrics, name), kinds):
                    raise TypeError(f"{name} is {getattr(metrics, name)!r}")
            metrics.of()["accuracy"] + metrics.tested_clips  # numbers, of every run
            return metrics
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise QuaclrsError(f"{file} is not of a finished run ({first_line_of(error)}); train it anew") from error


@functools.cache
def _kinds_of_fields() -> dict[str, tuple[type, ...]]:
    """The types that each field may have; whole numbers are numbers too."""
    kinds = {}
    for name, hint in get_type_hints(RunMetrics).items():
        of_field = [get_origin(kind) or kind for kind in (get_args(hint) if NoneType in get_args(hint) else (hint,))]
        kinds[name] = (*of_field, *([int] if float in of_field else []))
    return kinds
