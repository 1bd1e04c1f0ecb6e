"""`quaclrs search`: find what sounds like a clip."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..errors import printable


def add_search_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "search",
        help="find what sounds like a clip",
        description="Find the windows of a folder's recordings that sound like a clip.",
    )
    add = parser.add_argument
    add("clip", type=Path, metavar="CLIP", help="a sound to look for")
    add("folder", type=Path, metavar="DIR", help="recordings of any length")
    add("--model", metavar="DIR_OR_REPO", help="whose encoder compares (default: the package's own)")
    add("-n", "--count", type=int, default=10, metavar="N", help="windows at most (default 10)")
    add("--json", action="store_true", help="print one JSON object a window and line")
    parser.set_defaults(run=run_search)


def run_search(options: argparse.Namespace) -> int:
    """Print the windows that sound most like the clip."""
    from ..learning.search import search

    for match in search(options.clip, options.folder, options.count, options.model, progress=None):
        if options.json:
            told = {"file": str(match.file), "start": match.start, "end": match.end, "similarity": match.similarity}
            print(json.dumps(told))
        else:
            print(f"{printable(str(match.file))}: {match.start:.1f} to {match.end:.1f} s, {match.similarity:.3f}")
    return 0
