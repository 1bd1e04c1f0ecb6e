"""Files and folders that are complete or absent, however a program ends."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import QuaclrsError


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A place beside `path` for a file or a folder, which gets its name when the block ends without an error.

    A former file or empty folder of that name is replaced. The parent folder must exist.
    """
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder / path.name
        if path.is_dir():
            path.rmdir()
        (folder / path.name).replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


#: Reasons why a file cannot be written.
_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}


def refuse_unwritable_cache(error: BaseException) -> None:
    """Raise a `QuaclrsError` that names the cache where a library failed as it cannot write it; else do nothing."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _UNWRITABLE:
            place = f"the cache {cause.filename}" if cause.filename else "the cache of Hugging Face"
            raise QuaclrsError(
                f"{place} cannot be written ({cause.strerror}); set HF_HOME to a folder that can, with room in it"
            ) from error
        cause = cause.__cause__ or cause.__context__
