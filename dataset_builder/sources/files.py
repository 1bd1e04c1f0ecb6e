"""The files of a source: its root folder, its clips, its tables, and whether any has changed since it was read last."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

from quaclrs.audio import walk_files
from quaclrs.errors import QuaclrsError


def find_root(folder: Path, is_root: Callable[[Path], bool], option: str, depth: int = 3) -> Path:
    """The folder that has a source's layout: the given one, or the first below it, as archives wrap it in others.

    Args:
        folder: where to look.
        is_root: tells the folder by its layout.
        option: how to name the folder's command line option in an error.
        depth: how many levels of folders are looked into.

    Returns:
        The folder with the layout; the given one where none has it.

    Raises:
        QuaclrsError: `folder` is not a folder.
    """
    if not folder.is_dir():
        raise QuaclrsError(f"folder {folder} does not exist; check {option}")
    level = [folder]
    for _ in range(depth + 1):
        for candidate in level:
            if is_root(candidate):
                return candidate
        level = list(chain.from_iterable(_folders_in(parent) for parent in level))
    return folder


def _folders_in(parent: Path) -> list[Path]:
    """The folders in another, without hidden ones and macOS's `__MACOSX`; none where it may not be read."""
    try:
        return sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))
    except PermissionError:
        return []


def refuse_doubled_names(folder: Path, clips: Iterable[Path]) -> None:
    """Raise where two clips differ in nothing but their ending, as they would get one clip_id."""
    counts = Counter(path.with_suffix("") for path in clips)
    for path in sorted(path for path, count in counts.items() if count > 1):
        name = path.relative_to(folder)
        raise QuaclrsError(f"{folder} holds {name} twice with different endings; keep one of them")


def read_table(path: Path, wanted: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a CSV file, with empty text for cells that are absent.

    Raises:
        QuaclrsError: the file is not UTF-8 text, is malformed, or lacks a column of `wanted`.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
            reader = csv.DictReader(file, restval="")
            rows = list(reader)
            columns = set(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise QuaclrsError(f"{path} cannot be read as a CSV file in UTF-8 ({error}); save it as one") from error
    if missing := sorted(set(wanted) - columns):
        raise QuaclrsError(f"{path} has no column {', '.join(missing)}; add it or restore the original file")
    return rows


def fingerprint(sources: Iterable[str | Path]) -> str:
    """Hash of name, size and time of change of every file of some sources, none of which is opened.

    Args:
        sources: folders, archives, or words such as `download`, which count as they are.
    """
    digest = hashlib.sha256()
    for source in sources:
        path = Path(source)
        files = walk_files(path) if path.is_dir() else [path]
        for file in files:
            facts = file.stat() if file.is_file() else None
            state = (facts.st_size, facts.st_mtime_ns) if facts else ()
            digest.update(repr((file.as_posix(), state)).encode())
    return digest.hexdigest()[:16]
