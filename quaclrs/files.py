"""Files and folders that are complete or absent, however a program ends."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import QuaclrsError

if TYPE_CHECKING:
    from _typeshed import SupportsRead

#: Bytes that are read at a time.
_BLOCK = 1 << 20

#: Beginning of what Git LFS keeps in place of a file.
_POINTER = b"version https://git-lfs"

#: File that a writer holds locked in its unfinished folder; a writer that was killed holds it no longer.
_HELD = ".quaclrs.lock"


def digest_of(file: SupportsRead[bytes], algorithm: str) -> str:
    """Digest of an open file from here on, in hexadecimal; `hashlib.file_digest` needs Python 3.11."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def storable(name: str) -> str:
    """A name of a file as text that every table takes: bytes that are not UTF-8 are written as `\\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode()


def refuse_pointer(path: Path) -> None:
    """Raise a `QuaclrsError` for a file that stands for another, as `git clone` without Git LFS leaves it."""
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise QuaclrsError(f"{path} is a Git LFS pointer and not the file itself; fetch it (git lfs pull)")


@contextmanager
def written(path: Path, durable: bool = False) -> Iterator[Path]:
    """A place beside `path` for a file or a folder, which gets its name when the block ends without an error.

    A former file or empty folder of that name is replaced; into a folder that must stay (`must_stay`) what was written
    is moved entry by entry. The parent folder must exist. What writers that were killed have left of it goes.

    Args:
        path: of the file or folder.
        durable: wait until it is on the disk before it gets its name, so that it survives a power cut too. A disk takes
            some hundredths of a second for each file.
    """
    from filelock import FileLock  # takes a fifth of a second

    path = Path(os.path.abspath(path))  # "." has no name
    stays = path.is_dir() and must_stay(path)
    home = path if stays else path.parent
    _remove_left_behind(home, path)
    folder = Path(tempfile.mkdtemp(prefix=_prefix_of(path), dir=home))
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        with suppress(OSError, NotImplementedError):  # a disk without locks, where nothing is ever taken for left
            lock.acquire()
            os.link(lock.lock_file, folder / _HELD)  # seen by others once it is held, not before
        yield folder / path.name
        if durable:
            flush_to_disk(folder / path.name)
        if stays:
            _move_entries(folder / path.name, path)
        else:
            if path.is_dir():
                path.rmdir()
            (folder / path.name).replace(path)
        if durable:
            _flush(home)
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def must_stay(folder: Path) -> bool:
    """True for a folder that no other can replace: a mounted disk, a link, where the shell is, in a read-only one."""
    is_link_or_disk = folder.is_symlink() or os.path.ismount(folder)
    return is_link_or_disk or os.path.samefile(folder, os.curdir) or not os.access(folder.parent, os.W_OK)


def _move_entries(source: Path, target: Path) -> None:
    """Move what is in a folder into another; none where one of its names is taken."""
    entries = list(source.iterdir())
    for entry in entries:
        if os.path.lexists(target / entry.name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target / entry.name))
    for entry in entries:
        entry.rename(target / entry.name)


def _prefix_of(path: Path) -> str:
    """Beginning of the names of unfinished folders for a path."""
    return f".{path.name[:32]}."


def _remove_left_behind(home: Path, path: Path) -> None:
    """Remove unfinished folders whose writer is gone: they have a lock that nobody holds. All others stay."""
    from filelock import FileLock

    with suppress(OSError, NotImplementedError):
        for entry in os.scandir(home):
            held = Path(entry.path, _HELD)
            if entry.name.startswith(_prefix_of(path)) and entry.is_dir(follow_symlinks=False) and held.is_file():
                with suppress(OSError), FileLock(held, timeout=0):
                    shutil.rmtree(entry.path, ignore_errors=True)


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or all of a folder, is on the disk."""
    for parent, _, names in os.walk(path):
        for name in names:
            _flush(Path(parent, name))
        _flush(Path(parent))
    if not path.is_dir():
        _flush(path)


def _flush(path: Path) -> None:
    """Wait for one file or folder; systems that cannot open a folder keep its names by themselves."""
    with suppress(PermissionError, IsADirectoryError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


#: Reasons why a file cannot be written, whatever it holds.
_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EFBIG, errno.EDQUOT}

_FULL = os.strerror(errno.ENOSPC)

#: Bytes that any result takes; a disk with less room is full.
_LEAST_ROOM = 1 << 16


@contextmanager
def name_unwritable(path: Path) -> Iterator[None]:
    """Turn an error of the block into a `QuaclrsError` that names `path`, if the reason is that it cannot be written.

    Libraries have errors of their own for a full disk, so any error counts that speaks of one, or comes with one.
    """
    try:
        yield
    except QuaclrsError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _UNWRITABLE and _concerns(error, path.parent):
            reason = error.strerror
        elif _FULL in str(error) or _is_full(path):
            reason = _FULL
        else:
            raise
        raise QuaclrsError(f"{path} cannot be written ({reason}); choose another place, or make room") from error


def _concerns(error: OSError, folder: Path) -> bool:
    """True unless the error names a file elsewhere, one that could not be read for instance."""
    return error.filename is None or os.fsdecode(error.filename).startswith(os.fspath(folder))


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(_existing_part(path)).free < _LEAST_ROOM
    except OSError:
        return False


def _existing_part(path: Path) -> Path:
    """The path as far as it exists."""
    path = Path(os.path.abspath(path))
    return next(part for part in (path, *path.parents) if os.path.exists(part))


def refuse_unwritable(path: str | os.PathLike[str], option: str) -> None:
    """Raise a `QuaclrsError` where a file, or a folder with files in it, cannot be written; nothing is left behind.

    Call it before the work whose result goes there.

    Args:
        path: a folder that exists, or any path that does not, or the file that is replaced.
        option: how the user chooses the path, for the message.
    """
    wanted, there = Path(os.path.abspath(path)), _existing_part(Path(path))
    try:
        if there == wanted and there.is_dir():
            # Without a name: another process may look just now if the folder is empty.
            with tempfile.TemporaryFile(dir=there) as nameless:
                nameless.write(bytes(_LEAST_ROOM))
            return
        there = there.parent if there == wanted else there
        with tempfile.TemporaryDirectory(prefix=".quaclrs.", dir=there) as folder:
            tried = Path(folder) / wanted.relative_to(there)
            tried.parent.mkdir(parents=True, exist_ok=True)
            tried.write_bytes(bytes(_LEAST_ROOM))
    except OSError as error:
        raise QuaclrsError(f"{path} cannot be written ({error.strerror}); choose another {option}") from error


def holds_anything(folder: Path) -> bool:
    """True for a folder that is not empty; what a killed writer left of it goes first."""
    if not folder.is_dir():
        return False
    _remove_left_behind(folder, Path(os.path.abspath(folder)))
    return any(folder.iterdir())


def refuse_used_folder(folder: str | os.PathLike[str], option: str = "--output-dir") -> None:
    """Raise a `QuaclrsError` where a folder holds something, a training run for one, or cannot be written."""
    path = Path(folder)
    if os.path.exists(path) and not path.is_dir():
        raise QuaclrsError(f"{path} is a file; choose another {option}")
    if holds_anything(path):
        raise QuaclrsError(f"{path} is not empty; choose another {option}")
    refuse_unwritable(path, option)


def refuse_unwritable_cache(error: BaseException) -> None:
    """Raise a `QuaclrsError` that names the cache where a library failed as it cannot write it; else do nothing."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _UNWRITABLE:
            place = f"the cache {cause.filename}" if cause.filename else "the cache of Hugging Face"
            raise QuaclrsError(
                f"{place} cannot be written ({cause.strerror}); set HF_HOME to a folder that can, with room in it"
            ) from error
        cause = cause.__cause__ or cause.__context__
