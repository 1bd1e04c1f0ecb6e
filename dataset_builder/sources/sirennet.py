"""The clips of sireNNet (Shah and Singh, 2023): sirens of three vehicles, and traffic, in one folder a class."""

from __future__ import annotations

from pathlib import Path

from quaclrs.audio import find_audio_files
from quaclrs.errors import QuaclrsError
from quaclrs.files import storable
from quaclrs.labels import SIRENNET, SIRENNET_CLASSES

from .download import RemoteArchive
from .files import find_root, refuse_doubled_names
from .report import SYNTHETIC_PROVENANCE, SourceClip, SourceReport, is_synthetic

SIRENNET_ARCHIVE = RemoteArchive(
    name="sireNNet",
    address="https://prod-dcd-datasets-cache-zipfiles.s3.eu-west-1.amazonaws.com/j4ydzzv4kb-1.zip",
    option="--sirennet",
)
#: Clips of each class in the published sireNNet (Mendeley Data j4ydzzv4kb, version 1); only these bear its licence.
SIRENNET_PUBLISHED_COUNTS = {"ambulance": 400, "firetruck": 400, "police": 454, "traffic": 421}


def scan_sirennet(folder: Path) -> SourceReport:
    """List the clips of the four sireNNet classes; clips short of the published counts are reported as missing.

    Args:
        folder: holds one folder a class (`ambulance`, `firetruck`, `police`, `traffic`), or a `sireNNet` that does.

    Raises:
        QuaclrsError: the folder is missing, holds no clip, or holds two clips of one name and class.
    """
    usual = folder / "sireNNet"
    root = find_root(usual if usual.is_dir() else folder, _has_class_folder, "--sirennet")
    synthetic = is_synthetic(root)
    paths = {label: find_audio_files(root / label) if (root / label).is_dir() else [] for label in SIRENNET_CLASSES}
    counts = {label: len(found) for label, found in paths.items()}
    if not any(counts.values()):
        raise QuaclrsError(f"{root} holds no clip in {', '.join(SIRENNET_CLASSES)}; check --sirennet")
    report = SourceReport(SIRENNET, [], synthetic)
    if synthetic:
        provenance = SYNTHETIC_PROVENANCE
    elif counts == SIRENNET_PUBLISHED_COUNTS:
        provenance = ("CC BY 4.0", "sireNNet (Shah and Singh, 2023), Mendeley Data j4ydzzv4kb, version 1")
    else:
        provenance = ("unknown", "siren clips of unstated origin: not the published sireNNet")
        found_counts = ", ".join(f"{label} {count}" for label, count in counts.items())
        published = ", ".join(str(count) for count in SIRENNET_PUBLISHED_COUNTS.values())
        report.notes.append(
            f"warning: there are {found_counts} clips, not the {published} of the published sireNNet; "
            "its licence is not claimed"
        )
    for label, found in paths.items():
        refuse_doubled_names(root / label, found)
        report.clips += [
            SourceClip(f"{SIRENNET}/{label}/{storable(path.stem)}", path, label, SIRENNET, *provenance)
            for path in found
        ]
        lacking = SIRENNET_PUBLISHED_COUNTS[label] - counts[label]
        if lacking > 0 and not synthetic:
            report.missing[label, ""] = lacking
    return report


def _has_class_folder(folder: Path) -> bool:
    return any((folder / label).is_dir() for label in SIRENNET_CLASSES)
