"""Unpack an archive of recordings so that nothing in it can reach outside its folder, and whole or not at all."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from tqdm.auto import tqdm

from quaclrs.errors import QuaclrsError
from quaclrs.files import digest_of, written

_BLOCK = 1 << 20

#: Bytes of a tar's header for a name or its other facts, and of a zip's list of members: beyond, memory would fill.
_LONGEST_HEADER, _LONGEST_LIST = 1 << 20, 1 << 26

#: What the readers of tar, gzip, bz2, xz and zip raise on damaged, cut or encrypted archives.
_DAMAGED = (
    struct.error,
    ArithmeticError,
    LookupError,
    AttributeError,
    TypeError,
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


@dataclass
class UnpackLimit:
    """Limits far above any archive of sounds, and far below a bomb; archives inside one count with it.

    Args:
        most_bytes: unpacked. UrbanSound8K has 6.6 GB, FSD50K 33 GB.
        most_growth: times its own size that an archive unpacks to, where that is more than `always`. WAV of silence
            grows the most.
        always: bytes that any archive may unpack to.
        most_members: files and folders.
    """

    most_bytes: int = 200 << 30
    most_growth: int = 100
    always: int = 1 << 30
    most_members: int = 500_000

    def count(self, archive: Path) -> _Count:
        """Begin to count what comes out of an archive."""
        most = min(self.most_bytes, max(self.always, self.most_growth * archive.stat().st_size))
        return _Count(archive, most, self.most_members)


@dataclass
class _Count:
    """Bytes and members that may still come out of an archive."""

    archive: Path
    bytes_left: int
    members_left: int

    def member(self) -> None:
        self.members_left -= 1
        if self.members_left < 0:
            raise QuaclrsError(f"{self.archive} holds too many files to be recordings; nothing was unpacked")

    def take(self, size: int) -> None:
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise QuaclrsError(
                f"{self.archive} unpacks to far more than recordings would; nothing was unpacked: get it elsewhere, or "
                "unpack it by other means and give the folder"
            )


def md5_of(path: Path) -> str:
    """The MD5 checksum of a file, in hexadecimal; with a progress bar, as archives are large."""
    size = path.stat().st_size
    with path.open("rb") as file, tqdm.wrapattr(file, "read", size, desc=f"checking {path.name}", delay=2) as followed:
        return digest_of(followed, "md5")


def unpack_once(archive: Path, parent: Path, md5: str, limit: UnpackLimit | None = None) -> Path:
    """Unpack an archive into a folder of its own, named after its name and checksum; what is there already is reused.

    Args:
        archive: a tar (plain, gz, bz2, xz) or zip file.
        parent: the folder that holds the unpacked ones; made where absent.
        md5: the archive's checksum.
        limit: of what may come out of it.

    Returns:
        The unpacked folder. Zips inside the archive are unpacked too, beside where they lay: Mendeley Data wraps a
        published zip into another.

    Raises:
        QuaclrsError: it is not an archive, is cut short or damaged, holds a link, a device, a path that leaves the
            folder or two files of one name, goes beyond the limit, or the disk is too small. Then nothing is left
            behind.
    """
    target = parent / f"{archive.name.split('.')[0]}-{md5[:12]}"
    if target.is_dir():
        return target
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with written(target) as unfinished:
            unfinished.mkdir()
            count = (limit or UnpackLimit()).count(archive)
            _unpack(archive, unfinished, count)
            for inner in sorted(unfinished.rglob("*.zip")):
                if inner.is_file() and not inner.name.startswith("."):  # macOS leaves `._name.zip`, which is not a zip
                    packed = inner.rename(inner.with_name(f".{inner.name}"))  # it may hold a file of its own name
                    _unpack(packed, inner.parent, count, may_replace=True)
                    packed.unlink()
    except OSError as error:
        if not target.is_dir():  # else another process was faster
            raise QuaclrsError(f"{archive} cannot be unpacked into {parent} ({error}); see --cache-dir") from error
    return target


def _unpack(archive: Path, folder: Path, count: _Count, may_replace: bool = False) -> None:
    try:
        for member in tqdm(_members(archive, folder, count), desc=f"unpacking {archive.name}", unit="file", delay=2):
            _refuse(archive, member)
            if member.size > shutil.disk_usage(folder).free:
                raise QuaclrsError(f"{archive} does not fit on the disk; choose another --cache-dir")
            path = folder.joinpath(*Path(member.name).parts)
            (path if member.kind == "folder" else path.parent).mkdir(parents=True, exist_ok=True)
            if member.content is None:
                continue
            if path.is_file() and not may_replace:
                raise QuaclrsError(f"{archive} holds {member.name!r} twice; nothing was unpacked: get it elsewhere")
            with path.open("wb") as file:
                while block := member.content.read(_BLOCK):
                    count.take(len(block))
                    file.write(block)
            if path.stat().st_size != member.size:
                raise EOFError(f"{member.name} is shorter than it should be")
    except QuaclrsError:
        raise
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk; gzip and bz2 raise OSErrors without one
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise QuaclrsError(
            f"{archive} is not an archive, or is cut short or damaged ({reason}); get it again"
        ) from error


def _refuse(archive: Path, member: Member) -> None:
    """Raise where a member is anything but a file or folder below the target."""
    if member.kind not in ("file", "folder"):
        raise QuaclrsError(f"{archive} holds {member.name!r}, {member.kind}; nothing was unpacked: get it elsewhere")
    parts = member.name.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts or ":" in parts[0] or "\0" in member.name:
        raise QuaclrsError(
            f"{archive} holds {member.name!r}, a path outside its folder; nothing was unpacked: get it elsewhere"
        )


def _members(archive: Path, folder: Path, count: _Count) -> Iterator[Member]:
    with archive.open("rb") as file:
        start = file.read(2)
    # `is_zipfile` looks at the end, and takes a tar whose last member is a zip for one.
    for member in _zip_members(archive) if start == b"PK" else _tar_members(archive, folder, count):
        count.member()
        if member.size > count.bytes_left:
            count.take(member.size)  # known before a byte of it is written
        yield member


def _zip_members(archive: Path) -> Iterator[Member]:
    with archive.open("rb") as file:
        if _length_of_list(file) > _LONGEST_LIST:
            raise QuaclrsError(f"{archive} holds too many files to be recordings; nothing was unpacked")
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


def _length_of_list(file: IO[bytes]) -> int:
    """Bytes of a zip's list of members, which is read as a whole, by the record at its end; 0 where there is none."""
    start = max(0, file.seek(0, os.SEEK_END) - (1 << 16) - 22)  # behind the record stands a comment
    file.seek(start)
    end = file.read()
    place = end.rfind(b"PK\5\6")
    if place < 0 or len(end) < place + 16:
        return 0
    size: int = struct.unpack_from("<I", end, place + 12)[0]
    large = end.rfind(b"PK\6\6", 0, place)  # the record of a zip of more than 4 GB
    return struct.unpack_from("<Q", end, large + 40)[0] if large >= 0 and len(end) >= large + 48 else size


#: Kinds of tar members that hold the name of the next one, or other facts about it, and are read as a whole.
_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class _CheckedTarInfo(tarfile.TarInfo):
    """Takes a damaged header for an error. The standard library takes it, after the first member, for the end."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> Any:
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.size > _LONGEST_HEADER and info.type in _HEADERS):
            raise tarfile.ReadError(f"a header states {info.size} bytes")
        if info.type == tarfile.GNUTYPE_SPARSE:
            cls._proc_gnusparse_10(info)
        return info

    def _proc_gnusparse_10(self, *_: Any) -> NoReturn:
        """Refuse a file with holes, whose map, of any length, would be read here as a whole."""
        raise tarfile.ReadError(f"{self.name!r} is a sparse file; pack it without --sparse")

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Any:
        header_errors: Any = tarfile.HeaderError
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except header_errors as error:
            raise tarfile.ReadError(str(error)) from error


def _tar_members(archive: Path, folder: Path, count: _Count) -> Iterator[Member]:
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
        while tar.fileobj is not None and (block := tar.fileobj.read(_BLOCK)):
            count.take(len(block))


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.issparse():
        return "a sparse file"
    if info.isfile():
        return "file"
    if info.isdir():
        return "folder"
    if info.issym() or info.islnk():
        return f"a link to {info.linkname!r}"
    return "a device" if info.isdev() else "of an unknown kind"
