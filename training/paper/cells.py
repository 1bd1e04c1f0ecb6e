"""One cell of a table: the paper's figure, and ours with what it must not be read without.

What a column measures is a value of each run (`VALUES`), for differences and ratios of a run and its counterpart on the
same fold with the same seed; the cell shows their mean, rank, range or standard deviation.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .runs import Results
from .tables import Column, Experiment, PaperTable, Row

Metrics = Mapping[str, Any]

#: (fold, seed) -> value and run; several of them where rows are averaged.
Measured = Mapping[tuple[int, int], Sequence[tuple[float, Metrics]]]


@dataclass(frozen=True)
class Value:
    """How a number is taken of a run (and of its counterpart) and printed; one that cannot vary has no deviation."""

    measure: Callable[[Metrics, Metrics], float]
    unit: str = "%"
    decimals: int = 1
    sign: str = ""
    varies: bool = True

    def text(self, number: float, deviation: float | None = None) -> str:
        spread = "" if deviation is None or not self.varies else f" ± {deviation:,.{self.decimals}f}"
        return f"{number:{self.sign},.{self.decimals}f}{spread}{self.unit}"


def _seconds_an_epoch(run: Metrics) -> float:
    return run["train_seconds"] / run["epochs"]


def _time_ratio(run: Metrics, other: Metrics) -> float:
    return _seconds_an_epoch(run) / _seconds_an_epoch(other)


def _memory_ratio(run: Metrics, other: Metrics) -> float:
    return run["peak_memory_bytes"] / other["peak_memory_bytes"]


#: Accuracies and savings in percent, differences in percentage points.
VALUES: Mapping[str, Value] = {
    "accuracy": Value(lambda run, _: 100 * run["accuracy"]),
    "accuracy_difference": Value(lambda run, other: 100 * (run["accuracy"] - other["accuracy"]), sign="+"),
    "trained_parameters": Value(lambda run, _: run["trained_parameters"], unit="", decimals=0, varies=False),
    "time_ratio": Value(_time_ratio, unit="x", decimals=2),
    "memory_ratio": Value(_memory_ratio, unit="x", decimals=2),
    "time_saving": Value(lambda run, other: 100 * (1 - _time_ratio(run, other)), decimals=0),
    "memory_saving": Value(lambda run, other: 100 * (1 - _memory_ratio(run, other)), decimals=0),
}


@dataclass(frozen=True)
class Cell:
    """One figure of the paper beside ours.

    Attributes:
        architecture, column: names of row and column as printed; `backbone` is None for an average over rows.
        paper: the figure as printed.
        ours: our figure as text, or None where there is none, which `reason` explains.
        values: (fold, seed) -> number, in the unit of the column.
        runs: what was measured, by the same keys; of several backbones for an average.
    """

    architecture: str
    backbone: str | None
    column: str
    paper: str
    ours: str | None = None
    reason: str = ""
    values: Mapping[tuple[int, int], float] = field(default_factory=dict)
    runs: Mapping[tuple[int, int], Sequence[Metrics]] = field(default_factory=dict)

    @property
    def folds(self) -> list[int]:
        return sorted({fold for fold, _ in self.values})

    @property
    def seeds(self) -> list[int]:
        return sorted({seed for _, seed in self.values})

    def distinct(self, key: str) -> list[Any]:
        """The different entries that the runs have under a key of their metrics, sorted."""
        return sorted({run[key] for runs in self.runs.values() for run in runs})

    @property
    def clips_train(self) -> int:
        """Training clips of a run, on average."""
        return round(statistics.mean(run["clips_train"] for runs in self.runs.values() for run in runs))

    @property
    def clips_test(self) -> int:
        """Test clips of all folds together."""
        return sum({fold: runs[0]["clips"] for (fold, _), runs in self.runs.items()}.values())


def fill_table(
    table: PaperTable, results: Mapping[Experiment, Results], backbones: Sequence[str], folds: Sequence[int]
) -> list[Cell]:
    """The cells of a table, column by column and within one in the order of the rows.

    Args:
        table: of the paper.
        results: what was measured; an experiment or a run may be absent.
        backbones, folds: what was asked for, to explain the cells that are empty.
    """
    cells = []
    for index, column in enumerate(table.columns):
        of_backbone = {backbone: _measure(column, backbone, results) for backbone in table.backbones}
        average = _pool([measured for measured in of_backbone.values() if measured])
        for row in table.rows:
            measured = of_backbone[row.backbone] if row.backbone else average
            values = {key: statistics.mean(value for value, _ in pairs) for key, pairs in measured.items()}
            ours = _show(column, list(values.values()), of_backbone) if values else None
            cell = Cell(row.architecture, row.backbone, column.heading, row.figures[index])
            if ours is None:
                why = "one run has no deviation" if values else _why_empty(row, column, backbones, folds)
                cells.append(replace(cell, reason=why))
            else:
                runs = {key: [run for _, run in pairs] for key, pairs in measured.items()}
                cells.append(replace(cell, ours=ours, values=values, runs=runs))
    return cells


def _measure(column: Column, backbone: str, results: Mapping[Experiment, Results]) -> Measured:
    """Values of the runs that exist, and whose counterpart does."""
    experiments = column.experiments(backbone)
    runs, others = results.get(experiments[0], {}), results.get(experiments[-1], {})
    return {
        key: [(float(VALUES[column.value].measure(run, others[key])), run)]
        for key, run in sorted(runs.items())
        if key in others and column.fold in (None, key[0])
    }


def _pool(rows: Sequence[Measured]) -> Measured:
    """The rows together, on the folds and seeds that all of them have."""
    if not rows:
        return {}
    return {key: [pair for row in rows for pair in row[key]] for key in rows[0] if all(key in row for row in rows)}


def _show(column: Column, numbers: Sequence[float], of_backbone: Mapping[str, Measured]) -> str | None:
    text, mean = VALUES[column.value].text, statistics.mean(numbers)
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
    if column.show == "mean":
        return text(mean, deviation)
    if column.show == "range":
        return f"{text(min(numbers))} - {text(max(numbers))}"
    if column.show == "rank":
        means = [statistics.mean(pairs[0][0] for pairs in rows.values()) for rows in of_backbone.values() if rows]
        return f"{1 + sum(other > mean for other in means)} of {len(means)}"
    return None if deviation is None else text(deviation)


def _why_empty(row: Row, column: Column, backbones: Sequence[str], folds: Sequence[int]) -> str:
    if row.backbone is None:
        return "no row to average"
    if row.backbone not in backbones:
        return "not among --backbones"
    if column.fold is not None and column.fold not in folds:
        return "fold not run"
    if column.against_backbone and column.against_backbone not in backbones:
        return f"needs {column.against_backbone} among --backbones"
    return "failed"
