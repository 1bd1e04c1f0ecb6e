"""Files and folders that are complete or absent, however a program ends."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
