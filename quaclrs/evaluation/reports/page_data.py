"""Read the folder of a finished run or cross-validation for a report."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import QuaclrsError, first_line_of
from ...text_files import read_mapping
from ..metrics import FIGURE_NAMES
from ..result_files import Predictions, read_predictions
from ..run_metrics import METRICS_FILE, RunMetrics, run_folders
from .tables import percent, percent_range


@dataclass(frozen=True)
class Mistake:
    """A clip that was taken for another class.

    Attributes:
        clip_id: of the clip.
        label, predicted: names of its class and of the one that was answered.
        score: of the answer, in [0, 1].
    """

    clip_id: str
    label: str
    predicted: str
    score: float


@dataclass(frozen=True)
class ReportData:
    """A folder of results.

    Attributes:
        folder: of the run or the cross-validation.
        title: what was trained.
        facts: name -> text: protocol, data, training.
        warnings: what makes the figures something else than a test.
        figures: name -> figure as text.
        controls: name -> accuracy as text.
        per_class: as `classification_metrics` has it.
        confusion_matrix: counts.
        predictions: of all test clips.
        history: rows of a run's `history.csv`; none of a cross-validation.
        plots: other pictures in the folder's `plots/`.
        dataset: where the clips can be loaded from.
        command: that repeats it.
    """

    folder: Path
    title: str
    facts: Mapping[str, str]
    warnings: tuple[str, ...]
    figures: Mapping[str, str]
    controls: Mapping[str, str]
    per_class: Mapping[str, Mapping[str, Any]]
    confusion_matrix: Any
    predictions: Predictions
    dataset: str
    command: str
    history: tuple[Mapping[str, Any], ...] = ()
    plots: tuple[Path, ...] = field(default=())

    def worst_mistakes(self, most: int = 12) -> list[Mistake]:
        """The clips of the highest scores for a wrong class, the surest mistake first."""
        found, names = self.predictions, self.predictions.class_names
        predicted = found.probabilities.argmax(axis=1)
        scores = found.probabilities.max(axis=1)
        wrong = np.flatnonzero(predicted != found.labels)
        chosen = wrong[np.argsort(-scores[wrong], kind="stable")][:most]
        return [
            Mistake(found.clip_ids[i], names[found.labels[i]], names[predicted[i]], float(scores[i])) for i in chosen
        ]


#: Pictures that a report draws itself.
_DRAWN = {"confusion_matrix.png", "training_curves.png"}


def read_report_data(folder: Path) -> ReportData:
    """Read the folder of a finished run, supervised or self-supervised, or of a cross-validation.

    Raises:
        QuaclrsError: it holds no finished result.
    """
    try:
        if (folder / "summary.json").is_file():
            return _cross_validation(folder, read_mapping(folder / "summary.json"))
        if (folder / METRICS_FILE).is_file():
            return _run(folder, RunMetrics.read(folder))
    except QuaclrsError:
        raise
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OSError) as error:
        raise QuaclrsError(f"{folder} cannot be read as a result ({first_line_of(error)}); train it anew") from error
    raise QuaclrsError(f"{folder} holds no finished run or cross-validation; give the --output-dir of one that ended")


def _run(folder: Path, metrics: RunMetrics) -> ReportData:
    dataset = _dataset_of(folder)
    # A self-supervised encoder is judged by the linear probe on it, whose predictions the run keeps.
    figures = metrics.of()
    history = _read_history(folder / "history.csv", metrics.epochs)
    if metrics.method:
        history = tuple({**row, "validation_accuracy": row["knn_accuracy"], "train_accuracy": None} for row in history)
    options = shlex.quote(str(folder / "config.yaml"))
    module = "training.train_ssl" if metrics.method else "training.train_supervised"
    again = f" ({metrics.clips_refit:,} the second time, with those of validation)" if metrics.clips_refit else ""
    facts = {
        "protocol": f"{metrics.protocol}: test fold {metrics.test_fold}, validation fold {metrics.validation_fold}; "
        f"{metrics.clips_train:,} clips to train on{again}, {metrics.clips_validation:,} to validate, "
        f"{metrics.tested_clips:,} to test",
        "training": f"{metrics.epochs} epochs, seed {metrics.seed}, views and augmentation {metrics.augment}, "
        f"{metrics.image_size} pixels, {metrics.train_seconds / 60:.1f} minutes on {metrics.device}",
    }
    if metrics.method:
        facts["figures are of"] = "a logistic regression on the frozen encoder; curves are of k-NN"
    return ReportData(
        folder=folder,
        title=f"{metrics.backbone}, {metrics.method or metrics.mode}, tested on fold {metrics.test_fold}",
        facts=facts,
        warnings=tuple(metrics.warnings),
        figures={name: percent(figures.get(key)) for name, key in FIGURE_NAMES.items()},
        controls={name: percent(control["accuracy"]) for name, control in metrics.controls.items()},
        per_class=figures["per_class"],
        confusion_matrix=figures["confusion_matrix"],
        predictions=read_predictions(folder / "predictions.csv", clips=metrics.tested_clips),
        dataset=dataset,
        command=f"accelerate launch -m {module} --config {options} --output-dir NEW_FOLDER",
        history=history,
        plots=_other_plots(folder),
    )


def _cross_validation(folder: Path, summary: dict[str, Any]) -> ReportData:
    runs = run_folders(folder, summary)
    dataset = _dataset_of(runs[0])
    found = [read_predictions(run / "predictions.csv", summary["class_names"]) for run in runs]
    training, figures = summary["training"], summary["figures"]
    return ReportData(
        folder=folder,
        title=f"{training['backbone']}, {training['mode']}, cross-validated",
        facts={
            "protocol": summary["scope"],
            "data": f"{summary['clips']:,} test clips of {summary['recordings']:,} recordings, seeds "
            f"{', '.join(map(str, summary['seeds']))}",
            "training": f"{training['initial_weights']}; {training['seconds'] / 60:.0f} minutes in all",
        },
        warnings=tuple(summary["warnings"]),
        figures={name: _mean(figures[key]) for name, key in FIGURE_NAMES.items() if key in figures},
        controls={name: _mean(control["accuracy"]) for name, control in summary["controls"].items()},
        per_class=summary["per_class"],
        confusion_matrix=summary["confusion_matrix"],
        predictions=Predictions(
            clip_ids=[clip for part in found for clip in part.clip_ids],
            folds=[fold for part in found for fold in part.folds],
            labels=np.concatenate([part.labels for part in found]),
            probabilities=np.concatenate([part.probabilities for part in found]),
            class_names=found[0].class_names,
        ),
        dataset=dataset,
        command=training["command"],
        plots=_other_plots(folder),
    )


def _dataset_of(run: Path) -> str:
    file = run / "config.yaml"
    dataset = read_mapping(file).get("dataset")
    if not isinstance(dataset, str):
        raise QuaclrsError(f"{file} names no dataset; restore the file")
    return dataset


def _read_history(file: Path, epochs: int) -> tuple[dict[str, Any], ...]:
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            rows = tuple(csv.DictReader(opened))
        if not rows or rows[-1]["epoch"] != str(epochs) or any(None in (*row, *row.values()) for row in rows):
            raise ValueError(f"it does not end with epoch {epochs}")
        return rows
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise QuaclrsError(f"{file} cannot be read ({first_line_of(error)}); train it anew") from error


def _other_plots(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(file for file in (folder / "plots").glob("*.png") if file.name not in _DRAWN))


def _mean(figure: Mapping[str, Any]) -> str:
    interval = figure.get("interval")
    within = f" (95 % interval {percent_range(interval)})" if interval else ""
    return percent(figure["mean"], figure["std"]) + within
