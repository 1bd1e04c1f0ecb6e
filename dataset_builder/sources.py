"""Find the clips of UrbanSound8K and sireNNet in folders, and say which ones are missing."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from quaclrs.audio import find_audio_files
from quaclrs.errors import QuaclrsError
from quaclrs.labels import SIRENNET, SIRENNET_CLASSES, URBANSOUND8K, URBANSOUND8K_CLASSES

#: Clips of each class in the published sireNNet (Mendeley Data j4ydzzv4kb, version 1); only these bear its licence.
SIRENNET_PUBLISHED_COUNTS = {"ambulance": 400, "firetruck": 400, "police": 454, "traffic": 421}

#: The embedded sample puts a file of this name into its folders; what is built from them says that it is synthetic.
SYNTHETIC_MARKER = "SYNTHETIC.md"
SYNTHETIC_LICENCE = "Apache-2.0"
SYNTHETIC_ATTRIBUTION = "synthesised by quaclrs, not a recording: it proves plumbing, not accuracy"


@dataclass(frozen=True)
class SourceClip:
    """A clip on disk before it is decoded. Recording and folds of sireNNet clips are found later, by content."""

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
    """What a source folder holds: its clips, and the clips that should be there but are not."""

    source: str
    clips: list[SourceClip]
    synthetic: bool = False
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)  # (class, fold or "") -> clips

    def describe_missing(self) -> str:
        """One line a class with the missing clips by fold; empty where nothing is missing."""
        by_class: dict[str, list[str]] = defaultdict(list)
        for (label, fold), count in sorted(self.missing.items(), key=lambda item: (item[0][0], int(item[0][1] or 0))):
            by_class[label].append(f"fold {fold}: {count}" if fold else str(count))
        return "\n".join(f"  {label:<18}{', '.join(folds)}" for label, folds in by_class.items())


def scan_urbansound8k(folder: Path) -> SourceReport:
    """List the clips of UrbanSound8K's nine classes (without `siren`) with their official folds.

    Clips may have another ending than in the metadata (transcoded to .flac, .ogg); absent ones are counted.

    Args:
        folder: holds `metadata/UrbanSound8K.csv` and `audio/fold1` to `fold10`, or a folder `UrbanSound8K` that does.

    Raises:
        QuaclrsError: the folder, its metadata or every clip is missing.
    """
    root = _source_root(folder, "UrbanSound8K", "--urbansound8k")
    metadata = root / "metadata" / "UrbanSound8K.csv"
    if not metadata.is_file():
        raise QuaclrsError(f"{metadata} does not exist; give --urbansound8k a folder with metadata/ and audio/")
    synthetic = (root / SYNTHETIC_MARKER).is_file()
    report = SourceReport(URBANSOUND8K, [], synthetic)
    files = {(p.parent.name, p.stem): p for p in find_audio_files(root / "audio")}
    for row in _read_metadata(metadata):
        if row["class"] not in URBANSOUND8K_CLASSES:
            continue
        stem = Path(row["slice_file_name"]).stem
        path = files.get((f"fold{row['fold']}", stem))
        if path is None:
            report.missing[row["class"], row["fold"]] += 1
            continue
        report.clips.append(
            SourceClip(
                clip_id=f"{URBANSOUND8K}/{stem}",
                path=path,
                label=row["class"],
                source=URBANSOUND8K,
                licence=SYNTHETIC_LICENCE if synthetic else "CC BY-NC 3.0",
                attribution=SYNTHETIC_ATTRIBUTION
                if synthetic
                else f"freesound.org sound {row['fsID']}, from UrbanSound8K (Salamon, Jacoby and Bello, 2014)",
                recording_id=f"{URBANSOUND8K}/{row['fsID']}",
                fold=int(row["fold"]),
                fold_paper=int(row["fold"]),
                start=float(row["start"]),
                end=float(row["end"]),
                salience=int(row["salience"]),
            )
        )
    if not report.clips:
        raise QuaclrsError(f"{root / 'audio'} holds no clip that {metadata.name} lists; check --urbansound8k")
    return report


def scan_sirennet(folder: Path) -> SourceReport:
    """List the clips of the four sireNNet classes; clips short of the published counts are reported as missing.

    Args:
        folder: holds one folder a class (`ambulance`, `firetruck`, `police`, `traffic`), or a `sireNNet` that does.

    Raises:
        QuaclrsError: the folder is missing, holds no clip, or holds two clips of one name and class.
    """
    root = _source_root(folder, "sireNNet", "--sirennet")
    synthetic = (root / SYNTHETIC_MARKER).is_file()
    paths = {label: find_audio_files(root / label) for label in SIRENNET_CLASSES}
    counts = {label: len(found) for label, found in paths.items()}
    if not any(counts.values()):
        raise QuaclrsError(f"{root} holds no clip in {', '.join(SIRENNET_CLASSES)}; check --sirennet")
    licence, attribution = "unknown", "siren clips of unstated origin: not the published sireNNet"
    if synthetic:
        licence, attribution = SYNTHETIC_LICENCE, SYNTHETIC_ATTRIBUTION
    elif counts == SIRENNET_PUBLISHED_COUNTS:
        licence, attribution = "CC BY 4.0", "sireNNet (Shah and Singh, 2023), Mendeley Data j4ydzzv4kb, version 1"
    report = SourceReport(SIRENNET, [], synthetic)
    for label, found in paths.items():
        doubled = [stem for stem, count in Counter(p.stem for p in found).items() if count > 1]
        if doubled:
            raise QuaclrsError(f"{root / label} holds {doubled[0]} twice with different endings; keep one of them")
        report.clips += [
            SourceClip(f"{SIRENNET}/{label}/{p.stem}", p, label, SIRENNET, licence, attribution) for p in found
        ]
        lacking = SIRENNET_PUBLISHED_COUNTS[label] - counts[label]
        if lacking > 0 and not synthetic:
            report.missing[label, ""] = lacking
    return report


def _source_root(folder: Path, usual_name: str, option: str) -> Path:
    if not folder.is_dir():
        raise QuaclrsError(f"folder {folder} does not exist; check {option}")
    return folder / usual_name if (folder / usual_name).is_dir() else folder


def _read_metadata(metadata: Path) -> Iterable[dict[str, str]]:
    wanted = {"slice_file_name", "fsID", "start", "end", "salience", "fold", "class"}
    with metadata.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = sorted(wanted - set(reader.fieldnames or ()))
        if missing:
            raise QuaclrsError(f"{metadata} has no column {', '.join(missing)}; restore the official file")
        yield from reader
