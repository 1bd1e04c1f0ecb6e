"""One writer a folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import QuaclrsError
from .files import refuse_unwritable


@contextmanager
def only_writer(folder: Path, option: str = "--output-dir") -> Iterator[None]:
    """Be the only process that writes a folder, which need not exist yet.

    The lock is a hidden file beside the folder, which the system frees however its holder ends. Beside a folder that is
    there, a mounted disk for one, there may be no room for it: then it lies with this machine's temporary files.

    Args:
        folder: whose parents are made where absent, and go again where nothing was written.
        option: how the user chooses the folder, for the message.

    Raises:
        QuaclrsError: another process writes it, or the place cannot be written.
    """
    path = Path(os.path.realpath(folder))
    absent = [parent for parent in path.parents if not parent.exists()]
    if path.is_dir() and not os.access(path.parent, os.W_OK):
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()
        place = Path(tempfile.gettempdir(), f"quaclrs-{digest[:16]}.lock")
    else:
        refuse_unwritable(path.parent, option)
        path.parent.mkdir(parents=True, exist_ok=True)
        place = path.with_name(f".{path.name[:200]}.lock")
    lock = FileLock(place, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise QuaclrsError(
            f"{folder} is being written by another process; wait for it, or choose another {option}"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(lock.lock_file)  # while it is held: nobody else's
        lock.release()
        with suppress(OSError):  # one that is not empty stays, with those above it
            for parent in absent:
                parent.rmdir()
