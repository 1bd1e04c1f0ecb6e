"""One cell of a self-supervised table: the paper's figure, and ours as mean and deviation over folds and seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .runs import Results
from .ssl_tables import SSLTable, SSLTraining

Metrics = Mapping[str, Any]
SSLResults = Mapping[SSLTraining, Results]


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of some runs are printed."""

    unit: str = ""
    decimals: int = 1
    sign: str = ""

    def text(self, numbers: Sequence[float]) -> str:
        """Mean and, of several, sample deviation."""
        text = f"{statistics.mean(numbers):{self.sign},.{self.decimals}f}"
        if len(numbers) > 1:
            text += f" ± {statistics.stdev(numbers):,.{self.decimals}f}"
        return text + self.unit


@dataclass(frozen=True)
class SSLValue:
    """How a number is taken of a run (and of a row's class) and printed."""

    measure: Callable[[Metrics, str | None], float]
    format: NumberFormat = NumberFormat()


def evaluation(run: Metrics, name: str = "linear") -> Metrics:
    """What an encoder was measured by, `linear`, `knn` or either with `random_` (before training); a supervised run's
    figures are those of its own classifier."""
    return run["evaluations"][name] if "evaluations" in run else run


def _percent(name: str) -> Callable[[Metrics, str | None], float]:
    return lambda run, _: 100 * evaluation(run, name)["accuracy"]


def _gain(run: Metrics, _: str | None) -> float:
    return 100 * (evaluation(run)["accuracy"] - evaluation(run, "random_linear")["accuracy"])


def _f1(run: Metrics, label: str | None) -> float:
    return evaluation(run)["per_class"][label]["f1"]


#: Accuracies in percent, F1-scores as fractions: as the paper prints them.
VALUES: Mapping[str, SSLValue] = {
    "accuracy": SSLValue(_percent("linear"), NumberFormat(unit="%")),
    "percent": SSLValue(_percent("linear")),
    "knn": SSLValue(_percent("knn")),
    "gain": SSLValue(_gain, NumberFormat(sign="+")),
    "macro_f1": SSLValue(lambda run, _: evaluation(run)["macro_f1"], NumberFormat(decimals=2)),
    "weighted_f1": SSLValue(lambda run, _: evaluation(run)["weighted_f1"], NumberFormat(decimals=2)),
    "f1": SSLValue(_f1, NumberFormat(decimals=2)),
    "minutes": SSLValue(lambda run, _: run["train_seconds"] / 60, NumberFormat(unit=" min")),
}


@dataclass(frozen=True)
class SSLCell:
    """One figure of the paper beside ours.

    Attributes:
        row, column: names as printed.
        paper: the figure as printed.
        ours: our figure as text, or None where there is none, which `reason` explains.
        values: (fold, seed) -> number, in the unit of the column.
        missing: runs that failed, of those that the cell asks for.
        training: whose runs are measured.
    """

    row: str
    column: str
    paper: str
    training: SSLTraining
    ours: str | None = None
    reason: str = ""
    values: Mapping[tuple[int, int], float] = field(default_factory=dict)
    missing: int = 0


def fill_ssl_table(
    table: SSLTable, results: SSLResults, folds: Sequence[int], seeds: Sequence[int]
) -> list[list[SSLCell]]:
    """The cells of a table, row by row.

    Args:
        table: of the paper.
        results: what was measured; a run that failed is absent.
        folds, seeds: that were run.
    """
    return [
        [_fill(table, row, index, results, folds, seeds) for index in range(len(table.columns))] for row in table.rows
    ]


def _fill(
    table: SSLTable, row: Any, index: int, results: SSLResults, folds: Sequence[int], seeds: Sequence[int]
) -> SSLCell:
    column = table.columns[index]
    training = table.training(row, column)
    cell = {"row": row.name, "column": column.heading, "paper": row.figures[index], "training": training}
    asked = [(fold, seed) for fold in folds for seed in seeds if column.fold in (None, fold)]
    if not asked:
        return SSLCell(**cell, reason="fold not run")
    value, runs = VALUES[column.value], results.get(training, {})
    values = {key: float(value.measure(runs[key], row.label)) for key in asked if key in runs}
    missing = len(asked) - len(values)
    if not values:
        return SSLCell(**cell, reason="failed", missing=missing)
    return SSLCell(**cell, ours=value.format.text(list(values.values())), values=values, missing=missing)
