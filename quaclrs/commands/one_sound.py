"""What the commands that draw one sound share: the sound, and where its picture goes."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..audio import Recording


def read_sound(file: str, longest: float = math.inf) -> Recording:
    """The recording in a file, or on standard input for `-`; `longest` as of `read_recording`."""
    from ..audio import read_recording

    if file == "-":
        return read_recording(sys.stdin.buffer.read(), "standard input", longest)
    return read_recording(file, None, longest)


def picture_beside(file: str, ending: str) -> str:
    """The file with another ending; for standard input the ending alone."""
    return ending if file == "-" else str(Path(file).with_suffix(f".{ending}"))
