"""A reproduced table as Markdown, which reads as well on a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quaclrs.folds import PAPER_PROTOCOL_WARNING

from ..weights.imagenet import ImageNetWeights
from .cells import Cell
from .tables import PaperTable

LEGEND = (
    "In brackets: initial weights, test folds, epochs, training clips of a run (mean) / test clips of all folds, "
    "picture, protocol. ± is the standard deviation over folds and seeds (n - 1)."
)
OPTIMISTIC = f"The paper's figures are of its own folds: {PAPER_PROTOCOL_WARNING}."


def notes_of(table: PaperTable, cells: Sequence[Cell], weights: Mapping[str, ImageNetWeights]) -> list[str]:
    """What a reader of the table must know: about the paper's figures, then about ours."""
    measured = [run for cell in cells for runs in cell.runs.values() for run in runs]
    warnings = {warning: None for run in measured for warning in run["warnings"]}
    warnings.pop(PAPER_PROTOCOL_WARNING, None)  # is said of the paper's figures, and its name is in every cell
    filled = [cell.backbone for cell in cells if cell.ours]
    needing = [e.backbone for e in table.experiments(table.backbones) if e.from_pretrained and e.backbone in filled]
    missing = [name for name in dict.fromkeys(needing) if weights[name].missing]
    notes = [OPTIMISTIC, *table.notes]
    if table.footnote:
        notes.insert(0, f"The paper's footnote: {table.footnote}")
    if missing:
        notes.append(
            f"No ImageNet weights of {', '.join(missing)} ({weights[missing[0]].missing}): where the recipe begins "
            "with them, ours began with random weights instead and says random init."
        )
    return [*notes, *(f"Ours: {warning}." for warning in warnings)]


def to_markdown(table: PaperTable, cells: Sequence[Cell], notes: Sequence[str]) -> str:
    """The table with one line a cell, as ten folds side by side would fit no screen."""
    body = as_grid(
        ["Column", "Architecture", "Paper", "Ours"],
        [[cell.column, cell.architecture, cell.paper, describe_cell(cell)] for cell in cells],
    )
    heading = f"# Table {table.name.removeprefix('table')}: {table.title}"
    return "\n".join([heading, "", *body, "", LEGEND, "", *(f"- {note}" for note in notes)]) + "\n"


def as_grid(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table whose columns are aligned, as it is read on terminals too."""
    lines = [list(heading), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heading))]
    lines.insert(1, ["-" * width for width in widths])
    return [
        "| " + " | ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]


def describe_cell(cell: Cell) -> str:
    """Our figure with folds, epochs, clips and protocol, for instance
    `62.1 ± 3.0% (random init, f1-3, 5 ep, 390/830 clips, 224 px, strict)`, or a dash with the reason.
    """
    if cell.ours is None:
        return f"– ({cell.reason})"
    facts = [] if cell.backbone else [f"mean of {len(next(iter(cell.runs.values())))} rows"]
    facts += [*cell.distinct("initial_weights"), f"f{as_ranges(cell.folds)}"]
    if cell.seeds != [0]:
        facts.append(f"seed{'s' * (len(cell.seeds) > 1)} {as_ranges(cell.seeds)}")
    facts += [f"{as_ranges(cell.distinct('epochs'))} ep", f"{cell.clips_train}/{cell.clips_test} clips"]
    facts += [f"{as_ranges(cell.distinct('image_size'))} px", *cell.distinct("protocol")]
    facts += [precision for precision in cell.distinct("mixed_precision") if precision != "no"]
    return f"{cell.ours} ({', '.join(facts)})"


def as_ranges(numbers: Sequence[int]) -> str:
    """Ascending whole numbers in short: 1, 2, 3, 5 becomes `1-3,5`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return ",".join("-".join(map(str, ends)) for ends in ranges)


def to_json(table: PaperTable, cells: Sequence[Cell], notes: Sequence[str]) -> dict[str, Any]:
    """The same, for programs; `values` holds our number of every fold and seed in the unit of the column."""
    return {
        "table": table.name,
        "title": table.title,
        "notes": list(notes),
        "cells": [_cell_json(cell) for cell in cells],
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "architecture": cell.architecture,
        "backbone": cell.backbone,
        "column": cell.column,
        "paper": cell.paper,
        "ours": cell.ours,
    }
    if cell.ours is None:
        return {**entry, "reason": cell.reason}
    return {
        **entry,
        "values": [{"fold": fold, "seed": seed, "value": value} for (fold, seed), value in cell.values.items()],
        "folds": cell.folds,
        "seeds": cell.seeds,
        "clips_train": cell.clips_train,
        "clips_test": cell.clips_test,
        **{
            key: cell.distinct(key)
            for key in ("initial_weights", "epochs", "protocol", "image_size", "mixed_precision")
        },
    }
