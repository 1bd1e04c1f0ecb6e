"""What every source of clips gives to the builder: its clips, and what is missing, broken or noteworthy about it."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from quaclrs.audio import find_audio_files
from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES

#: The embedded sample puts a file of this name into its folders; what is built from them says that it is synthetic.
SYNTHETIC_MARKER = "SYNTHETIC.md"
SYNTHETIC_LICENCE = "Apache-2.0"
SYNTHETIC_ATTRIBUTION = "synthesised by quaclrs, not a recording: it proves plumbing, not accuracy"


@dataclass(frozen=True)
class SourceClip:
    """A clip on disk before it is decoded. Clips that come without recording and fold get them later, by content."""

    clip_id: str
    path: Path
    label: str
    source: str
    licence: str
    attribution: str
    recording_id: str | None = None
    fold: int | None = None
    fold_paper: int | None = None
    start: float | None = None
    end: float | None = None
    salience: int | None = None


@dataclass
class SourceReport:
    """What a source holds: its clips, and the clips that should be there but are not.

    Attributes:
        source: `urbansound8k`, `sirennet` or `extra`.
        clips: what is built.
        synthetic: whether the folder says that it was synthesised.
        missing: (class, fold or "") -> number of clips.
        notes: lines to print: what a reader must know about this source.
        broken: clip_id -> reason, of the clips that cannot be decoded and were left out of `clips`.
        fingerprints: clip_id -> hash of the decoded samples, of `clips`, once they have been decoded.
        duplicates: clip_id -> clip_id that is kept, of the clips that were left out as another holds their samples.
    """

    source: str
    clips: list[SourceClip]
    synthetic: bool = False
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, bytes] = field(default_factory=dict, repr=False)
    duplicates: dict[str, str] = field(default_factory=dict)

    def describe_missing(self) -> str:
        """One line a class with the missing clips by fold; empty where nothing is missing."""
        by_class: dict[str, list[str]] = defaultdict(list)
        for (label, fold), count in sorted(self.missing.items(), key=lambda item: (item[0][0], int(item[0][1] or 0))):
            by_class[label].append(f"fold {fold}: {count}" if fold else str(count))
        return "\n".join(f"  {label:<18}{', '.join(folds)}" for label, folds in by_class.items())


def class_names_of(reports: Iterable[SourceReport]) -> list[str]:
    """The 13 classes, whether or not clips of them were found, and every further class of the reports, sorted."""
    return sorted({*CLASS_NAMES, *(clip.label for report in reports for clip in report.clips)})


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
        QuaclrsError: `folder` is no folder.
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


def find_clips(folder: Path) -> list[Path]:
    """Sound files below a folder, sorted by path, without hidden ones (macOS leaves `._name.wav` beside `name.wav`)."""
    return [
        path
        for path in find_audio_files(folder)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def refuse_doubled_names(folder: Path, clips: Iterable[Path]) -> None:
    """Raise where two clips differ in nothing but their ending, as they would get one clip_id."""
    counts = Counter(path.with_suffix("") for path in clips)
    for path in sorted(path for path, count in counts.items() if count > 1):
        name = path.relative_to(folder)
        raise QuaclrsError(f"{folder} holds {name} twice with different endings; keep one of them")


def read_table(path: Path, wanted: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a CSV file, with empty text for cells that are absent.

    Raises:
        QuaclrsError: the file is no UTF-8 text, is malformed, or lacks a column of `wanted`.
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
