"""Download the archives of the published data sets: resumed after an interruption, and checked by their checksums."""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from quaclrs.errors import QuaclrsError
from quaclrs.files import written
from quaclrs.locks import only_writer
from quaclrs.text_files import read_mapping

from .archives import md5_of

_BLOCK = 1 << 18


@dataclass(frozen=True)
class RemoteArchive:
    """An archive on the web.

    Args:
        name: the data set's name, for messages.
        address: where it lies.
        md5: its published checksum; without one, that of the first download is recorded and later ones compared.
        option: the command line option by which a local file is given instead.
        attempts: how often a connection may fail in a row, without a single further byte, before the download does.
        pause: seconds before the second attempt; doubled for each further one.
        timeout: seconds without an answer after which a connection counts as failed.
    """

    name: str
    address: str
    option: str
    md5: str | None = None
    attempts: int = 5
    pause: float = 1.0
    timeout: float = 60.0

    @property
    def file_name(self) -> str:
        """The last part of the address, without a query."""
        return self.address.split("?")[0].rsplit("/", 1)[-1]


class _Dropped(Exception):
    """A connection that failed in a way that may pass."""


def default_cache_dir() -> Path:
    """Folder of downloads and unpacked archives: beside other Hugging Face caches where HF_HOME names their place.

    Returns:
        `$HF_HOME/quaclrs`, else `$XDG_CACHE_HOME/quaclrs`, else `~/.cache/quaclrs`.
    """
    home = os.environ.get("HF_HOME") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "quaclrs"


def download(archive: RemoteArchive, folder: Path) -> tuple[Path, str]:
    """Download an archive into a folder unless it lies there already, and check it.

    What an interrupted download leaves, `NAME.partial`, is gone on with. Nothing that came down is ever deleted for a
    wrong checksum: the error names the file.

    Args:
        archive: what to download.
        folder: where it is kept; made where absent.

    Returns:
        The file and its MD5 checksum.

    Raises:
        QuaclrsError: the server cannot be reached or refuses, the disk cannot be written, the checksum is wrong, or
            another process downloads it.
    """
    file = folder / archive.file_name
    try:
        with only_writer(file, "--cache-dir"):
            if not file.is_file():
                _fetch(archive, file.with_name(f"{file.name}.partial"))
                file.with_name(f"{file.name}.partial").rename(file)
                file.with_name(f"{file.name}.partial.etag").unlink(missing_ok=True)
            md5 = md5_of(file)
            _check(archive, file, md5)
    except OSError as error:
        raise QuaclrsError(f"{file} cannot be written ({error.strerror}); choose another --cache-dir") from error
    return file, md5


def _check(archive: RemoteArchive, file: Path, md5: str) -> None:
    """Compare with the published checksum, or else with that of the first download, which is recorded beside it."""
    record = file.with_name(f"{file.name}.json")
    expected, of_whom = archive.md5, "the published file"
    if expected is None:
        if not record.is_file():
            facts = {"address": archive.address, "md5": md5, "bytes": file.stat().st_size}
            with written(record) as unfinished:
                unfinished.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            return
        of_whom = f"the first download ({record.name})"
        expected = read_mapping(record, "remove it").get("md5")
        if not isinstance(expected, str):
            raise QuaclrsError(f"{record} is not the record of a download; remove it")
    if md5 != expected:
        raise QuaclrsError(
            f"{file} has the MD5 checksum {md5} and {of_whom} has {expected}; remove the file to download it again, or "
            f"pass it as it is by {archive.option} {file}"
        )


def _fetch(archive: RemoteArchive, partial: Path) -> None:
    """Bring `partial` to its full length, over as many connections as make progress."""
    failures, furthest = 0, partial.stat().st_size if partial.is_file() else 0
    while True:
        try:
            _fetch_once(archive, partial)
            return
        except _Dropped as error:
            length = partial.stat().st_size if partial.is_file() else 0
            failures = 0 if length > furthest else failures + 1
            furthest = max(furthest, length)
            if failures >= archive.attempts:
                kept = f"; {length:,} bytes are kept for the next time" if length else ""
                raise QuaclrsError(
                    f"{archive.name} cannot be downloaded from {archive.address} ({error}){kept}; try again, or get "
                    f"the file by other means and pass {archive.option} FILE"
                ) from error
            time.sleep(archive.pause * 2 ** max(failures - 1, 0))


def _fetch_once(archive: RemoteArchive, partial: Path) -> None:
    """Append to `partial` what one connection gives; return once it is whole."""
    start = partial.stat().st_size if partial.is_file() else 0
    etag_file = partial.with_name(f"{partial.name}.etag")
    request = urllib.request.Request(archive.address, headers={"User-Agent": "quaclrs", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        # A file that was replaced on the server is sent whole, not glued to the start of the old one.
        if etag_file.is_file():
            request.add_header("If-Range", etag_file.read_text(encoding="utf-8"))
    with _open(archive, request) as response:
        first, total = _extent(response, start)
        if first != start and first != 0:
            partial.unlink()
            raise _Dropped(f"the server answered from byte {first}, not {start}")
        if response.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            if total == start:
                return
            partial.unlink()
            raise _Dropped("what was downloaded before is longer than the file")
        etag = response.headers.get("ETag", "")
        if etag and not etag.startswith("W/"):
            etag_file.write_text(etag, encoding="utf-8")
        else:
            etag_file.unlink(missing_ok=True)
        with (
            tqdm(total=total, initial=first, desc=archive.file_name, unit="B", unit_scale=True) as progress,
            partial.open("ab" if first else "wb") as file,
        ):
            for block in _blocks(response):
                file.write(block)
                progress.update(len(block))
    if total is not None and partial.stat().st_size != total:
        raise _Dropped(f"the connection ended after {partial.stat().st_size:,} of {total:,} bytes")


def _open(archive: RemoteArchive, request: urllib.request.Request) -> http.client.HTTPResponse | urllib.error.HTTPError:
    try:
        return urllib.request.urlopen(request, timeout=archive.timeout)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return error
        if error.code >= 500 or error.code in (408, 429):
            raise _Dropped(f"status {error.code}, {error.reason}") from error
        raise QuaclrsError(
            f"{archive.name} cannot be downloaded from {archive.address} (status {error.code}, {error.reason}); get "
            f"the file by other means and pass {archive.option} FILE"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise _Dropped(str(reason) or type(error).__name__) from error


def _extent(response: http.client.HTTPResponse | urllib.error.HTTPError, start: int) -> tuple[int, int | None]:
    """The first byte that the answer holds, and the length of the whole file where it is told."""
    if response.status == http.client.OK:  # the server ignores Range, or the file is another than before
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    told = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if told is None:
        raise _Dropped(f"status {response.status} without a Content-Range")
    first, total = told.groups()
    return int(first) if first else start, int(total) if total.isdigit() else None


def _blocks(response: http.client.HTTPResponse | urllib.error.HTTPError) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _Dropped(str(error) or type(error).__name__) from error
        if not block:
            return
        yield block
