"""Labels of the sounds below a folder: out of a table beside them, or by the names of the folders that they lie in."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import QuaclrsError

#: Columns of file names and of labels, in the tables of audio folders of `datasets`, ESC-50, UrbanSound8K, FSDKaggle.
FILE_COLUMNS = ("file_name", "filename", "slice_file_name", "fname", "file", "path")
LABEL_COLUMNS = ("label", "category", "class")

#: Endings of tables of labels.
TABLE_ENDINGS = (".csv", ".tsv", ".jsonl")

#: Folders that a table may lie below the sounds' own.
_DEPTH = 2


@dataclass(frozen=True)
class LabelTable:
    """Labels that tables give to the sounds of a folder.

    Attributes:
        labels: file, as a path within the folder -> its label, None where its cell is empty.
        tables: names of the tables, within the folder.
        absent: names that a table lists and no file has.
    """

    labels: Mapping[Path, str | None]
    tables: tuple[str, ...]
    absent: int


@dataclass(frozen=True)
class LabelledSound:
    """A sound of a folder: its path within it, its label (None where it has none), and its split, if there are any."""

    file: Path
    label: str | None
    split: str | None


def label_sounds(
    folder: Path, files: Sequence[Path], label_column: str | None = None, known: Collection[str] = ()
) -> tuple[list[LabelledSound], LabelTable | None]:
    """Label the sounds of a folder: by tables, and what no table names by its sub-folder.

    Folders `train`, `validation` and `test`, or what else `datasets` takes for these, are splits where all sounds lie
    in such. A folder around all others, as unpacking leaves one, is none of a class.

    Args:
        folder: of the sounds.
        files: of the sounds, within the folder.
        label_column: of a table; one of `LABEL_COLUMNS` where absent.
        known: names of classes; a folder of such a name is not one around all others.

    Returns:
        The sounds in the order of `files`, and the tables that were read, None where there is none.

    Raises:
        QuaclrsError: no table has the label column that was asked for, a table cannot be read, or two rows give a file
            two labels.
    """
    table = read_label_table(folder, files, label_column)
    if table is None and label_column is not None:
        raise QuaclrsError(
            f"{folder} holds no table of its sounds with a column {label_column}; add a metadata.csv with file_name "
            f"and {label_column}"
        )
    folders = {file: file.parts[:-1] for file in files}
    folders = _without_shared(folders, known)
    split_of = _split_names()
    splits = {file: split_of.get(parts[0]) if parts else None for file, parts in folders.items()}
    if all(splits.values()):
        folders = _without_shared({file: parts[1:] for file, parts in folders.items()}, known)
    else:
        splits = dict.fromkeys(files)
    by_folder = {file: parts[0] if parts else None for file, parts in folders.items()}
    labels = by_folder if table is None else {**by_folder, **table.labels}
    return [LabelledSound(file, labels[file], splits[file]) for file in files], table


def _without_shared(folders: Mapping[Path, tuple[str, ...]], known: Collection[str]) -> dict[Path, tuple[str, ...]]:
    """Without the folders around all others."""
    found = dict(folders)
    while found and all(len(parts) > 1 for parts in found.values()):
        first = {parts[0] for parts in found.values()}
        if len(first) > 1 or first & {*known, *_split_names()}:
            break
        found = {file: parts[1:] for file, parts in found.items()}
    return found


def _split_names() -> dict[str, str]:
    from datasets.data_files import SPLIT_KEYWORDS

    return {keyword: str(split) for split, keywords in SPLIT_KEYWORDS.items() for keyword in keywords}


def read_label_table(folder: Path, files: Sequence[Path], label_column: str | None = None) -> LabelTable | None:
    """Read the tables of a folder; None where no table names any of its sounds. Errors as `label_sounds`.

    A table is a CSV, TSV or JSON Lines file at most two folders down, with a column of `FILE_COLUMNS` and one of
    labels. It names files by their path from its own folder or from the upper one, or by their name alone; the ending
    may be missing or another.
    """
    places = _Places(files)
    labels: dict[Path, str | None] = {}
    tables, absent = [], 0
    for path in _find_tables(folder):
        rows = _read(path)
        header = rows[0] if rows else {}
        file_column = _first(FILE_COLUMNS, header)
        column = label_column if label_column in header else None if label_column else _first(LABEL_COLUMNS, header)
        if file_column is None or column is None:
            continue
        named = [(places.find(str(row.get(file_column)), path.parent.relative_to(folder)), row) for row in rows]
        if not any(file for file, _ in named):
            continue
        tables.append(path.relative_to(folder).as_posix())
        for file, row in named:
            if file is None:
                absent += 1
                continue
            label = None if row.get(column) in (None, "") else str(row[column])
            if labels.setdefault(file, label) != label:
                raise QuaclrsError(
                    f"{path} labels {file.as_posix()} as {label} and as {labels[file]}; keep one row, or move the table"
                )
    return LabelTable(labels, tuple(tables), absent) if tables else None


class _Places:
    """Finds the file that a table means."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._found: dict[str, set[Path]] = defaultdict(set)
        for file in files:
            for name in {file.as_posix(), file.with_suffix("").as_posix(), file.name, file.stem}:
                self._found[name].add(file)
                self._found[_as_on_windows(name)].add(file)

    def find(self, name: str, table_folder: Path) -> Path | None:
        """The only file of the first of these names that any file has; the last are as Windows would write them."""
        for of_table in (name, name.replace("\\", "/")):
            for place in (table_folder / of_table, Path(of_table), Path(Path(of_table).name)):
                for text in (place.as_posix(), os.path.splitext(place.as_posix())[0]):
                    for key in (text, _as_on_windows(text)):
                        if key in self._found:
                            return next(iter(self._found[key])) if len(self._found[key]) == 1 else None
        return None


def _as_on_windows(name: str) -> str:
    """A name for which upper and lower case are one; no file has a zero byte in its name."""
    return "\0" + name.casefold()


def _find_tables(folder: Path) -> Iterator[Path]:
    levels = ("/".join(["*"] * (depth + 1)) for depth in range(_DEPTH + 1))
    for path in chain.from_iterable(sorted(folder.glob(level)) for level in levels):
        hidden = any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
        if path.suffix.lower() in TABLE_ENDINGS and path.is_file() and not hidden:
            yield path


def _read(path: Path) -> list[dict[str, Any]]:
    """Rows of a table; none where it is not a table, unless its name says that it is one."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
            return rows if all(isinstance(row, dict) for row in rows) else []
        header = text.partition("\n")[0]
        return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count)))
    except (OSError, ValueError, csv.Error) as error:
        if path.stem != "metadata":
            return []
        raise QuaclrsError(f"{path} cannot be read as a table in UTF-8 ({error}); save it as one") from error


def _first(names: Iterable[str], header: Mapping[str, Any]) -> str | None:
    return next((name for name in names if name in header), None)
