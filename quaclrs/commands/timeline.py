"""`quaclrs timeline`: what is heard when in a recording of any length."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import print_error, printable
from ..evaluation.reports.tables import percent
from .model_options import add_answer_options, add_channel_option, add_model_options, load_model, min_score_of
from .one_sound import expand_sounds, opened_sound

if TYPE_CHECKING:
    from ..inference.classifier import AudioClassifier
    from ..inference.timeline import Segment

FORMATS = ("table", "csv", "json", "audacity")

_COLUMNS = ("start", "end", "label", "score")


def add_timeline_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "timeline",
        help="say what is heard when in recordings",
        description="Say what is heard when in recordings of any length, or in all below a folder.",
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE_OR_DIR", help="WAV, FLAC, Ogg, MP3, AIFF …; - for standard input")
    add_model_options(parser)
    add("--window", type=float, metavar="S", help="seconds that are classified at once (default: the model's own)")
    add("--hop", type=float, default=1.0, metavar="S", help="seconds from one window to the next (default 1)")
    add_answer_options(parser, "a moment is")
    add("--batch-size", type=int, default=8, metavar="N", help="windows at once (default 8)")
    add_channel_option(parser)
    add("--format", choices=FORMATS, default="table", help="audacity: a label track of one file (default table)")
    add("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    parser.set_defaults(run=run_timeline)


def run_timeline(options: argparse.Namespace) -> int:
    """Print the segments of each file that can be read; name the others on stderr and return 2 if there are any."""
    from ..audio import AudioError
    from ..errors import QuaclrsError

    if options.batch_size < 1:
        raise QuaclrsError(f"--batch-size is {options.batch_size}; it must be 1 or more")
    if options.format == "audacity" and (len(options.files) > 1 or Path(options.files[0]).is_dir()):
        raise QuaclrsError("--format audacity is the label track of one file; give one, or --format csv")
    files, broken = expand_sounds(options.files)
    several = len(files) > 1 or files != options.files
    classifier = load_model(options)
    options.min_score = min_score_of(options, classifier)
    names = ("window", "hop", "min_score", "batch_size", "channel", "group_sirens")
    asked = {name: getattr(options, name) for name in names}
    columns = [*(["file"] if several else []), *_COLUMNS]
    header = ",".join(columns) + "\n" if options.format == "csv" else ""
    for file in files:
        try:
            segments = _segments_of(classifier, file, asked)
        except AudioError as error:
            if not several:
                raise
            broken += 1
            print_error(error)
            continue
        print(header + format_segments(segments, options.format, file if several else None), end="", flush=True)
        header = ""
    return 2 if broken else 0


def _segments_of(classifier: AudioClassifier, file: str, asked: dict[str, Any]) -> list[Segment]:
    return classifier.predict_timeline(opened_sound(file), **asked)


def format_segments(segments: Sequence[Segment], style: str, file: str | None = None) -> str:
    """Segments as one of `FORMATS`; times in seconds, but for the table's minutes and seconds.

    Args:
        segments: of one file.
        style: CSV comes without its header.
        file: of several, the one whose segments they are.
    """
    if style == "json":
        found: Any = [dataclasses.asdict(segment) for segment in segments]
        return json.dumps(found if file is None else {"file": file, "segments": found}) + "\n"
    if style == "audacity":  # start, end and label, with tabs between
        return "".join(f"{s.start:.6f}\t{s.end:.6f}\t{s.label}\n" for s in segments)
    if style == "csv":
        text = io.StringIO()
        named = [] if file is None else [file]
        csv.writer(text, lineterminator="\n").writerows(
            [*named, f"{s.start:.3f}", f"{s.end:.3f}", s.label, f"{s.score:.4f}"] for s in segments
        )
        return text.getvalue()
    lines = [f"{_clock(s.start)} - {_clock(s.end)}  {s.label:<18} {percent(s.score):>6}\n" for s in segments]
    return "".join(lines if file is None else [f"{printable(file)}:\n", *lines])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes):3d}:{rest:04.1f}"
