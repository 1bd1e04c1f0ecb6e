"""Standard error while a library writes notes of its own into it.

libmpg123 writes into file descriptor 2 from whatever thread decodes. The descriptor is the whole process's, so it is
turned away while any thread decodes, and our own lines go to where it led before.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_DESCRIPTOR = 2

_lock = threading.Lock()
_inside = 0
_before: TextIO | None = None


@contextmanager
def turned_away() -> Iterator[None]:
    """Let nothing into file descriptor 2 for a block; blocks may nest, and run in several threads at once."""
    global _inside, _before
    with _lock:
        if _inside == 0:
            _before = _turn_away()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _before is not None:
                os.dup2(_before.fileno(), _DESCRIPTOR)
                _before.close()
                _before = None


def write_line(line: str) -> None:
    """Write a line to standard error, wherever its descriptor is turned to at the moment."""
    with _lock:
        try:
            led_away = _before is not None and sys.stderr.fileno() == _DESCRIPTOR
        except (OSError, ValueError, AttributeError):  # not a file, as in a notebook, or closed
            led_away = False
        print(line, file=_before if led_away else sys.stderr, flush=True)


def _turn_away() -> TextIO | None:
    """Turn the descriptor to nowhere; a file of where it led, or None where there is none."""
    try:
        kept = os.dup(_DESCRIPTOR)
    except OSError:  # it is closed, so nothing is written
        return None
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _DESCRIPTOR)
    os.close(nowhere)
    return os.fdopen(kept, "w", encoding="utf-8", errors="backslashreplace")
