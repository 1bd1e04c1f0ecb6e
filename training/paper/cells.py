"""One cell of a table: the paper's figure, and ours with what it must not be read without.

What a column measures is a value of each run (`VALUES`), for differences and ratios of a run and its counterpart on the
same fold with the same seed; the cell shows their mean, rank, range or standard deviation.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quaclrs.evaluation.run_metrics import KNN, LINEAR, RunMetrics

from .plan import Key
from .tables import Column, PaperTable, Row, Training

#: What the runs of each training measured; one that failed is absent.
Results = Mapping[Training, Mapping[Key, RunMetrics]]

#: Value and run; several of them where rows are averaged.
Measured = Mapping[Key, Sequence[tuple[float, RunMetrics]]]


@dataclass(frozen=True)
class Value:
    """A figure of a run (of its counterpart, for a class), and how the figures of several runs are printed.

    Attributes:
        measure: takes a run, its counterpart and a class.
        varies: whether it can have a deviation.
    """

    measure: Callable[..., Any]
    unit: str = ""
    decimals: int = 1
    sign: str = ""
    varies: bool = True

    def text(self, numbers: Sequence[float]) -> str:
        """Mean and, of several, sample deviation."""
        text = f"{statistics.mean(numbers):{self.sign},.{self.decimals}f}"
        if self.varies and len(numbers) > 1:
            text += f" ± {statistics.stdev(numbers):,.{self.decimals}f}"
        return text + self.unit


def _percent(evaluation: str) -> Callable[..., float]:
    return lambda run, *_: 100 * run.of(evaluation)["accuracy"]


def _gain(evaluation: str, figure: str = "accuracy") -> Callable[..., float]:
    """Gain of an encoder over itself before training, in points."""
    return lambda run, *_: 100 * (run.of(evaluation)[figure] - run.of(f"random_{evaluation}")[figure])


def _time_ratio(run: RunMetrics, other: RunMetrics, _: str = "") -> float:
    return (run.train_seconds / run.epochs) / (other.train_seconds / other.epochs)


def _memory_ratio(run: RunMetrics, other: RunMetrics, _: str = "") -> float:
    return run.peak_memory_bytes / other.peak_memory_bytes


#: As the paper prints them: accuracies and savings in percent, differences in points, F1-scores as fractions.
VALUES: Mapping[str, Value] = {
    "accuracy": Value(_percent(LINEAR), "%"),
    "accuracy_difference": Value(
        lambda run, other, _: 100 * (run.of()["accuracy"] - other.of()["accuracy"]), "%", sign="+"
    ),
    "trained_parameters": Value(lambda run, *_: run.trained_parameters, decimals=0, varies=False),
    "time_ratio": Value(_time_ratio, "x", decimals=2),
    "memory_ratio": Value(_memory_ratio, "x", decimals=2),
    "time_saving": Value(lambda run, other, _: 100 * (1 - _time_ratio(run, other)), "%", decimals=0),
    "memory_saving": Value(lambda run, other, _: 100 * (1 - _memory_ratio(run, other)), "%", decimals=0),
    "percent": Value(_percent(LINEAR)),
    "knn": Value(_percent(KNN)),
    "gain": Value(_gain(LINEAR), sign="+"),
    "knn_gain": Value(_gain(KNN), sign="+"),
    "balanced_knn_gain": Value(_gain(KNN, "balanced_accuracy"), sign="+"),
    "macro_f1": Value(lambda run, *_: run.of()["macro_f1"], decimals=2),
    "weighted_f1": Value(lambda run, *_: run.of()["weighted_f1"], decimals=2),
    "f1": Value(lambda run, _, label: run.of()["per_class"][label]["f1"], decimals=2),
    "minutes": Value(lambda run, *_: run.train_seconds / 60, " min"),
}


@dataclass(frozen=True)
class Cell:
    """One figure of the paper beside ours.

    Attributes:
        row, column: of the table.
        paper: the figure as printed.
        ours: our figure as text, or None where there is none, which `reason` explains.
        values: (fold, seed) -> number, in the unit of the column.
        runs: what was measured, by the same keys; of several backbones for an average.
        missing: runs that failed, of those that the cell asks for.
    """

    row: Row
    column: Column
    paper: str
    ours: str | None
    reason: str
    values: Mapping[Key, float]
    runs: Mapping[Key, Sequence[RunMetrics]]
    missing: int


def fill_table(table: PaperTable, results: Results, keys: Sequence[Key], backbones: Sequence[str]) -> list[list[Cell]]:
    """The cells of a table, row by row.

    Args:
        table: of the paper.
        results: what was measured; a training or a run may be absent.
        keys, backbones: what was asked for, to explain the cells that are empty.
    """
    columns = []
    for index, column in enumerate(table.columns):
        asked = [(fold, seed) for fold, seed in keys if column.fold in (None, fold)]
        of_rows = [_measure(table, row, column, results, asked) for row in table.rows]
        average = _pool([measured for measured in of_rows if measured])
        cells = []
        for row, of_row in zip(table.rows, of_rows, strict=True):
            measured = average if row.average else of_row
            values = {key: statistics.mean(value for value, _ in pairs) for key, pairs in measured.items()}
            runs = {key: [run for _, run in pairs] for key, pairs in measured.items()}
            reason = "" if values else _why_empty(table, row, column, asked, backbones)
            ours = _show(column, list(values.values()), of_rows) if values else None
            if values and ours is None:
                values, runs, reason = {}, {}, "one run has no deviation"
            missing = len(asked) - len(measured)
            cells.append(Cell(row, column, row.figures[index], ours, reason, values, runs, missing))
        columns.append(cells)
    return [list(row) for row in zip(*columns, strict=True)]


def _measure(table: PaperTable, row: Row, column: Column, results: Results, keys: Sequence[Key]) -> Measured:
    """Values of the runs that exist, and whose counterpart does."""
    runs, others = (results.get(of(row, column), {}) for of in (table.training, table.counterpart))
    measure = VALUES[column.value].measure
    both = [key for key in keys if key in runs and key in others]
    return {key: [(float(measure(runs[key], others[key], row.label)), runs[key])] for key in both}


def _pool(rows: Sequence[Measured]) -> Measured:
    """The rows together, on the folds and seeds that all of them have."""
    shared = [key for key in rows[0] if all(key in row for row in rows)] if rows else []
    return {key: [pair for row in rows for pair in row[key]] for key in shared}


def _show(column: Column, numbers: Sequence[float], of_rows: Sequence[Measured]) -> str | None:
    text = VALUES[column.value].text
    if column.show == "mean":
        return text(numbers)
    if column.show == "range":
        return f"{text([min(numbers)])} - {text([max(numbers)])}"
    if column.show == "rank":
        means = [statistics.mean(pairs[0][0] for pairs in row.values()) for row in of_rows if row]
        return f"{1 + sum(other > statistics.mean(numbers) for other in means)} of {len(means)}"
    return text([statistics.stdev(numbers)]) if len(numbers) > 1 else None


def _why_empty(table: PaperTable, row: Row, column: Column, asked: Sequence[Key], backbones: Sequence[str]) -> str:
    if row.average:
        return "no row to average"
    measured, counterpart = (of(row, column).backbone for of in (table.training, table.counterpart))
    if measured not in (None, *backbones):
        return "not among --backbones"
    if not asked:
        return "fold not run"
    if counterpart not in (None, *backbones):
        return f"needs {counterpart} among --backbones"
    return "failed"
