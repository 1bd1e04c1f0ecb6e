"""`quaclrs suggest`: choose windows of unlabelled recordings to label next."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..errors import printable
from ..files import refuse_used_folder


def add_suggest_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "suggest",
        help="choose what to label next",
        description="Cut the windows that a model would learn most from out of unlabelled recordings, to be labelled.",
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="UNLABELLED_DIR", help="recordings of any length")
    add("--model", metavar="DIR_OR_REPO", help="what `quaclrs learn` wrote, or another (default: the package's own)")
    add("-n", "--count", type=int, default=30, metavar="N", help="windows at most (default 30)")
    add("--output", required=True, type=Path, metavar="DIR", help="new folder: a folder of windows for each guess")
    add("--json", action="store_true", help="print one JSON object a window and line")
    parser.set_defaults(run=run_suggest)


def run_suggest(options: argparse.Namespace) -> int:
    """Choose, cut, and say what to do next."""
    refuse_used_folder(options.output, "--output")
    from ..evaluation.reports.tables import counted
    from ..learning.suggest import SHEET, suggest, write_review

    suggestions = suggest(options.folder, options.model, options.count, progress=None)
    clips = write_review(suggestions, options.output, options.folder)
    if options.json:
        for found, clip in zip(suggestions, clips, strict=True):
            told = {"clip": str(clip), "cut_from": str(found.file), "start": found.start, "end": found.end}
            print(json.dumps({**told, "guess": found.guess, "score": found.score, "need": found.need}))
        return 0
    for found, clip in zip(suggestions, clips, strict=True):
        print(f"{printable(str(clip))}: {found.guess} {100 * found.score:.0f}%?")
    output = printable(str(options.output))
    listed = f"{counted(len(clips), 'window')} that would teach most, each with a guess; {output}/{SHEET} lists them"
    print(f"{listed}. Listen, move each to the folder of")
    print(f"what it is, delete what is nothing, and run `quaclrs learn YOUR_FOLDER {output} --output MODEL`.")
    return 0
