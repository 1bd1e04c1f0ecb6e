"""Classes of one's own (`--extra NAME=DIR`): the sound files of a folder, and what its `metadata.csv` says of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quaclrs.audio import find_audio_files
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.evaluation_clips import listed
from quaclrs.evaluation.sound_folders import label_sounds
from quaclrs.files import storable
from quaclrs.labels import CLASS_NAMES

from .files import read_table, refuse_doubled_names
from .report import SYNTHETIC_MARKER, SYNTHETIC_PROVENANCE, SourceClip, SourceReport, is_synthetic

EXTRA = "extra"

_TABLE = "metadata.csv"

_LABEL = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True)
class ClipFacts:
    """A row of `metadata.csv`; None where the cell is empty or the column absent."""

    recording_id: str | None = None
    fold: int | None = None
    licence: str | None = None
    attribution: str | None = None


def scan_extras(folders: Mapping[str, Path]) -> SourceReport:
    """List the clips of classes of one's own.

    A folder's `metadata.csv` may tell more about its clips, in columns `file` (path below the folder; or `file_name`,
    as `datasets` calls it), `recording_id`, `fold` (1 to 10), `licence` and `attribution`. Clips without `recording_id`
    are grouped by content later, as those of sireNNet are; recordings without `fold` are dealt whole to the ten folds.
    Where a table beside the sounds labels them, as ESC-50's does, the class has only those of its name.

    Args:
        folders: class name -> folder, with sound files in it or below.

    Raises:
        QuaclrsError: a name is not a new label in lower-case snake_case, a folder is missing or holds no sound file, or
            sounds of other classes beside it, its table is wrong (it names an absent file, or gives recordings or folds
            to some clips and not to others), or a recording lies in two folds or, without given folds, in two classes.
    """
    report = SourceReport(EXTRA, [])
    for label in sorted(folders):
        _refuse_label(label)
        clips, synthetic, notes = _scan_class(label, folders[label])
        report.clips += clips
        report.synthetic |= synthetic
        report.notes += notes
    _refuse_split_recordings(report.clips)
    return report


def _refuse_label(label: str) -> None:
    if not _LABEL.fullmatch(label):
        raise QuaclrsError(f"--extra {label}=…: a class name is lower-case snake_case, such as chain_saw")
    if label in CLASS_NAMES or label == "siren":
        # Scores on a class that mixes recordings of its own into the published ones compare with nobody's.
        raise QuaclrsError(f"--extra {label}=…: {label} is a published class; choose another name, such as my_{label}")


def _scan_class(label: str, folder: Path) -> tuple[list[SourceClip], bool, list[str]]:
    """The clips of one class, whether they are synthetic, and lines to print."""
    if not folder.is_dir():
        raise QuaclrsError(f"folder {folder} does not exist; check --extra {label}={folder}")
    paths = find_audio_files(folder, ignored=(_TABLE, SYNTHETIC_MARKER))
    if not paths:
        raise QuaclrsError(f"{folder} holds no sound file; check --extra {label}={folder}")
    all_paths, (paths, notes) = paths, _of_class(label, folder, paths)
    refuse_doubled_names(folder, paths)
    facts = _read_facts(folder, paths, all_paths)
    synthetic = is_synthetic(folder)
    own = ("unknown", "a recording of one's own, added by --extra")
    licence, attribution = SYNTHETIC_PROVENANCE if synthetic else own
    clips = []
    for path in paths:
        of_clip = facts.get(path, ClipFacts())
        clips.append(
            SourceClip(
                clip_id=storable(f"{EXTRA}/{label}/{path.relative_to(folder).with_suffix('').as_posix()}"),
                path=path,
                label=label,
                source=EXTRA,
                licence=of_clip.licence or licence,
                attribution=of_clip.attribution or attribution,
                recording_id=f"{EXTRA}/{of_clip.recording_id}" if of_clip.recording_id else None,
                fold=of_clip.fold,
                fold_paper=of_clip.fold,
            )
        )
    return clips, synthetic, notes


def _of_class(label: str, folder: Path, paths: list[Path]) -> tuple[list[Path], list[str]]:
    """The sounds of a class where a table labels them, otherwise all; and a line on those that it leaves out."""
    sounds, table = label_sounds(folder, [path.relative_to(folder) for path in paths], known=[label])
    names = {path: _as_label(sound.label or "") for path, sound in zip(paths, sounds, strict=True)}
    found = sorted({sound.label for sound in sounds if sound.label})
    if table is None:
        if label in names.values() and set(names.values()) - {label, ""}:
            raise QuaclrsError(
                f"--extra {label}={folder}: sounds of {label} lie there beside others ({listed(found)}); give the "
                f"folder of {label} alone"
            )
        return paths, []
    tables = ", ".join(table.tables)
    if label not in names.values():
        raise QuaclrsError(
            f"--extra {label}={folder}: {tables} there labels the sounds {listed(found)}, none of them {label}; call "
            "the class as the table does, or give a folder without it"
        )
    chosen = [path for path, name in names.items() if name == label]
    left_out = len(paths) - len(chosen)
    note = f"{label}: {len(chosen)} sounds by {tables}, which does not call {left_out} others so"
    return chosen, [note] if left_out else []


def _as_label(text: str) -> str:
    """A name in snake_case: `Chain saw` is `chain_saw`."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _read_facts(folder: Path, paths: list[Path], all_paths: list[Path]) -> dict[Path, ClipFacts]:
    """Read `metadata.csv`, a row a clip. It may leave clips out, but a column speaks of all its clips or of none."""
    table = folder / _TABLE
    if not table.is_file():
        return {}
    facts: dict[Path, ClipFacts] = {}
    known, of_class = set(all_paths), set(paths)
    rows = read_table(table, [])
    column = "file_name" if rows and "file_name" in rows[0] else "file"
    for line, row in enumerate(read_table(table, [column]), start=2):
        path = folder / row[column]
        if path not in known:
            raise QuaclrsError(f"{table} line {line}: no sound file {row[column]!r} lies in {folder}; correct the row")
        if path in facts:
            raise QuaclrsError(f"{table} line {line}: {row[column]} is listed twice; keep one row")
        if path not in of_class:
            continue
        cells = {name: row.get(name, "").strip() or None for name in ("recording_id", "licence", "attribution")}
        facts[path] = ClipFacts(**cells, fold=_read_fold(f"{table} line {line}", row.get("fold", "").strip()))
    for column in ("recording_id", "fold"):
        given = sum(getattr(of_clip, column) is not None for of_clip in facts.values())
        if given not in (0, len(paths)):
            raise QuaclrsError(f"{table} gives {given} of {len(paths)} clips a {column}; give all of them one, or none")
    if any(of_clip.fold and not of_clip.recording_id for of_clip in facts.values()):
        raise QuaclrsError(f"{table} has folds without recording_id, so nothing shows that they do not leak; add it")
    return facts


def _read_fold(place: str, cell: str) -> int | None:
    if not cell:
        return None
    if not cell.isascii() or not cell.isdigit() or not 1 <= int(cell) <= 10:
        raise QuaclrsError(f"{place}: fold {cell!r} is not 1 to 10; correct the row")
    return int(cell)


def _refuse_split_recordings(clips: list[SourceClip]) -> None:
    places: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for clip in clips:
        if clip.recording_id is not None:
            places[clip.recording_id].add((clip.fold or 0, clip.label))
    for recording, found in sorted(places.items()):
        if len({fold or label for fold, label in found}) > 1:  # each class without folds is dealt on its own
            where = ", ".join(f"fold {fold} ({label})" if fold else label for fold, label in sorted(found))
            raise QuaclrsError(
                f"recording_id {recording.removeprefix(EXTRA + '/')} lies in {where}: a model would be tested on what "
                "it trained on; give its clips one fold in metadata.csv"
            )
