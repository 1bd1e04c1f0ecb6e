"""Rows beside the figures of self-supervised encoders: controls, baselines, and what training cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from quaclrs.evaluation.run_metrics import KNN, LINEAR, RANDOM_KNN, RANDOM_LINEAR, RunMetrics

from ..runs.metrics import SHORTCUT_CONTROL
from .cells import VALUES, Results, Value
from .gains import BALANCED_KNN_GAIN, KNN_GAIN, Interval
from .plan import Key
from .tables import IMAGENET, SUPERVISED, PaperTable, Training

#: Heading of a column -> how its numbers are taken of runs and printed.
COLUMNS: Mapping[str, Value] = {
    "Accuracy(%)": VALUES["percent"],
    "Macro F1": VALUES["macro_f1"],
    "k-NN(%)": VALUES["knn"],
    "Gain, linear (points)": VALUES["gain"],
    KNN_GAIN: VALUES["knn_gain"],
    BALANCED_KNN_GAIN: VALUES["balanced_knn_gain"],
    "Training (min)": replace(VALUES["minutes"], unit="", decimals=2),
    "Peak memory (GB)": Value(lambda run, *_: run.peak_memory_bytes / 1e9, decimals=2),
}
_ACCURACY, _MACRO_F1, _KNN, *_, _TIME, _MEMORY = COLUMNS
_PROBED, _TRAINED = (_ACCURACY, _MACRO_F1, _KNN), (_ACCURACY, _MACRO_F1, _TIME, _MEMORY)

#: Lines that hear nothing -> their names in `metrics.json`, and the columns they have.
CONTROLS = {
    "Duration, channels, sampling rate alone": (SHORTCUT_CONTROL, (_ACCURACY, _MACRO_F1)),
    "Majority class": ("majority", (_ACCURACY,)),
    "Chance": ("chance", (_ACCURACY,)),
}


@dataclass(frozen=True)
class Baseline:
    """A line of the table beside the paper's.

    Attributes:
        name: of the encoder or control.
        values: column -> (fold, seed) -> number; a column may be absent.
        reason: why there are none.
        intervals: column -> that of its mean, in points, where it is known.
    """

    name: str
    values: Mapping[str, Mapping[Key, float]]
    reason: str = ""
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    def texts(self) -> list[str]:
        """A cell a column with mean, deviation and interval, or a dash; the reason stands in the first."""
        if self.reason:
            return [f"– ({self.reason})", *["–"] * (len(COLUMNS) - 1)]
        return [self._text(column) if column in self.values else "–" for column in COLUMNS]

    def _text(self, column: str) -> str:
        text = COLUMNS[column].text(list(self.values[column].values()))
        if column not in self.intervals:
            return text
        low, high = self.intervals[column]
        return f"{text} ({low:+.1f} to {high:+.1f})"


def baselines_of(
    table: PaperTable, results: Results, intervals: Mapping[Training, Mapping[str, Interval]]
) -> list[Baseline]:
    """The encoders of a table, then what they must be compared with, best informed first.

    Args:
        table: of the paper.
        results: what was measured; without the ImageNet encoder where no weights were given.
        intervals: of the methods' gains.
    """
    methods = table.trainings(())
    # Encoders before training, and controls, are alike in all methods; they are taken of whichever did not fail.
    any_method = {key: run for training in reversed(methods) for key, run in results[training].items()}
    lines = [
        replace(_line(name, results[training], COLUMNS), intervals=intervals.get(training, {}))
        for training, name in methods.items()
    ]
    lines.append(_line("Supervised from scratch", results[SUPERVISED], _TRAINED))
    imagenet = _line("ImageNet encoder, frozen", _before_training(results.get(IMAGENET, {})), _PROBED)
    lines.append(imagenet if IMAGENET in results else replace(imagenet, reason="give --pretrained-file"))
    lines.append(_line("Random encoder, frozen", _before_training(any_method), _PROBED))
    for name, (control, columns) in CONTROLS.items():
        heard = {key: replace(run, evaluations={LINEAR: run.controls[control]}) for key, run in any_method.items()}
        lines.append(_line(name, heard, columns))
    return lines


def _before_training(runs: Mapping[Key, RunMetrics]) -> dict[Key, RunMetrics]:
    figures = {key: {LINEAR: run.of(RANDOM_LINEAR), KNN: run.of(RANDOM_KNN)} for key, run in runs.items()}
    return {key: replace(run, evaluations=figures[key]) for key, run in runs.items()}


def _line(name: str, runs: Mapping[Key, RunMetrics], columns: Iterable[str]) -> Baseline:
    values = {column: {key: COLUMNS[column].measure(run) for key, run in sorted(runs.items())} for column in columns}
    return Baseline(name, values) if runs else Baseline(name, {}, "failed")
