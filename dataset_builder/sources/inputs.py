"""Inputs that the command line names (folders, archives, the word `download`), read into clips."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quaclrs.errors import QuaclrsError
from quaclrs.labels import SIRENNET, URBANSOUND8K

from .archives import md5_of, unpack_once
from .download import RemoteArchive, default_cache_dir, download
from .extra import scan_extras
from .report import SourceReport
from .sirennet import SIRENNET_ARCHIVE, scan_sirennet
from .urbansound8k import URBANSOUND8K_ARCHIVE, scan_urbansound8k

DOWNLOAD = "download"


@dataclass(frozen=True)
class Source:
    """A published data set that the builder reads.

    Args:
        name: of its option, and of the column `source`.
        scan: a folder -> its clips.
        archive: what `download` fetches.
        forms: in which it may be given, for `--help`.
        settings: fields of `Inputs` that `scan` takes by keyword.
    """

    name: str
    scan: Callable[..., SourceReport]
    archive: RemoteArchive
    forms: str
    settings: tuple[str, ...] = ()


SOURCES = (
    Source(
        URBANSOUND8K,
        scan_urbansound8k,
        URBANSOUND8K_ARCHIVE,
        "folder with metadata/ and audio/fold1…10 or Kaggle's, UrbanSound8K.tar.gz",
        settings=("keep_siren",),
    ),
    Source(SIRENNET, scan_sirennet, SIRENNET_ARCHIVE, "folder with ambulance/, firetruck/, …, a zip of it"),
)


@dataclass(frozen=True)
class Inputs:
    """Sources to build from.

    Args:
        given: name of a source -> a folder, its tar.gz (or another tar, or a zip), or the word `download`.
        extras: class name -> folder of recordings of one's own.
        keep_siren: keep UrbanSound8K's `siren` as a class.
        cache_dir: where downloads and unpacked archives are kept.
    """

    given: Mapping[str, str | Path] = field(default_factory=dict)
    extras: Mapping[str, Path] = field(default_factory=dict)
    keep_siren: bool = False
    cache_dir: Path = field(default_factory=default_cache_dir)


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `read_inputs` reads."""
    for source in SOURCES:
        parser.add_argument(
            f"--{source.name}", metavar="DIR|FILE|download", help=f"{source.forms}, or the word download"
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
        default=default_cache_dir(),
        metavar="DIR",
        help="for downloads and unpacked archives (default: quaclrs in $HF_HOME or ~/.cache)",
    )


def read_inputs(options: argparse.Namespace) -> Inputs:
    """The inputs that the options name.

    Raises:
        QuaclrsError: no source is named, or an `--extra` is not NAME=DIR or repeats a name.
    """
    given = {source.name: getattr(options, source.name) for source in SOURCES}
    given = {name: place for name, place in given.items() if place is not None}
    if not given and not options.extra:
        published = ", ".join(f"--{source.name} DIR" for source in SOURCES)
        raise QuaclrsError(f"no source given; pass one or more of {published} and --extra NAME=DIR")
    return Inputs(given, _read_extras(options.extra), options.keep_siren, options.cache_dir)


def scan_inputs(inputs: Inputs, sources: Sequence[Source] = SOURCES) -> list[SourceReport]:
    """Find the clips of all sources, and print how many there are, what is missing and what to know of each.

    Raises:
        QuaclrsError: a source is not there, or is not what it should be.
    """
    # Scanned first, as a mistake in it shows at once and a download takes long.
    extras = [scan_extras(inputs.extras)] if inputs.extras else []
    reports = []
    for source in sources:
        if source.name in inputs.given:
            folder = locate(inputs.given[source.name], source.archive, inputs.cache_dir)
            reports.append(source.scan(folder, **{name: getattr(inputs, name) for name in source.settings}))
    for report in (reports := reports + extras):
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
