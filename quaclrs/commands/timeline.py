"""`quaclrs timeline`: what is heard when in a recording of any length."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..evaluation.reports.tables import percent
from .model_options import add_channel_option, add_model_options, load_model
from .one_sound import STANDARD_INPUT

if TYPE_CHECKING:
    from ..inference.timeline import Segment

FORMATS = ("table", "csv", "json", "audacity")


def add_timeline_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "timeline",
        help="say what is heard when in a recording",
        description="Say what is heard when in a recording of any length.",
    )
    add = parser.add_argument
    add("file", metavar="FILE", help="WAV, FLAC, Ogg, MP3, AIFF …; - for standard input")
    add_model_options(parser)
    add("--window", type=float, metavar="S", help="seconds that are classified at once (default: the model's own)")
    add("--hop", type=float, default=1.0, metavar="S", help="seconds from one window to the next (default 1)")
    add("--min-score", type=float, default=0.0, metavar="P", help="moments below this best score are `unsure`")
    add("--batch-size", type=int, default=8, metavar="N", help="windows at once (default 8)")
    add_channel_option(parser)
    add("--format", choices=FORMATS, default="table", help="audacity: a label track to import (default table)")
    add("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    parser.set_defaults(run=run_timeline)


def run_timeline(options: argparse.Namespace) -> int:
    """Print the segments of a file."""
    from ..errors import QuaclrsError

    if options.batch_size < 1:
        raise QuaclrsError(f"--batch-size is {options.batch_size}; it must be 1 or more")
    classifier = load_model(options)
    asked = {name: getattr(options, name) for name in ("window", "hop", "min_score", "batch_size", "channel")}
    if options.file == STANDARD_INPUT:
        # A sound cannot be read piece by piece from a pipe: its format may need to seek.
        with tempfile.NamedTemporaryFile(suffix=".sound") as copy:
            while piece := sys.stdin.buffer.read(1 << 20):
                copy.write(piece)
            copy.flush()
            segments = classifier.predict_timeline(copy.name, **asked, name="standard input")
    else:
        segments = classifier.predict_timeline(options.file, **asked)
    print(format_segments(segments, options.format), end="")
    return 0


def format_segments(segments: Sequence[Segment], style: str) -> str:
    """Segments as one of `FORMATS`; times in seconds, but for the table's minutes and seconds."""
    if style == "json":
        return json.dumps([dataclasses.asdict(segment) for segment in segments], ensure_ascii=False) + "\n"
    if style == "audacity":  # start, end and label, with tabs between
        return "".join(f"{s.start:.6f}\t{s.end:.6f}\t{s.label}\n" for s in segments)
    if style == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["start", "end", "label", "score"])
        writer.writerows([f"{s.start:.3f}", f"{s.end:.3f}", s.label, f"{s.score:.4f}"] for s in segments)
        return text.getvalue()
    return "".join(f"{_clock(s.start)} – {_clock(s.end)}  {s.label:<18} {percent(s.score):>6}\n" for s in segments)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes):3d}:{rest:04.1f}"
