"""One writer a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import QuaclrsError
from .files import refuse_unwritable


@contextmanager
def only_writer(folder: Path, option: str = "--output-dir") -> Iterator[None]:
    """Be the only process that writes a folder, which need not exist yet.

    The lock is a hidden file beside the folder, which the system frees however its holder ends.

    Args:
        folder: whose parents are made where absent.
        option: how the user chooses the folder, for the message.

    Raises:
        QuaclrsError: another process writes it, or the place cannot be written.
    """
    path = Path(os.path.realpath(folder))
    refuse_unwritable(path.parent, option)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name[:200]}.lock"), timeout=0)
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
