"""A reproduced self-supervised table as Markdown and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from quaclrs.folds import PAPER_PROTOCOL_WARNING

from .report import OPTIMISTIC, as_grid, as_ranges
from .ssl_baselines import COLUMNS, Baseline
from .ssl_cells import SSLCell, SSLResults
from .ssl_tables import SSLTable

LEGEND = (
    "Left of a stroke is the paper's figure, right of it ours: the mean, and after ± the standard deviation (n - 1), "
    "over folds and seeds."
)
BASELINE_LEGEND = (
    "Accuracy is of a linear probe on the frozen encoder, or of the control's own classifier. Gain is over the same "
    "encoder before training, that of k-NN with its 95 % interval over recordings (paired bootstrap, seeds averaged); "
    "balanced, every class counts alike. "
    "Time is of training alone; memory is a process's peak."
)
IMAGENET_LEGEND = "The ImageNet encoder is measured before one epoch of SimCLR, whose outcome is thrown away."


def ssl_notes(table: SSLTable, results: SSLResults) -> list[str]:
    """What a reader of the table must know: about the paper's figures, then about ours."""
    of_data: dict[str, None] = {}
    of_training: dict[str, list[str]] = {}
    for training, name in table.trainings.items():
        for _, run in sorted(results.get(training, {}).items()):
            for warning in run["warnings"]:
                if warning.startswith("epoch "):  # of a run's last epoch, such as a collapse
                    of_training.setdefault(name, []).append(warning)
                else:
                    of_data[warning] = None
    of_data.pop(PAPER_PROTOCOL_WARNING, None)  # is said of the paper's figures, and ours name it
    notes = [OPTIMISTIC, *table.notes, *(f"Ours: {warning}." for warning in of_data)]
    if of_training:
        where = "; ".join(f"{name}: {len(warnings)}" for name, warnings in of_training.items())
        first = next(iter(of_training.values()))[0]
        notes.append(f"Ours: runs that ended with a warning: {where}. The first of them: {first}.")
    return notes


def describe_runs(table: SSLTable, results: SSLResults) -> str:
    """What stands behind our figures, for instance
    `Ours: resnet18, 224 px, fold 1, seeds 0-2, 1 epoch, 390 clips to train on and 830 to test, strict.`
    """
    runs = {key: run for training in table.trainings for key, run in results.get(training, {}).items()}
    if not runs:
        return "Ours: every run failed."
    every = [run for training in table.trainings for run in results.get(training, {}).values()]
    folds, seeds = ({key[i] for key in runs} for i in (0, 1))
    epochs = as_ranges(_distinct(every, "epochs"))
    facts = [
        *_distinct(every, "backbone"),
        f"{as_ranges(_distinct(every, 'image_size'))} px",
        f"fold{'s' * (len(folds) > 1)} {as_ranges(sorted(folds))}",
        f"seed{'s' * (len(seeds) > 1)} {as_ranges(sorted(seeds))}",
        f"{epochs} epoch{'s' * (epochs != '1')}",
        f"{statistics.mean(run['clips_train'] for run in every):,.0f} clips to train on and "
        f"{sum({fold: run['clips_test'] for (fold, _), run in runs.items()}.values()):,} to test",
        f"batches of {as_ranges(_distinct(every, 'batch_size'))}",
        *_distinct(every, "protocol"),
        *(precision for precision in _distinct(every, "mixed_precision") if precision != "no"),
    ]
    return f"Ours: {', '.join(facts)}."


def ssl_markdown(
    table: SSLTable,
    cells: Sequence[Sequence[SSLCell]],
    baselines: Sequence[Baseline],
    runs: str,
    notes: Sequence[str],
) -> str:
    """The paper's rows with ours beside each figure, then the baselines, what was run, and the notes."""
    number = table.name.removeprefix("table")
    lines = [f"# {f'Table {number}: ' if number.isdecimal() else ''}{table.title}", ""]
    lines += as_grid(
        [table.row_heading, *(column.heading for column in table.columns)],
        [[row[0].row, *(f"{cell.paper} / {describe_ssl_cell(cell)}" for cell in row)] for row in cells],
    )
    lines += ["", LEGEND, runs, ""]
    if baselines:
        lines += ["## Ours beside controls and baselines", ""]
        lines += as_grid(
            ["Encoder or control", *COLUMNS],
            [
                [line.name, f"– ({line.reason})" if line.reason else line.text(first), *(line.text(c) for c in others)]
                for first, *others in [list(COLUMNS)]
                for line in baselines
            ],
        )
        lines += ["", BASELINE_LEGEND]
        lines += [IMAGENET_LEGEND] if any("ImageNet" in line.name and line.values for line in baselines) else []
        lines += [""]
    return "\n".join([*lines, *(f"- {note}" for note in notes)]) + "\n"


def describe_ssl_cell(cell: SSLCell) -> str:
    """Our figure, or a dash with the reason; how many runs it lacks where some failed."""
    if cell.ours is None:
        return f"– ({cell.reason})"
    return f"{cell.ours} ({cell.missing} failed)" if cell.missing else cell.ours


def ssl_json(
    table: SSLTable,
    cells: Sequence[Sequence[SSLCell]],
    baselines: Sequence[Baseline],
    runs: str,
    notes: Sequence[str],
) -> dict[str, Any]:
    """The same, for programs; `values` holds our number of every fold and seed in the unit of the column."""
    return {
        "table": table.name,
        "title": table.title,
        "runs": runs,
        "notes": list(notes),
        "cells": [_cell_json(cell) for row in cells for cell in row],
        "baselines": [
            {"name": line.name, **{column: _values_json(values) for column, values in line.values.items()}}
            | ({"reason": line.reason} if line.reason else {})
            for line in baselines
        ],
    }


def _cell_json(cell: SSLCell) -> dict[str, Any]:
    return {
        "row": cell.row,
        "column": cell.column,
        "run": dict(cell.training.options),
        "paper": cell.paper,
        "ours": cell.ours,
        "values": _values_json(cell.values),
        **({"reason": cell.reason} if cell.reason else {}),
        **({"failed": cell.missing} if cell.missing else {}),
    }


def _values_json(values: Mapping[tuple[int, int], float]) -> list[dict[str, float]]:
    return [{"fold": fold, "seed": seed, "value": value} for (fold, seed), value in values.items()]


def _distinct(runs: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    return sorted({run[key] for run in runs})
