"""The sounds that a command is given: one with the place of its picture, or files and folders."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..audio import Recording


#: What stands for standard input among files.
STANDARD_INPUT = "-"


def add_sound_options(parser: argparse.ArgumentParser, ending: str) -> None:
    """Give a command FILE and `--output`; `ending` as of `picture_beside`, which says where else the picture goes."""
    add = parser.add_argument
    add("file", metavar="FILE", help="WAV, FLAC, Ogg, MP3, AIFF …; - for standard input")
    add("--output", metavar="PICTURE", help=f"PNG, PDF or SVG to write (default: FILE with the ending .{ending})")


def read_sound(file: str, longest: float = math.inf) -> Recording:
    """The recording in a file, or on standard input for `-`; `longest` as of `read_recording`."""
    from ..audio import read_recording

    if file == STANDARD_INPUT:
        return read_recording(sys.stdin.buffer.read(), "standard input", longest)
    return read_recording(file, None, longest)


def picture_beside(file: str, ending: str) -> str:
    """The file with another ending; for standard input the ending alone."""
    return ending if file == STANDARD_INPUT else str(Path(file).with_suffix(f".{ending}"))


def expand_sounds(names: Sequence[str]) -> list[str]:
    """Files, in the order given, with the sound files below a folder in its place."""
    from ..errors import QuaclrsError
    from ..inference.classifier import several_sounds

    files: list[str] = []
    for name in names:
        files += [str(file) for file in several_sounds(name) or []] if Path(name).is_dir() else [name]
    if files.count(STANDARD_INPUT) > 1:
        raise QuaclrsError("standard input (-) can be read once; give - once")
    return files
