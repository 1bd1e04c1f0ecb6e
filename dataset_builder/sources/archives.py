"""Unpack an archive of recordings so that nothing in it can reach outside its folder, and whole or not at all."""

from __future__ import annotations

import hashlib
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tqdm.auto import tqdm

from quaclrs.errors import QuaclrsError
from quaclrs.files import written

_BLOCK = 1 << 20
#: What the readers of tar, gzip, bz2, xz and zip raise on damaged, cut or encrypted archives.
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    OSError,
)


@dataclass(frozen=True)
class Member:
    """One entry of an archive: `kind` is `file`, `folder` or what makes it refused; `size` is in bytes."""

    name: str
    kind: str
    size: int
    content: IO[bytes] | None = None


def md5_of(path: Path) -> str:
    """The MD5 checksum of a file, in hexadecimal; with a progress bar, as archives are large."""
    digest = hashlib.md5(usedforsecurity=False)
    progress = tqdm(total=path.stat().st_size, desc=f"checking {path.name}", unit="B", unit_scale=True, delay=2)
    with progress, path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            progress.update(len(block))
    return digest.hexdigest()


def unpack_once(archive: Path, parent: Path, md5: str) -> Path:
    """Unpack an archive into a folder of its own, named after its name and checksum; what is there already is reused.

    Args:
        archive: a tar (plain, gz, bz2, xz) or zip file.
        parent: the folder that holds the unpacked ones; made where absent.
        md5: the archive's checksum.

    Returns:
        The unpacked folder. Zips inside the archive are unpacked too, beside where they lay: Mendeley Data wraps a
        published zip into another.

    Raises:
        QuaclrsError: it is no archive, is cut short or damaged, holds a link, a device or a path that leaves the
            folder, or the disk is too small. Then nothing is left behind.
    """
    target = parent / f"{archive.name.split('.')[0]}-{md5[:12]}"
    if target.is_dir():
        return target
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with written(target) as unfinished:
            unfinished.mkdir()
            _unpack(archive, unfinished)
            for inner in sorted(unfinished.rglob("*.zip")):
                if inner.is_file() and not inner.name.startswith("."):  # macOS leaves `._name.zip`, which is no zip
                    _unpack(inner, inner.parent)
                    inner.unlink()
    except OSError as error:
        if not target.is_dir():  # else another process was faster
            raise QuaclrsError(f"{archive} cannot be unpacked into {parent} ({error}); see --cache-dir") from error
    return target


def _unpack(archive: Path, folder: Path) -> None:
    try:
        for member in tqdm(_members(archive, folder), desc=f"unpacking {archive.name}", unit="file", delay=2):
            _refuse(archive, member)
            if member.size > shutil.disk_usage(folder).free:
                raise QuaclrsError(f"{archive} does not fit on the disk; choose another --cache-dir")
            path = folder.joinpath(*Path(member.name).parts)
            (path if member.kind == "folder" else path.parent).mkdir(parents=True, exist_ok=True)
            if member.content is not None:
                with path.open("wb") as file:
                    shutil.copyfileobj(member.content, file, _BLOCK)
                if path.stat().st_size != member.size:
                    raise EOFError(f"{member.name} is shorter than it should be")
    except QuaclrsError:
        raise
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk; gzip and bz2 raise OSErrors without one
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise QuaclrsError(f"{archive} is no archive, or cut short or damaged ({reason}); get it again") from error


def _refuse(archive: Path, member: Member) -> None:
    """Raise where a member is anything but a file or folder below the target."""
    if member.kind not in ("file", "folder"):
        raise QuaclrsError(f"{archive} holds {member.name!r}, {member.kind}; nothing was unpacked: get it elsewhere")
    parts = member.name.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts or ":" in parts[0] or "\0" in member.name:
        raise QuaclrsError(
            f"{archive} holds {member.name!r}, a path outside its folder; nothing was unpacked: get it elsewhere"
        )


def _members(archive: Path, folder: Path) -> Iterator[Member]:
    with archive.open("rb") as file:
        start = file.read(2)
    if start == b"PK":  # `is_zipfile` looks at the end, and takes a tar whose last member is a zip for one
        yield from _zip_members(archive)
    else:
        yield from _tar_members(archive, folder)


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            file_type = stat.S_IFMT(info.external_attr >> 16)
            if file_type not in (0, stat.S_IFREG, stat.S_IFDIR):
                yield Member(info.filename, "a link" if file_type == stat.S_IFLNK else "a device", 0)
            elif info.is_dir():
                yield Member(info.filename, "folder", 0)
            else:
                with zipped.open(info) as content:
                    yield Member(info.filename, "file", info.file_size, content)


class _CheckedTarInfo(tarfile.TarInfo):
    """Takes a damaged header for an error. The standard library takes it, after the first member, for the end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Any:
        header_errors: Any = tarfile.HeaderError
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except header_errors as error:
            raise tarfile.ReadError(str(error)) from error


def _tar_members(archive: Path, folder: Path) -> Iterator[Member]:
    data_filter = getattr(tarfile, "data_filter", None)  # Python 3.10.12, 3.11.4 and newer
    with tarfile.open(archive, tarinfo=_CheckedTarInfo) as tar:
        for info in tar:
            kind = _tar_kind(info)
            member = Member(info.name, kind, info.size, tar.extractfile(info) if kind == "file" else None)
            _refuse(archive, member)
            if data_filter is not None:
                data_filter(info, str(folder))
            yield member
        # The checksum of a compressed tar stands at its very end, where iteration does not look.
        while tar.fileobj is not None and tar.fileobj.read(_BLOCK):
            pass


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isfile():
        return "file"
    if info.isdir():
        return "folder"
    if info.issym() or info.islnk():
        return f"a link to {info.linkname!r}"
    return "a device" if info.isdev() else "of an unknown kind"
