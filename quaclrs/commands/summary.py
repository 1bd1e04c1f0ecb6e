"""`quaclrs summary`: sum up a table of annotations on one page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_summary_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "summary",
        help="sum up an annotated archive on one page",
        description="Hours, times of day, levels and examples to listen to, of a table that annotate wrote.",
    )
    add = parser.add_argument
    add("table", type=Path, metavar="TABLE", help="what `quaclrs annotate` wrote: .parquet, .csv or .jsonl")
    add("--output", type=Path, default=Path("summary.html"), metavar="PAGE", help="default: summary.html")
    add("--title", default="What the street sounds like", help="heading of the page")
    add("--sounds", type=Path, default=Path(), metavar="DIR", help="where the table's files lie (default: here)")
    add(
        "--examples",
        type=int,
        default=2,
        metavar="N",
        help="surest and least sure sounds of each class (default 2; 0: none)",
    )
    parser.set_defaults(run=run_summary)


def run_summary(options: argparse.Namespace) -> int:
    """Write the page and print its place."""
    from ..archive.page import example_of, summary_page
    from ..archive.summary import summarize
    from ..archive.tables import read_rows
    from ..errors import QuaclrsError
    from ..files import name_unwritable, refuse_unwritable, written

    if options.examples < 0:
        raise QuaclrsError(f"--examples is {options.examples}; it must be 0 or more")
    if options.output.is_dir():
        raise QuaclrsError(f"--output {options.output} is a folder; give the name of a page in it")
    if not options.sounds.is_dir():
        raise QuaclrsError(f"--sounds {options.sounds} is not a folder; give the one that annotate was run in")
    summary = summarize(read_rows(options.table), options.examples)
    refuse_unwritable(options.output, "--output")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    page = summary_page(summary, options.title, lambda row: example_of(row, options.sounds))
    with name_unwritable(options.output), written(options.output) as file:
        file.write_text(page, encoding="utf-8")
    print(options.output)
    return 0
