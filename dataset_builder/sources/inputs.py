"""From what the command line names (folders, archives, the word `download`) to the clips that are built."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quaclrs.errors import QuaclrsError

from .archives import md5_of, unpack_once
from .download import (
    SIRENNET_ARCHIVE,
    URBANSOUND8K_ARCHIVE,
    RemoteArchive,
    default_cache_dir,
    download,
)
from .extra import scan_extras
from .sirennet import scan_sirennet
from .source import SourceReport
from .urbansound8k import scan_urbansound8k

DOWNLOAD = "download"


@dataclass(frozen=True)
class Inputs:
    """What to build of.

    Args:
        urbansound8k: a folder, the tar.gz (or another tar, or a zip), the word `download`, or None to go without.
        sirennet: likewise.
        extras: class name -> folder of recordings of one's own.
        keep_siren: keep UrbanSound8K's `siren` as a class.
        cache_dir: where downloads and unpacked archives are kept.
        urbansound8k_archive, sirennet_archive: what `download` fetches.
    """

    urbansound8k: str | Path | None = None
    sirennet: str | Path | None = None
    extras: dict[str, Path] = field(default_factory=dict)
    keep_siren: bool = False
    cache_dir: Path = field(default_factory=default_cache_dir)
    urbansound8k_archive: RemoteArchive = URBANSOUND8K_ARCHIVE
    sirennet_archive: RemoteArchive = SIRENNET_ARCHIVE


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `read_inputs` reads."""
    parser.add_argument(
        "--urbansound8k",
        metavar="DIR|FILE|download",
        help="folder with metadata/ and audio/fold1…10, UrbanSound8K.tar.gz, or the word download",
    )
    parser.add_argument(
        "--sirennet",
        metavar="DIR|FILE|download",
        help="folder with ambulance/, firetruck/, …, a zip of it, or the word download",
    )
    parser.add_argument(
        "--extra",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="a class of your own from the sound files below DIR; DIR/metadata.csv may tell recordings and folds",
    )
    parser.add_argument("--keep-siren", action="store_true", help="keep UrbanSound8K's siren as a class")
    parser.add_argument(
        "--cache-dir",
        type=Path,
        metavar="DIR",
        help="for downloads and unpacked archives (default: quaclrs in $HF_HOME or ~/.cache)",
    )


def read_inputs(options: argparse.Namespace) -> Inputs:
    """The inputs that the options name.

    Raises:
        QuaclrsError: no source is named, or an `--extra` is not NAME=DIR or repeats a name.
    """
    if options.urbansound8k is None and options.sirennet is None and not options.extra:
        raise QuaclrsError("no source given; pass --urbansound8k DIR, --sirennet DIR or both, or --extra NAME=DIR")
    return Inputs(
        options.urbansound8k,
        options.sirennet,
        _read_extras(options.extra),
        options.keep_siren,
        options.cache_dir or default_cache_dir(),
    )


def scan_inputs(inputs: Inputs) -> list[SourceReport]:
    """Find the clips of all sources, and print how many there are, what is missing and what to know of each.

    Raises:
        QuaclrsError: a source is not there, or is not what it should be.
    """
    reports = []
    if inputs.extras:  # first, as a mistake in it shows at once and a download takes long
        reports.append(scan_extras(inputs.extras))
    if inputs.urbansound8k is not None:
        folder = locate(inputs.urbansound8k, inputs.urbansound8k_archive, inputs.cache_dir)
        reports.insert(0, scan_urbansound8k(folder, inputs.keep_siren))
    if inputs.sirennet is not None:
        folder = locate(inputs.sirennet, inputs.sirennet_archive, inputs.cache_dir)
        reports.append(scan_sirennet(folder))
    for report in reports:
        print(f"{report.source}: {len(report.clips)} clips found, {report.missing.total()} missing")
        if report.missing:
            print(report.describe_missing())
        for note in report.notes:
            print(note)
    return reports


def locate(given: str | Path, archive: RemoteArchive, cache_dir: Path) -> Path:
    """The folder of a source that is given as a folder, an archive or the word `download`.

    Raises:
        QuaclrsError: it is none of the three, or cannot be downloaded or unpacked.
    """
    path = Path(given)
    if str(given) == DOWNLOAD:
        path, md5 = download(archive, cache_dir / "downloads")
    elif path.is_file():
        md5 = md5_of(path)
        if archive.md5 is not None and md5 != archive.md5:
            print(f"warning: {path} has the MD5 checksum {md5}, the published {archive.name} has {archive.md5}")
    elif path.is_dir():
        return path
    else:
        raise QuaclrsError(f"{given} does not exist; give {archive.option} a folder, an archive or the word download")
    return unpack_once(path, cache_dir / "unpacked", md5)


def _read_extras(given: Sequence[str]) -> dict[str, Path]:
    extras: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not name or not equals or not folder:
            raise QuaclrsError(f"--extra {text} is not NAME=DIR, such as chain_saw=recordings/saws")
        if name in extras:
            raise QuaclrsError(f"--extra {name}=… is given twice; put its recordings into one folder")
        extras[name] = Path(folder)
    return extras
