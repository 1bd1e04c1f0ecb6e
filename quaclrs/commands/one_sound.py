"""The sounds that a command is given: one with the place of its picture, or files and folders."""

from __future__ import annotations

import argparse
import glob
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from ..errors import QuaclrsError, print_error

#: What stands for standard input among files.
STANDARD_INPUT = "-"


def add_sound_options(parser: argparse.ArgumentParser, ending: str) -> None:
    """Give a command FILE and `--output`; `ending` as of `picture_beside`, which says where else the picture goes."""
    add = parser.add_argument
    add("file", metavar="FILE", help="WAV, FLAC, Ogg, MP3, AIFF …; - for standard input")
    add("--output", metavar="PICTURE", help=f"PNG, PDF or SVG to write (default: FILE with the ending .{ending})")


def opened_sound(file: str) -> str | BinaryIO:
    """The file, or standard input for `-`, which a `QuaclrsError` names where it is closed."""
    if file != STANDARD_INPUT:
        return file
    if sys.stdin is None:
        raise QuaclrsError("standard input (-) is closed; give a file")
    return sys.stdin.buffer


def picture_beside(file: str, ending: str) -> str:
    """The file with another ending; for standard input, by whichever name, the ending alone."""
    if file == STANDARD_INPUT or file.startswith(("/dev/", "/proc/")):
        return ending
    return str(Path(file).with_suffix(f".{ending}"))


def only_sound(name: str) -> str:
    """The file, or the only one that a pattern means."""
    files = _expand_pattern(name)
    if len(files) > 1:
        raise QuaclrsError(f"{name} means {len(files)} files, but one is wanted; give one")
    return files[0]


def _expand_pattern(name: str) -> list[str]:
    """The files that `*.wav` means, sorted, as Windows hands it on; any other name alone."""
    if not name:
        raise QuaclrsError("the name of a sound is empty; give a file or a folder")
    if os.path.lexists(name) or not glob.has_magic(name):
        return [name]
    if files := sorted(glob.glob(name, recursive=True)):
        return files
    raise QuaclrsError(f"{name} matches no file; check the pattern and its folder")


def expand_sounds(names: Sequence[str]) -> tuple[list[str], int]:
    """Files, in the order given, with the sound files below a folder, and those that a pattern means, in its place.

    Returns:
        The files, and how many of several names stand for none; each of them is named on standard error.

    Raises:
        QuaclrsError: the only name stands for no file, or standard input is named twice.
    """
    from ..inference.windows import several_sounds

    files: list[str] = []
    empty = 0
    for name in names:
        try:
            for found in _expand_pattern(name):
                files += [str(file) for file in several_sounds(found) or []] if os.path.isdir(found) else [found]
        except QuaclrsError as error:
            if len(names) == 1:
                raise
            empty += 1
            print_error(error)
    if files.count(STANDARD_INPUT) > 1:
        raise QuaclrsError("standard input (-) can be read once; give - once")
    return files, empty
