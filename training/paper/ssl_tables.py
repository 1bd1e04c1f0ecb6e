"""The paper's self-supervised tables as data: every figure as printed, and which training each of ours is measured on.

A table is a file of `configs/paper/tables`; what its runs share is `configs/paper/ssl.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from quaclrs.errors import QuaclrsError

from .tables import ALL_SUPERVISED, CONFIGS, SUPERVISED_TABLES

#: Section 5.2, appendix A.2, and the paper's answer to its research question 4.
SSL_TABLES = ("table3", "table4", "table15", "table16", "table17", "table18", "combinations")
ALL_SSL = "all-ssl"


@dataclass(frozen=True)
class SSLColumn:
    """What a column measures.

    Attributes:
        heading: as printed.
        value: what is taken of each run, a key of `ssl_cells.VALUES`.
        run: options of the runs that it measures, beside the table's and the row's.
        fold: the one fold that a column of a per-fold table is about.
    """

    heading: str
    value: str
    run: Mapping[str, Any] = field(default_factory=dict)
    fold: int | None = None


@dataclass(frozen=True)
class SSLRow:
    """A row under the name that the paper prints.

    Attributes:
        name: as printed.
        figures: one a column, character for character.
        run: options of the runs that it measures.
        label: the class that a row of F1-scores is about.
    """

    name: str
    figures: tuple[str, ...]
    run: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None


@dataclass(frozen=True)
class SSLTable:
    """A self-supervised table of the paper.

    Attributes:
        name: `table3` and so on, or `combinations`.
        title: its caption.
        columns: without the first, whose heading is `row_heading`.
        rows: in the paper's order.
        notes: what the paper leaves open or contradicts, and how ours is measured.
        epochs, folds, seeds: of the runs, where the command names none.
        row_heading: of the column of names.
        run: options of all runs, names of `SSLConfig`.
        baselines: whether the controls, k-NN, time and memory belong beside it.
        confusion_panel: whether the confusion matrices of its methods are drawn (the paper's figure 7).
    """

    name: str
    title: str
    columns: tuple[SSLColumn, ...]
    rows: tuple[SSLRow, ...]
    notes: tuple[str, ...]
    epochs: int
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    row_heading: str
    run: Mapping[str, Any] = field(default_factory=dict)
    baselines: bool = False
    confusion_panel: bool = False

    def training(self, row: SSLRow, column: SSLColumn) -> SSLTraining:
        """What must be trained to fill a cell."""
        return SSLTraining("ssl", tuple(sorted({**self.run, **column.run, **row.run}.items())))

    @property
    def trainings(self) -> dict[SSLTraining, str]:
        """All of them, each once, with the name under which the table prints it."""
        named: dict[SSLTraining, str] = {}
        for row in self.rows:
            for column in self.columns:
                named.setdefault(self.training(row, column), column.heading if column.run else row.name)
        return named


@dataclass(frozen=True)
class SSLTraining:
    """One training; every fold and seed of it is a run.

    Attributes:
        kind: `ssl`; `supervised`, from scratch; or `imagenet`, whose encoder is measured before it is trained.
        options: what sets it apart from others, as sorted pairs (name, value) of `SSLConfig`.
    """

    kind: str
    options: tuple[tuple[str, Any], ...] = ()


#: Beside the methods: a network that was given the labels, and the frozen ImageNet encoder.
SUPERVISED = SSLTraining("supervised")
IMAGENET = SSLTraining("imagenet")


def select_ssl_tables(name: str) -> list[SSLTable]:
    """The table of that name, or all self-supervised ones; `QuaclrsError` with the choices for another name."""
    if name == ALL_SSL:
        return [load_ssl_table(table) for table in SSL_TABLES]
    if name not in SSL_TABLES:
        choices = ", ".join((*SUPERVISED_TABLES, ALL_SUPERVISED, *SSL_TABLES))
        raise QuaclrsError(f"unknown table {name!r}; choose {choices} or {ALL_SSL}")
    return [load_ssl_table(name)]


def load_ssl_table(name: str) -> SSLTable:
    """Read `configs/paper/tables/NAME.yaml`."""
    table = yaml.safe_load((CONFIGS / "tables" / f"{name}.yaml").read_text(encoding="utf-8"))
    columns = tuple(SSLColumn(**column) for column in table.pop("columns"))
    rows = tuple(SSLRow(**{**row, "figures": tuple(row["figures"])}) for row in table.pop("rows"))
    for key in ("notes", "folds", "seeds"):
        table[key] = tuple(table[key])
    return SSLTable(name=name, columns=columns, rows=rows, **table)
