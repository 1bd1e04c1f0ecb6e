"""`quaclrs report`: one page about a finished run or cross-validation."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..files import refuse_unwritable


def add_report_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "report",
        help="write a page about a run",
        description="Write one HTML page, and Markdown, about a finished run or cross-validation.",
    )
    parser.add_argument("folder", type=Path, metavar="RUN_OR_CV", help="folder of a finished run or cross-validation")
    parser.add_argument("--output-dir", type=Path, metavar="DIR", help="folder to write into (default: the same)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_report, extra="train")


def run_report(options: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    output = options.output_dir or options.folder
    if options.output_dir or options.folder.is_dir():  # else the message is that the run does not exist
        refuse_unwritable(output, "--output-dir")
    from datasets import disable_progress_bars

    from ..evaluation.reports.page import sounds_of, write_report
    from ..evaluation.reports.page_data import read_report_data

    disable_progress_bars()
    data = read_report_data(options.folder)
    sounds = sounds_of(data.dataset, [mistake.clip_id for mistake in data.worst_mistakes()])
    page, text = write_report(data, output, sounds)
    print(json.dumps({"html": str(page), "markdown": str(text)}) if options.json else f"{page}\n{text}")
    return 0
