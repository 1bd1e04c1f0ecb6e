"""What the figures of self-supervised encoders must be read beside: controls, baselines, and what training cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..runs.metrics import SHORTCUT_CONTROL
from .runs import Results
from .ssl_cells import Metrics, NumberFormat, SSLResults, evaluation
from .ssl_tables import IMAGENET, SUPERVISED, SSLTable, SSLTraining

KNN_GAIN = "Gain, k-NN (points)"
KNN_GAIN_BALANCED = "Gain, k-NN, balanced (points)"

#: Column -> how its numbers are printed.
COLUMNS: Mapping[str, NumberFormat] = {
    "Accuracy(%)": NumberFormat(),
    "Macro F1": NumberFormat(decimals=2),
    "k-NN(%)": NumberFormat(),
    "Gain, linear (points)": NumberFormat(sign="+"),
    KNN_GAIN: NumberFormat(sign="+"),
    KNN_GAIN_BALANCED: NumberFormat(sign="+"),
    "Training (min)": NumberFormat(decimals=2),
    "Peak memory (GB)": NumberFormat(decimals=2),
}

#: Lines that hear nothing -> their names in `metrics.json`.
CONTROLS = {
    "Duration, channels, sampling rate alone": SHORTCUT_CONTROL,
    "Majority class": "majority",
    "Chance": "chance",
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
    values: Mapping[str, Mapping[tuple[int, int], float]]
    reason: str = ""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def text(self, column: str) -> str:
        numbers = list(self.values.get(column, {}).values())
        if not numbers:
            return "–"
        text = COLUMNS[column].text(numbers)
        if column not in self.intervals:
            return text
        low, high = self.intervals[column]
        return f"{text} ({low:+.1f} to {high:+.1f})"


def baselines_of(
    table: SSLTable,
    results: SSLResults,
    pretrained: bool,
    intervals: Mapping[SSLTraining, Mapping[str, tuple[float, float]]],
) -> list[Baseline]:
    """The encoders of a table, then what they must be compared with, best informed first.

    Args:
        table: of the paper.
        results: what was measured.
        pretrained: whether ImageNet weights were given.
        intervals: of the methods' gains, by column.
    """
    ssl = {training: results.get(training, {}) for training in table.trainings}
    # Encoders before training, and controls, are alike in all methods; they are taken of whichever did not fail.
    any_method: Results = {key: run for runs in reversed(ssl.values()) for key, run in runs.items()}
    lines = [
        replace(_line(name, ssl[training], _method), intervals=intervals.get(training, {}))
        for training, name in table.trainings.items()
    ]
    lines.append(_line("Supervised from scratch", results.get(SUPERVISED, {}), _supervised))
    imagenet = _line("ImageNet encoder, frozen", results.get(IMAGENET, {}), _before_training)
    lines.append(imagenet if pretrained else replace(imagenet, reason="give --pretrained-file"))
    lines.append(_line("Random encoder, frozen", any_method, _before_training))
    for label, control in CONTROLS.items():
        lines.append(_line(label, {key: run["controls"][control] for key, run in any_method.items()}, _accuracy))
    return lines


def _line(name: str, runs: Results, measure: Callable[[Metrics], dict[str, float]]) -> Baseline:
    measured = {key: measure(run) for key, run in sorted(runs.items())}
    values: dict[str, dict[tuple[int, int], float]] = {}
    for key, columns in measured.items():
        for column, number in columns.items():
            values.setdefault(column, {})[key] = number
    return Baseline(name, values, "" if values else "failed")


def _method(run: Metrics) -> dict[str, float]:
    gains = {
        heading: 100 * (evaluation(run, name)[figure] - evaluation(run, f"random_{name}")[figure])
        for heading, name, figure in (
            ("Gain, linear (points)", "linear", "accuracy"),
            (KNN_GAIN, "knn", "accuracy"),
            (KNN_GAIN_BALANCED, "knn", "balanced_accuracy"),
        )
    }
    return {**_accuracy(evaluation(run)), "k-NN(%)": 100 * evaluation(run, "knn")["accuracy"], **gains, **_cost(run)}


def _before_training(run: Metrics) -> dict[str, float]:
    knn = evaluation(run, "random_knn")
    return {**_accuracy(evaluation(run, "random_linear")), "k-NN(%)": 100 * knn["accuracy"]}


def _supervised(run: Metrics) -> dict[str, float]:
    return {**_accuracy(run), **_cost(run)}


def _accuracy(figures: Mapping[str, Any]) -> dict[str, float]:
    found = {"Accuracy(%)": 100 * figures["accuracy"]}
    return {**found, "Macro F1": figures["macro_f1"]} if "macro_f1" in figures else found


def _cost(run: Metrics) -> dict[str, float]:
    return {"Training (min)": run["train_seconds"] / 60, "Peak memory (GB)": run["peak_memory_bytes"] / 1e9}
