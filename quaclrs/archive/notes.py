"""Notes that C libraries write into file descriptor 2, libmpg123 above all: kept from a progress bar and from logs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_library_notes() -> Iterator[None]:
    """Turn the descriptor away; `sys.stderr`, where it is that descriptor, goes on by a copy of it.

    `audio.source` does so for single calls of the main thread; here many threads decode.
    """
    stderr = sys.stderr
    try:
        is_ours = stderr is not None and stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):  # somebody captures it
        is_ours = False
    if not is_ours:
        yield
        return
    stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        sys.stderr = os.fdopen(os.dup(kept), "w", buffering=1, encoding=stderr.encoding, errors=stderr.errors)
        yield
    finally:
        sys.stderr.close()
        sys.stderr = stderr
        os.dup2(kept, 2)
        os.close(kept)
