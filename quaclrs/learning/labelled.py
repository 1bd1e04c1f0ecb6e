"""Labelled sounds as people keep them: a folder a label, a CSV table, or label tracks of Audacity and Raven."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..audio import find_audio_files
from ..errors import QuaclrsError, QuaclrsWarning
from ..models.configuration_checks import MOST_LABELS

#: Endings of tables; files of these names below a folder are not sounds.
TABLES = (".csv", ".tsv", ".txt")
_NO_SOUNDS = ("*.csv", "*.tsv", "*.txt", "*.json", "*.jsonl", "*.md", "*.html", "*.yaml", "*.png", "*.jpg")

#: Names of columns, in lower case: ours, those of public data sets, and Raven's.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "file": ("file", "file_name", "filename", "slice_file_name", "fname", "path", "begin path", "begin file"),
    "label": ("label", "category", "class", "annotation", "species", "common name"),
    "start": ("start", "start (s)", "begin time (s)", "onset"),
    "end": ("end", "end (s)", "end time (s)", "offset"),
    "recording": ("recording", "recording_id", "group"),
}


@dataclass(frozen=True)
class LabelledSound:
    """A sound, or a part of one, and what it is.

    Attributes:
        file: path.
        label: its class.
        start, end: seconds of the part; None where the label is of the whole file.
        recording: the recording that it was cut from; None where nobody says so.
        root: folder that the file is named from, so that a report tells no more of a disk than it must.
    """

    file: Path
    label: str
    start: float | None = None
    end: float | None = None
    recording: str | None = None
    root: Path | None = None

    @property
    def name(self) -> str:
        """The file, from its root if it has one, and the part of it."""
        inside = self.root is not None and self.root in self.file.parents
        file = self.file.relative_to(self.root) if inside and self.root is not None else self.file
        return str(file) if self.start is None else f"{file} ({self.start:g} to {self.end:g} s)"


def read_labelled(source: str | os.PathLike[str]) -> list[LabelledSound]:
    """Read the labelled sounds of a folder or a table, sorted by file and start.

    Args:
        source: a folder or a table. The sub-folders of a folder are labels; tables in it may label parts of sounds,
            and sounds that lie in no sub-folder. A table is CSV or TSV with the columns `file` and `label`, and where
            there are any `start` and `end` in seconds and `recording`; a selection table of Raven; or a label track
            of Audacity beside the sound of the same name.

    Raises:
        QuaclrsError: the place does not exist, holds no labelled sounds, or a table is damaged or names what is not
            there.
    """
    path = Path(source)
    if path.is_dir():
        found = _of_folder(path)
    elif path.is_file():
        of_table = _of_table(path, path.parent)
        if of_table is None:
            raise QuaclrsError(
                f"{path} is not a table of labels; give CSV with the columns file and label, or a folder of folders"
            )
        found = of_table
    else:
        raise QuaclrsError(f"{path} does not exist; give a folder with a folder of sounds for each label, or a table")
    for sound in found:
        if not sound.label.strip() or not sound.label.isprintable():
            raise QuaclrsError(f"{sound.name} has the label {sound.label!r}, which cannot be shown; rename it")
    root = path if path.is_dir() else path.parent
    found = [dataclasses.replace(sound, root=root) for sound in found]
    return sorted(found, key=lambda sound: (str(sound.file), sound.start or 0.0, sound.label))


def _of_folder(folder: Path) -> list[LabelledSound]:
    labels = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))
    tables = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in TABLES and path.is_file()]
    by_table = [sound for table in tables for sound in _of_table(table, folder) or ()]
    told = {sound.file.resolve() for sound in by_table}
    found = list(by_table)
    outside = []
    for file in find_audio_files(folder, _NO_SOUNDS):
        if file.resolve() in told:
            continue
        parts = file.relative_to(folder).parts
        if len(parts) > 1:
            found.append(LabelledSound(file, parts[0]))
        else:
            outside.append(file.name)
    if not found:
        what = f"{len(outside)} sounds that lie in no folder" if outside else "no sounds"
        raise QuaclrsError(f"{folder} holds {what}; put them into a folder for each label, or write a table of them")
    for label in labels:
        if not any(sound.label == label.name or label in sound.file.parents for sound in found):
            warnings.warn(f"{label} holds no sounds and is passed over", QuaclrsWarning, stacklevel=3)
    if outside:
        warnings.warn(
            f"{folder} holds {len(outside)} sounds that lie in no folder of a label and are passed over, "
            f"{outside[0]} for one",
            QuaclrsWarning,
            stacklevel=3,
        )
    if len({sound.label for sound in found}) > MOST_LABELS:
        raise QuaclrsError(f"{folder} holds more than {MOST_LABELS} labels; give fewer")
    return found


def _of_table(path: Path, folder: Path) -> list[LabelledSound] | None:
    """Read what a table labels; None where the file is not such a table."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        if path.suffix.lower() == ".txt" or path.suffix.lower() not in TABLES:
            return None
        raise QuaclrsError(f"{path} cannot be read as a table in UTF-8; save it as one") from error
    header = text.partition("\n")[0]
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=max("\t,;", key=header.count)))
    except csv.Error as error:
        if path.suffix.lower() == ".txt":  # any text
            return None
        raise QuaclrsError(f"{path} cannot be read as a table ({error}); save it anew") from error
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        return None
    names = [cell.strip().lower() for cell in rows[0]]
    columns = {
        what: next((names.index(name) for name in known if name in names), None) for what, known in _COLUMNS.items()
    }
    find = _finder(path, folder)
    if columns["label"] is not None:
        if columns["file"] is None and _sound_beside(path) is None:
            return None
        return [_of_row(row, columns, find, f"{path}, row {number}") for number, row in enumerate(rows[1:], 2)]
    if path.suffix.lower() == ".txt" and (sound := _sound_beside(path)):
        return _of_track(rows, sound, path)
    return None


def _of_row(
    row: Sequence[str], columns: Mapping[str, int | None], find: Callable[[str | None], Path], place: str
) -> LabelledSound:
    def cell(what: str) -> str | None:
        column = columns[what]
        return (row[column].strip() or None) if column is not None and column < len(row) else None

    label = cell("label")
    if label is None:
        raise QuaclrsError(f"{place} has no label; fill it in or remove the row")
    try:
        file = find(cell("file"))
    except QuaclrsError as error:
        raise QuaclrsError(f"{place}: {error}") from None
    start, end = _seconds(cell("start"), place), _seconds(cell("end"), place)
    if (start is None) != (end is None):
        raise QuaclrsError(f"{place} has only one of start and end; give both or none")
    return LabelledSound(file, label, *_ordered(start, end, place), cell("recording"))


def _of_track(rows: Sequence[Sequence[str]], sound: Path, path: Path) -> list[LabelledSound] | None:
    """Rows of start, end and label, as Audacity exports them; lines of frequencies begin with a backslash."""
    found: list[LabelledSound] = []
    for number, row in enumerate(rows, 1):
        if row[0].startswith("\\"):
            continue
        place = f"{path}, line {number}"
        try:
            times = [float(cell.replace(",", ".")) for cell in row[:2]]
        except ValueError:
            if not found:
                return None  # a text about the sound
            raise QuaclrsError(f"{place} does not begin with two times; export the label track again") from None
        if len(row) < 3 or not row[2].strip():
            raise QuaclrsError(f"{place} has no label; name it and export the label track again")
        start, end = times
        if start == end:  # a point in place of a stretch: what is heard around it
            start, end = max(0.0, start - 1.0), end + 1.0
        found.append(LabelledSound(sound, row[2].strip(), *_ordered(start, end, place)))
    return found


def _seconds(cell: str | None, place: str) -> float | None:
    if cell is None:
        return None
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise QuaclrsError(f"{place}: {cell!r} is not a time in seconds; give a number from 0 on")
    return value


def _ordered(start: float | None, end: float | None, place: str) -> tuple[float | None, float | None]:
    if start is not None and end is not None and not 0 <= start < end:
        raise QuaclrsError(f"{place} begins at {start:g} s and ends at {end:g} s; the end must come later")
    return start, end


def _finder(path: Path, folder: Path) -> Callable[[str | None], Path]:
    """Finds the file that a cell names: from the table's folder, from the upper one, or beside the table."""

    def find(name: str | None) -> Path:
        if name is None:
            if sound := _sound_beside(path):
                return sound
            raise QuaclrsError("it names no file; fill the column file in")
        for place in (path.parent / name, folder / name, path.parent / name.replace("\\", "/")):
            if place.is_file():
                return place
        raise QuaclrsError(f"the file {name} does not exist; give its path from {path.parent}")

    return find


def _sound_beside(path: Path) -> Path | None:
    """The sound that a table without file names is of: the one of its name, up to the first dot as Raven writes it."""
    stems = {path.stem, path.name.split(".Table.")[0], path.name.split(".selections")[0]}
    others = (file for file in _siblings(path) if file.suffix.lower() not in TABLES)
    return next((file for file in others if file.stem in stems or file.name in stems), None)


def _siblings(path: Path) -> Iterator[Path]:
    return (file for file in sorted(path.parent.iterdir()) if file.is_file() and not file.name.startswith("."))
