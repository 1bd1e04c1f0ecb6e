"""Figures of the page's tables, a line a row: the paper's as printed, ours in short."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from .kept import Kept
from .tables import Column, PaperTable, Row, load_table

#: What a figure begins with whose network began with random weights where the paper's had ImageNet's.
STAR = "\\*"


def printed(table: PaperTable, row: Row) -> str:
    """The paper's figures of a row as printed; of a table of folds the mean, printed or ours, and the range."""
    folds = [row.figures[i] for i, column in enumerate(table.columns) if column.fold is not None]
    if not folds:
        return " · ".join(row.figures)
    numbers = [number_in(figure) for figure in folds if figure != "–"]
    average = row.figures[-1] if table.columns[-1].fold is None else f"{statistics.mean(numbers):.1f}"
    return f"{average} ({min(numbers):.2f} to {max(numbers):.2f})"


def printed_headings(table: PaperTable) -> str:
    """What stands in `printed`."""
    if any(column.fold for column in table.columns):
        return "mean (range) of folds"
    return " · ".join(column.heading for column in table.columns)


def number_in(figure: str) -> float:
    """The first number of a printed figure."""
    found = re.search(r"[+-]?\d+(?:\.\d+)?", figure)
    return float(found[0]) if found else float("nan")


def ours(table: PaperTable, row: Row, kept: Kept) -> str:
    """Our figures of a row: means; of a table of folds their mean and range."""
    if columns := shown(table):
        return joined([figure(kept, row.name, column) for column in columns])
    cells = [kept.figure(row.name, column.heading) for column in table.columns]
    values = [value["value"] for cell in cells if cell for value in cell["values"]]
    if not values:
        return "–"
    spread = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
    return f"{star(table.columns[0], next(filter(None, cells)))}{statistics.mean(values):.1f}{spread}"


def shown(table: PaperTable) -> list[Column]:
    """Columns of which ours are shown: means over all folds. Ranks and ranges of few runs say little."""
    return [column for column in table.columns if column.show == "mean" and column.fold is None]


def figure(kept: Kept | None, row: str, column: Column) -> str:
    """Our figure of a cell, or a dash."""
    cell = kept and kept.figure(row, column.heading)
    return f"{star(column, cell)}{cell['ours']}" if cell else "–"


def star(column: Column, cell: Mapping[str, Any]) -> str:
    """The star, where the paper began with ImageNet's weights and we could not."""
    from_pretrained = column.of not in ("scratch", "ssl")
    return STAR if from_pretrained and "random init" in cell["initial_weights"] else ""


def joined(texts: Sequence[str]) -> str:
    """Figures side by side, or one dash where there are none."""
    return "–" if set(texts) <= {"–"} else " · ".join(texts)


def printed_cell(name: str, row: str, heading: str) -> str:
    """The paper's figure of a cell, as printed."""
    table = load_table(name)
    (of_row,) = [of for of in table.rows if of.name == row]
    return of_row.figures[[column.heading for column in table.columns].index(heading)]
