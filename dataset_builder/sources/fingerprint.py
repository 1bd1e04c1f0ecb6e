"""Whether sources on disk have changed since they were read last, told without opening a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def fingerprint(sources: Iterable[str | Path]) -> str:
    """Hash of name, size and time of change of every file of some sources.

    Args:
        sources: folders, archives, or words such as `download`, which count as they are.
    """
    digest = hashlib.sha256()
    for source in sources:
        path = Path(source)
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            facts = file.stat() if file.is_file() else None
            state = (facts.st_size, facts.st_mtime_ns) if facts else ()
            digest.update(repr((file.as_posix(), state)).encode())
    return digest.hexdigest()[:16]
