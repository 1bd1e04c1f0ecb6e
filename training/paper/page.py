"""The page of all tables: the paper's figures beside ours under both protocols, its claims and its contradictions."""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

from quaclrs.errors import CommandParser
from quaclrs.evaluation.reports.tables import markdown_table, percent
from quaclrs.evaluation.result_files import write_text
from quaclrs.files import refuse_unwritable
from quaclrs.folds import PROTOCOLS

from .kept import Kept, read_kept
from .report import ACCURACIES_OF_SOURCES, as_ranges
from .rows import figure, joined, number_in, ours, printed, printed_cell, printed_headings, shown, star
from .tables import CONFIGS, SSL_TABLES, SUPERVISED_TABLES, load_table

#: The repository's own page, and the figures that it is made of.
PAGE, KEPT = Path("docs/results/paper.md"), Path("docs/results/runs/paper")

#: Tables of the paper, by section of the page; `combinations` is none.
SECTIONS = {"supervised": SUPERVISED_TABLES, "self_supervised": tuple(t for t in SSL_TABLES if t != "combinations")}

#: Tables whose first column is the accuracy of a way of training.
COMPARED = {"table9": "from scratch", "table5": "linear probe", "table11": "mixed precision"}

#: Below a table whose figures all stand in others of the page.
BELOW = "<small>Source: the files named below each table.</small>"

Found = Mapping[tuple[str, str], Kept]


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = page_parser()
    options = parser.parse_args(arguments)
    found = read_kept(options.results)
    refuse_unwritable(options.page, "--page")
    if options.keep:
        for kept in found.values():
            kept.write(options.keep / kept.protocol)
        found = read_kept([options.keep])
    text = write_page(found, options.page.parent)
    options.page.parent.mkdir(parents=True, exist_ok=True)
    write_text(options.page, text)
    print(options.page)
    return 0


def page_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = CommandParser(prog="python -m training.reproduce page", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--results",
        nargs="+",
        type=Path,
        default=[KEPT] if KEPT.is_dir() else [],
        metavar="DIR",
        help=f"--output-dir of finished tables, strict and paper (default: {KEPT})",
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep their figures here: DIR/PROTOCOL/TABLE.json")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help=f"Markdown to write (default: {PAGE})")
    return parser


def write_page(found: Found, folder: Path) -> str:
    """The Markdown page.

    Args:
        found: finished tables, by name and protocol.
        folder: of the page, from which it links to their files.
    """
    page = _Page(found, folder)
    template = Template((CONFIGS / "page.md").read_text(encoding="utf-8"))
    sections = {name: "\n\n".join(map(page.table, tables)) for name, tables in SECTIONS.items()}
    contradictions = read_contradictions()
    return template.substitute(
        comparison=page.comparison(),
        sizes=page.sizes(),
        claims=page.claims([entry["id"] for group in contradictions.values() for entry in group]),
        contradictions="\n".join(_contradictions(contradictions)),
        **sections,
    )


def read_contradictions() -> dict[str, list[dict[str, Any]]]:
    """The paper's contradictions, by kind; `contradictions.yaml` says what an entry holds."""
    return yaml.safe_load((CONFIGS / "contradictions.yaml").read_text(encoding="utf-8"))


def _contradictions(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    number = 0
    for title, entries in groups.items():
        yield f"**{title}**\n"
        for entry in entries:
            number += 1
            if "cells" in entry:
                said = "; ".join(f"{row} {printed}, not {right}" for row, (printed, right) in entry["cells"].items())
            else:
                said = f"{entry['printed']}. Should be: {entry['should_be']}"
            yield f"{number}. **{entry['where']}.** {said}. *Seen by: {entry['found']}.*"
        yield ""


@dataclass(frozen=True)
class _Page:
    """Parts of the page that show figures of ours.

    Attributes:
        found: finished tables, by name and protocol.
        folder: of the page.
    """

    found: Found
    folder: Path

    def table(self, name: str) -> str:
        """A table of the paper, a line a row, with ours where there are any."""
        table = load_table(name)
        kept = {protocol: self.found[name, protocol] for protocol in PROTOCOLS if (name, protocol) in self.found}
        columns = shown(table)
        measures = "" if len(columns) in (0, len(table.columns)) else f": {' · '.join(c.heading for c in columns)}"
        headings = [table.row_heading, f"paper: {printed_headings(table)}"]
        headings += [f"ours, {protocol}{measures}" for protocol in kept]
        body = [[row.name, printed(table, row), *(ours(table, row, of) for of in kept.values())] for row in table.rows]
        number = name.removeprefix("table")
        lines = markdown_table(headings, body, align="l" * len(headings))
        return f"### Table {number}: {table.title}\n\n{lines}\n\n{self._source(kept.values())}"

    def _source(self, kept: Iterable[Kept]) -> str:
        links = [f"[ours, {of.protocol}]({os.path.relpath(of.file, self.folder)})" for of in kept]
        return f"<small>Source: the paper; {', '.join(links) or 'of ours no file is kept'}.</small>"

    def claims(self, contradictions: Sequence[str]) -> str:
        """What the paper claims, with its figures, ours, and the numbers of the contradictions about it."""
        claims = yaml.safe_load((CONFIGS / "claims.yaml").read_text(encoding="utf-8"))
        body = []
        for claim in claims:
            numbers = [str(1 + contradictions.index(name)) for name in claim.get("contradictions", ())]
            if "difference" in claim:
                figures = [_difference(claim["difference"], None)]
                figures += [_difference(claim["difference"], self._by_table(protocol)) for protocol in PROTOCOLS]
            else:
                figures = [" · ".join(printed_cell(*cell) for cell in claim["cells"])]
                figures += [self._cells(claim["cells"], protocol) for protocol in PROTOCOLS]
            body.append([claim["claim"], claim["where"], *figures, ", ".join(numbers) or "–"])
        headings = ["claim", "where", "paper", *(f"ours, {protocol}" for protocol in PROTOCOLS), "contradictions"]
        return f"{markdown_table(headings, body, 'l' * 6)}\n\n{BELOW}"

    def _by_table(self, protocol: str) -> dict[str, Kept]:
        return {table: kept for (table, of), kept in self.found.items() if of == protocol}

    def _cells(self, cells: Sequence[Sequence[str]], protocol: str) -> str:
        texts = []
        for name, row, heading in cells:
            table, kept = load_table(name), self.found.get((name, protocol))
            (column,) = [column for column in table.columns if column.heading == heading]
            texts.append(figure(kept, row, column))
        return joined(texts)

    def comparison(self) -> str:
        """The same trainings under both protocols, on all classes, the nine old ones and the four new ones."""
        body = []
        gains: list[list[float]] = [[], [], []]
        for name, training in COMPARED.items():
            table = load_table(name)
            for row in table.rows:
                both = [self.found[name, protocol] for protocol in PROTOCOLS if (name, protocol) in self.found]
                cells = [of.figure(row.name, table.columns[0].heading) for of in both]
                shares = [_shares(cell) for cell in cells if cell and all(of in cell for of in ACCURACIES_OF_SOURCES)]
                if len(shares) < len(PROTOCOLS):
                    continue
                body.append([f"{row.name}, {training}", *(percent(s, unit="") for of in shares for s in of)])
                for of, strict, paper in zip(gains, *shares, strict=True):
                    of.append(100 * (paper - strict))
        if not body:
            return "No training of ours is kept that ran under both protocols."
        spans = [_span(of) for of in gains]
        headings = ["accuracy in per cent"]
        headings += [f"{protocol}: {of}" for protocol in PROTOCOLS for of in ("all", "nine old", "four new")]
        return (
            f"From `strict` to `paper` the accuracy of the same network, after as many epochs of about as many clips, "
            f"changes by {spans[0]} points: {spans[1]} on the nine old classes, {spans[2]} on the four new ones.\n\n"
            f"{markdown_table(headings, body)}\n\n{BELOW}"
        )

    def sizes(self) -> str:
        """What stands behind our figures: a line for each size of run."""
        tables: dict[tuple[str, ...], dict[str, None]] = {}
        networks: dict[tuple[str, ...], set[str]] = {}
        for (name, protocol), kept in self.found.items():
            for cell in kept.cells.values():
                if cell["ours"]:
                    size = (protocol, *(as_ranges(cell[of]) for of in ("image_size", "epochs", "folds", "seeds")))
                    size = (*size, f"{cell['clips_train']:,}", f"{cell['clips_test']:,}")
                    tables.setdefault(size, {})[name.removeprefix("table")] = None
                    networks.setdefault(size, set()).update(cell["backbones"])
        body = [[*size, ", ".join(sorted(networks[size])), ", ".join(of)] for size, of in tables.items()]
        headings = ["protocol", "pixels", "epochs", "folds", "seeds", "clips to train on", "clips to test"]
        lines = markdown_table([*headings, "networks", "tables"], body, "l" * 9)
        return f"{lines}\n\n{BELOW}" if body else "Nothing of ours is kept."


def _difference(tables: Sequence[str], kept: Mapping[str, Kept] | None) -> str:
    """Mean difference of the average accuracies of two tables over their rows; the paper's where `kept` is None."""
    differences = []
    for row in load_table(tables[0]).rows:
        numbers = []
        for table in tables:
            column = load_table(table).columns[0]
            if kept is None:
                numbers.append(number_in(printed_cell(table, row.name, column.heading)))
                continue
            cell = kept[table].figure(row.name, column.heading) if table in kept else None
            if cell and not star(column, cell):
                numbers.append(statistics.mean(value["value"] for value in cell["values"]))
        if len(numbers) == 2:
            differences.append(numbers[0] - numbers[1])
    return f"{statistics.mean(differences):+.2f} points" if differences else "– (needs ImageNet's weights)"


def _shares(cell: Mapping[str, Any]) -> list[float]:
    """Accuracy in [0, 1] on all classes, on the nine old and on the four new ones."""
    return [statistics.mean(v["value"] for v in cell["values"]) / 100, *(cell[of] for of in ACCURACIES_OF_SOURCES)]


def _span(numbers: Sequence[float]) -> str:
    low, high = f"{min(numbers):+.1f}", f"{max(numbers):+.1f}"
    return low if low == high else f"{low} to {high}"
