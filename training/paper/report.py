"""A reproduced table as Markdown, which reads as well on a terminal, and as JSON.

The supervised tables have a line a cell, each with what stands behind it: ten folds side by side would fit no screen.
The self-supervised ones have the paper's rows.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from quaclrs.evaluation.reports.tables import markdown_table
from quaclrs.evaluation.run_metrics import RunMetrics
from quaclrs.folds import PAPER_PROTOCOL_WARNING
from quaclrs.labels import SIRENNET, URBANSOUND8K

from .baselines import COLUMNS, Baseline
from .cells import Cell, Results
from .plan import Key, Request
from .tables import PaperTable

LEGEND = (
    "In brackets: initial weights, test folds, epochs, training clips of a run (mean) / test clips of all folds, "
    "picture, protocol. ± is the standard deviation over folds and seeds (n - 1)."
)
SSL_LEGEND = (
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
#: Accuracy on the nine old classes and on the four new ones, as `metrics.json` names them.
ACCURACIES_OF_SOURCES = (f"accuracy_{URBANSOUND8K}", f"accuracy_{SIRENNET}")

OPTIMISTIC = f"The paper's figures are of its own folds: {PAPER_PROTOCOL_WARNING}."


@dataclass(frozen=True)
class Report:
    """A table with our figures beside the paper's.

    Attributes:
        table: of the paper.
        request: what was asked for.
        cells: row by row.
        results: what was measured.
        baselines: lines beside a self-supervised table.
    """

    table: PaperTable
    request: Request
    cells: Sequence[Sequence[Cell]]
    results: Results
    baselines: Sequence[Baseline] = ()

    @cached_property
    def methods(self) -> dict[str, list[RunMetrics]]:
        """The runs of the table's trainings, without those of baselines, by the name that it prints."""
        found: dict[str, list[RunMetrics]] = {}
        for training, name in self.table.trainings(self.request.backbones).items():
            found.setdefault(name, []).extend(run for _, run in sorted(self.results[training].items()))
        return found

    @cached_property
    def notes(self) -> list[str]:
        """Notes for a reader of the table: about the paper's figures, then about ours."""
        notes = [f"The paper's footnote: {self.table.footnote}"] if self.table.footnote else []
        return [*notes, OPTIMISTIC, *self.table.notes, *self._missing_weights(), *self._warnings()]

    def _missing_weights(self) -> Iterator[str]:
        weights, pretrained = self.request.weights, [t for t in self.results if t.from_pretrained]
        measured = dict.fromkeys(run.backbone for training in pretrained for run in self.results[training].values())
        if missing := [backbone for backbone in measured if weights[backbone].missing]:
            yield (
                f"No ImageNet weights of {', '.join(missing)} ({weights[missing[0]].missing}): where the recipe begins "
                "with them, ours began with random weights instead and says random init."
            )

    def _warnings(self) -> Iterator[str]:
        warnings = [(name, text) for name, runs in self.methods.items() for run in runs for text in run.warnings]
        for text in dict.fromkeys(text for _, text in warnings):
            # The protocol's own is said of the paper's figures, and ours name it.
            if text != PAPER_PROTOCOL_WARNING and not text.startswith("epoch "):
                yield f"Ours: {text}."
        ended = [(name, text) for name, text in warnings if text.startswith("epoch ")]  # a run's last, such as collapse
        if ended:
            counts = Counter(name for name, _ in ended)
            where = "; ".join(f"{name}: {count}" for name, count in counts.items())
            yield f"Ours: runs that ended with a warning: {where}. The first of them: {ended[0][1]}."

    @cached_property
    def runs(self) -> str:
        """Describe the runs behind the figures of a self-supervised table, for instance
        `Ours: resnet18, 224 px, fold 1, seeds 0-2, 1 epoch, 390 clips to train on and 830 to test, strict.`
        """
        runs = [run for of_method in self.methods.values() for run in of_method]
        if not runs:
            return "Ours: every run failed."
        epochs = as_ranges(distinct(runs, "epochs"))
        tested = {run.test_fold: run.tested_clips for run in runs}
        facts = [
            *distinct(runs, "backbone"),
            f"{as_ranges(distinct(runs, 'image_size'))} px",
            _numbered("fold", distinct(runs, "test_fold")),
            _numbered("seed", distinct(runs, "seed")),
            f"{epochs} epoch{'s' * (epochs != '1')}",
            f"{statistics.mean(run.clips_train for run in runs):,.0f} clips to train on and "
            f"{sum(tested.values()):,} to test",
            f"batches of {as_ranges(distinct(runs, 'batch_size'))}",
            *distinct(runs, "protocol"),
            *(precision for precision in distinct(runs, "mixed_precision") if precision != "no"),
        ]
        return f"Ours: {', '.join(facts)}."

    def to_markdown(self) -> str:
        """The page, also to be read on a terminal."""
        number = self.table.name.removeprefix("table")
        lines = [f"# {f'Table {number}: ' if number.isdecimal() else ''}{self.table.title}", ""]
        lines += self._wide() if self.table.is_self_supervised else self._long()
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes)]) + "\n"

    def _long(self) -> list[str]:
        body = [
            [cell.column.heading, cell.row.name, cell.paper, describe_with_runs(cell)]
            for column in zip(*self.cells, strict=True)
            for cell in column
        ]
        return [_table(["Column", self.table.row_heading, "Paper", "Ours"], body), "", LEGEND]

    def _wide(self) -> list[str]:
        body = [[row[0].row.name, *(f"{cell.paper} / {describe(cell)}" for cell in row)] for row in self.cells]
        headings = [column.heading for column in self.table.columns]
        lines = [_table([self.table.row_heading, *headings], body), "", SSL_LEGEND, self.runs]
        if self.baselines:
            beside = [[line.name, *line.texts()] for line in self.baselines]
            lines += ["", "## Ours beside controls and baselines", ""]
            lines += [_table(["Encoder or control", *COLUMNS], beside), "", BASELINE_LEGEND]
            if any("ImageNet" in line.name and line.values for line in self.baselines):
                lines.append(IMAGENET_LEGEND)
        return lines

    def to_json(self) -> dict[str, Any]:
        """The same, for programs; `values` holds our number of every fold and seed in the unit of the column."""
        page = {"table": self.table.name, "title": self.table.title, "protocol": self.request.protocol}
        if not self.table.is_self_supervised:
            cells = [_with_runs_json(cell) for column in zip(*self.cells, strict=True) for cell in column]
            return {**page, "notes": self.notes, "cells": cells}
        return {
            **page,
            "runs": self.runs,
            "notes": self.notes,
            "cells": [self._cell_json(cell) for row in self.cells for cell in row],
            "baselines": [
                {"name": line.name, **{column: _values_json(values) for column, values in line.values.items()}}
                | ({"reason": line.reason} if line.reason else {})
                for line in self.baselines
            ],
        }

    def _cell_json(self, cell: Cell) -> dict[str, Any]:
        entry = _with_runs_json(cell)
        entry["run"] = dict(self.table.training(cell.row, cell.column).options)
        return entry | ({"failed": cell.missing} if cell.missing else {})


def describe(cell: Cell) -> str:
    """Our figure, or a dash with the reason; how many runs it lacks where some failed."""
    if cell.ours is None:
        return f"– ({cell.reason})"
    return f"{cell.ours} ({cell.missing} failed)" if cell.missing else cell.ours


def describe_with_runs(cell: Cell) -> str:
    """Our figure with folds, epochs, clips and protocol, for instance
    `62.1 ± 3.0% (random init, f1-3, 5 ep, 390/830 clips, 224 px, strict)`, or a dash with the reason.
    """
    if cell.ours is None:
        return f"– ({cell.reason})"
    of_runs = _with_runs_json(cell)
    facts = [f"mean of {len(next(iter(cell.runs.values())))} rows"] if cell.row.average else []
    facts += [*of_runs["initial_weights"], f"f{as_ranges(of_runs['folds'])}"]
    if of_runs["seeds"] != [0]:
        facts.append(_numbered("seed", of_runs["seeds"]))
    facts += [f"{as_ranges(of_runs['epochs'])} ep", f"{of_runs['clips_train']}/{of_runs['clips_test']} clips"]
    facts += [f"{as_ranges(of_runs['image_size'])} px", *of_runs["protocol"]]
    facts += [precision for precision in of_runs["mixed_precision"] if precision != "no"]
    return f"{cell.ours} ({', '.join(facts)})"


def _with_runs_json(cell: Cell) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "row": cell.row.name,
        "backbone": cell.row.run.get("backbone"),
        "column": cell.column.heading,
        "paper": cell.paper,
        "ours": cell.ours,
    }
    if cell.ours is None:
        return {**entry, "reason": cell.reason}
    runs = [run for of_key in cell.runs.values() for run in of_key]
    return {
        **entry,
        "values": _values_json(cell.values),
        "folds": distinct(runs, "test_fold"),
        "seeds": distinct(runs, "seed"),
        "clips_train": round(statistics.mean(run.clips_train for run in runs)),
        "clips_test": sum({run.test_fold: run.tested_clips for run in runs}.values()),
        "backbones": distinct(runs, "backbone"),
        **{
            name: distinct(runs, name)
            for name in ("initial_weights", "epochs", "protocol", "image_size", "mixed_precision")
        },
        **_of_sources(cell, runs),
    }


def _of_sources(cell: Cell, runs: Sequence[RunMetrics]) -> dict[str, float]:
    """Mean accuracy, in [0, 1], on the classes of each source apart, of a cell that is a mean of accuracies."""
    if cell.column.value not in ("accuracy", "percent") or cell.column.show != "mean":
        return {}
    figures = [run.of() for run in runs]
    known = [name for name in ACCURACIES_OF_SOURCES if all(of.get(name) is not None for of in figures)]
    return {name: statistics.mean(of[name] for of in figures) for name in known}


def _values_json(values: Mapping[Key, float]) -> list[dict[str, float]]:
    return [{"fold": fold, "seed": seed, "value": value} for (fold, seed), value in values.items()]


def distinct(runs: Iterable[RunMetrics], name: str) -> list[Any]:
    """The different values of a field that runs have, sorted."""
    return sorted({getattr(run, name) for run in runs})


def _numbered(name: str, numbers: Sequence[int]) -> str:
    return f"{name}{'s' * (len(numbers) > 1)} {as_ranges(numbers)}"


def as_ranges(numbers: Sequence[int]) -> str:
    """Ascending whole numbers in short: 1, 2, 3, 5 becomes `1-3,5`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return ",".join("-".join(map(str, ends)) for ends in ranges)


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return markdown_table(heading, rows, align="l" * len(heading))
