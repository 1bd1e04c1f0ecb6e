"""The clips of UrbanSound8K (Salamon, Jacoby and Bello, 2014) with their official folds, checked against its facts."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path

from quaclrs.audio import find_audio_files
from quaclrs.errors import QuaclrsError
from quaclrs.labels import URBANSOUND8K, URBANSOUND8K_CLASSES

from .download import RemoteArchive
from .files import find_root, read_table
from .report import SYNTHETIC_MARKER, SYNTHETIC_PROVENANCE, SourceClip, SourceReport, is_synthetic

URBANSOUND8K_ARCHIVE = RemoteArchive(
    name="UrbanSound8K",
    address="https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz",
    option="--urbansound8k",
    md5="9aa69802bbf37fb986f71ec1483a196e",
)
#: UrbanSound8K's ten classes in the order of its `classID`, 0 to 9.
OFFICIAL_CLASSES = (
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "gun_shot",
    "jackhammer",
    "siren",
    "street_music",
)
#: Clips in folds 1 to 10 of the official metadata.
OFFICIAL_FOLD_COUNTS = (873, 888, 925, 990, 936, 823, 838, 806, 816, 837)
#: Recordings (fsID) that the official metadata puts into two folds, each time as another class.
KNOWN_SPLIT_RECORDINGS = {"77751": (2, 7), "106905": (1, 8), "132016": (1, 4), "176638": (1, 4), "180937": (1, 9)}

_METADATA = Path("metadata", "UrbanSound8K.csv")

METADATA_COLUMNS = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")


def scan_urbansound8k(folder: Path, keep_siren: bool = False) -> SourceReport:
    """List the clips of UrbanSound8K's nine classes with their official folds.

    Clips may have another ending than in the metadata (transcoded to .flac, .ogg); absent ones are counted.

    Args:
        folder: holds `metadata/UrbanSound8K.csv` and `audio/fold1` to `fold10`, or these files and folders without the
            folders around them, as on Kaggle; or a folder `UrbanSound8K` that does.
        keep_siren: keep the tenth class, `siren`, which the paper leaves out (section 3), for comparison.

    Raises:
        QuaclrsError: the folder, its metadata or every clip is missing, or the metadata is not what UrbanSound8K has
            (see `check_metadata`).
    """
    usual = folder / "UrbanSound8K"
    root = find_root(usual if usual.is_dir() else folder, _has_metadata, "--urbansound8k")
    metadata = next((file for file in _metadata_files(root) if file.is_file()), None)
    if metadata is None:
        raise QuaclrsError(
            f"{root / _METADATA} does not exist; give --urbansound8k a folder with metadata/ and audio/, or with "
            f"{_METADATA.name} and fold1 to fold10"
        )
    audio = root / "audio" if (root / "audio").is_dir() else root
    synthetic = is_synthetic(root)
    rows = read_table(metadata, METADATA_COLUMNS)
    report = SourceReport(URBANSOUND8K, [], synthetic, notes=check_metadata(metadata, rows, synthetic))
    ignored = (metadata.name, SYNTHETIC_MARKER)
    files = {(_fold_folder(path), path.stem): path for path in find_audio_files(audio, ignored)}
    wanted = {*URBANSOUND8K_CLASSES, "siren"} if keep_siren else set(URBANSOUND8K_CLASSES)
    for row in rows:
        if row["class"] not in wanted:
            continue
        stem = Path(row["slice_file_name"]).stem
        path = files.get((f"fold{row['fold']}", stem)) or files.get(("", stem))
        if path is None:
            report.missing[row["class"], row["fold"]] += 1
        else:
            report.clips.append(_clip(row, path, synthetic))
    if not report.clips:
        raise QuaclrsError(f"{audio} holds no clip that {metadata.name} lists; check --urbansound8k")
    return report


def check_metadata(metadata: Path, rows: list[dict[str, str]], synthetic: bool = False) -> list[str]:
    """Compare the metadata table with what is known of UrbanSound8K's.

    Args:
        metadata: its path, for messages.
        rows: the table.
        synthetic: whether it belongs to synthesised recordings, which have a table of their own.

    Returns:
        Lines to print: the recordings that the official folds split, and a warning where the table is not the official
        one (people cut it down for experiments).

    Raises:
        QuaclrsError: a cell is not a number or out of range, a label is none of the ten classes or does not fit its
            classID, a clip is listed twice, the table has the official number of rows and yet other folds, or a
            recording lies in two folds that does not officially.
    """
    folds_of: dict[str, set[int]] = defaultdict(set)
    listed: Counter[str] = Counter()
    for line, row in enumerate(rows, start=2):
        _check_row(f"{metadata} line {line}", row)
        folds_of[row["fsID"]].add(int(row["fold"]))
        listed[Path(row["slice_file_name"]).stem] += 1
    if doubled := [name for name, count in listed.items() if count > 1]:
        raise QuaclrsError(f"{metadata} lists {doubled[0]} twice; restore the official file")
    notes = []
    official = sum(OFFICIAL_FOLD_COUNTS)
    if len(rows) == official:
        counts = Counter(int(row["fold"]) for row in rows)
        of_fold = tuple(counts[fold] for fold in range(1, 11))
        if of_fold != OFFICIAL_FOLD_COUNTS:
            raise QuaclrsError(
                f"{metadata} has {' '.join(map(str, of_fold))} clips in folds 1 to 10, the official metadata "
                f"{' '.join(map(str, OFFICIAL_FOLD_COUNTS))}; restore the official file"
            )
    elif not synthetic:
        notes.append(
            f"warning: {metadata.name} has {len(rows):,} rows and the official metadata {official:,}: "
            "what is built of it is not UrbanSound8K as published"
        )
    split = {recording: tuple(sorted(folds)) for recording, folds in folds_of.items() if len(folds) > 1}
    unknown = {name: folds for name, folds in split.items() if KNOWN_SPLIT_RECORDINGS.get(name) != folds}
    if unknown:
        raise QuaclrsError(
            f"{metadata} puts recordings into several folds that officially lie in one: {_name_folds(unknown)}; "
            "restore the official file, or no score on its folds can be trusted"
        )
    if split:
        notes.append(f"the official folds split these recordings: {_name_folds(split)}")
    return notes


def _check_row(place: str, row: dict[str, str]) -> None:
    try:
        fold, class_id = int(row["fold"]), int(row["classID"])
        start, end, salience = float(row["start"]), float(row["end"]), int(row["salience"])
    except ValueError as error:
        raise QuaclrsError(f"{place}: {error}; restore the official file") from error
    if not 0 <= start <= end < math.inf or salience not in (1, 2):
        raise QuaclrsError(
            f"{place}: from {start} to {end} s with salience {salience} is not a slice of a recording with salience 1 "
            "or 2; restore the official file"
        )
    if not 1 <= fold <= len(OFFICIAL_FOLD_COUNTS):
        raise QuaclrsError(f"{place}: fold {fold} is not 1 to 10; restore the official file")
    if row["class"] not in OFFICIAL_CLASSES:
        raise QuaclrsError(
            f"{place}: {row['class']!r} is none of UrbanSound8K's ten classes; add classes of your own by --extra"
        )
    if class_id != OFFICIAL_CLASSES.index(row["class"]):
        raise QuaclrsError(
            f"{place}: {row['class']} has classID {class_id}, officially {OFFICIAL_CLASSES.index(row['class'])}; "
            "restore the official file"
        )


def _clip(row: dict[str, str], path: Path, synthetic: bool) -> SourceClip:
    origin = f"freesound.org sound {row['fsID']}, from UrbanSound8K (Salamon, Jacoby and Bello, 2014)"
    licence, attribution = SYNTHETIC_PROVENANCE if synthetic else ("CC BY-NC 3.0", origin)
    return SourceClip(
        clip_id=f"{URBANSOUND8K}/{Path(row['slice_file_name']).stem}",
        path=path,
        label=row["class"],
        source=URBANSOUND8K,
        licence=licence,
        attribution=attribution,
        recording_id=f"{URBANSOUND8K}/{row['fsID']}",
        fold=int(row["fold"]),
        fold_paper=int(row["fold"]),
        start=float(row["start"]),
        end=float(row["end"]),
        salience=int(row["salience"]),
    )


def _name_folds(folds_of: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} (folds {', '.join(map(str, folds))})" for name, folds in sorted(folds_of.items()))


def _fold_folder(path: Path) -> str:
    """The folder of its fold; empty for a clip that lies in none, as where all were put into one folder."""
    return path.parent.name if path.parent.name.startswith("fold") else ""


def _has_metadata(folder: Path) -> bool:
    return any(file.is_file() for file in _metadata_files(folder))


def _metadata_files(root: Path) -> tuple[Path, Path]:
    return root / _METADATA, root / _METADATA.name
