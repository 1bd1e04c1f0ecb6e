"""Copy what can be read once, a pipe or a device, up to a bound: it may never end, and nothing may come of it."""

from __future__ import annotations

import io
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import soundfile

from .errors import AudioError
from .kinds import HEAD, is_mpeg, kind_of

#: The bytes of a file.
ENCODED = (bytes, bytearray, memoryview)

#: Bytes that are read of a pipe (three hours of 16-bit mono at 48 kHz), and how many of them are kept in memory.
_LONGEST, _IN_MEMORY = 1 << 30, 1 << 26

#: Bytes that are read at a time, and seconds until somebody must have opened a named pipe for writing.
_PIECE, _PATIENCE = 1 << 20, 1.0


def searchable(file: Any, name: str) -> Any:
    """An open binary file, or a copy of it where it cannot be searched, as a pipe cannot.

    Raises:
        AudioError: it is closed or open as text, gives something else than bytes, holds no sound as far as can be told
            by its beginning, goes on for more than a gigabyte, or its copy finds no room.
    """
    if isinstance(file, io.TextIOBase):
        raise AudioError(f"{name} is open as text; open it with mode 'rb'")
    if getattr(file, "closed", False):
        raise AudioError(f"{name} is closed; open it again")
    # A device may be searched without an error, and yet has no end.
    if getattr(file, "seekable", lambda: False)() and not _is_endless(file):
        return file
    return copy_of_pipe(file, name)


def _is_endless(file: Any) -> bool:
    try:
        return stat.S_ISCHR(os.fstat(file.fileno()).st_mode)
    except (AttributeError, OSError, TypeError, ValueError):  # it is in memory
        return False


def open_pipe(path: Path, name: str) -> BinaryIO:
    """A copy of a named pipe or a device; errors as of `searchable`, and where nobody writes into the pipe."""
    if not path.is_fifo():
        with path.open("rb") as device:
            return copy_of_pipe(device, name)
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as pipe:  # it would wait for a writer
        begun = _first_bytes(pipe.fileno(), name)
        os.set_blocking(pipe.fileno(), True)
        return copy_of_pipe(pipe, name, begun)


def _first_bytes(pipe: int, name: str) -> bytes:
    """Bytes that are in a pipe, or none where its writer has given none yet."""
    last = time.monotonic() + _PATIENCE
    while time.monotonic() < last:
        try:
            if begun := os.read(pipe, _PIECE):
                return begun
        except BlockingIOError:
            return b""
        time.sleep(0.01)
    raise AudioError(f"{name} is a pipe into which nothing is written; start what writes first")


def copy_of_pipe(pipe: Any, name: str, begun: bytes = b"") -> BinaryIO:
    """Copy what can be read once into memory, or onto the disk if it is large; errors as of `searchable`.

    Args:
        pipe: what `read` is called of.
        name: what messages call it.
        begun: bytes that were read of it.
    """
    copy: Any = io.BytesIO()
    try:
        for piece in _pieces(pipe, name, begun):
            if copy.tell() < HEAD:
                _refuse_other_kinds(copy.getvalue() + piece[:HEAD], name)
            if copy.tell() + len(piece) > _LONGEST:
                raise AudioError(
                    f"{name} goes on for more than {_LONGEST >> 30} GB; write it into a file, and give that"
                )
            copy.write(piece)
            if isinstance(copy, io.BytesIO) and copy.tell() > _IN_MEMORY:
                _refuse_noise(copy, name)
                in_memory, copy = copy, tempfile.TemporaryFile()  # noqa: SIM115 (it goes with the last who reads it)
                copy.write(in_memory.getbuffer())
    except OSError as error:
        raise AudioError(
            f"{name} cannot be copied to {tempfile.gettempdir()} ({error.strerror}); make room, or set TMPDIR"
        ) from error
    copy.seek(0)
    return copy


def _pieces(pipe: Any, name: str, begun: bytes) -> Iterator[bytes]:
    if begun:
        yield begun
    while piece := _read(pipe, name):
        yield piece


def _read(pipe: Any, name: str) -> bytes:
    try:
        piece = pipe.read(_PIECE)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{name} cannot be read ({reason}); open it with mode 'rb'") from error
    if not isinstance(piece, ENCODED):
        what = "nothing yet" if piece is None else f"no bytes but {type(piece).__name__}"
        raise AudioError(f"{name} gives {what}; give an open binary file that waits for its bytes")
    return bytes(piece)


def _refuse_other_kinds(head: bytes, name: str) -> None:
    """Refuse what no sound begins with, before the rest of it is read."""
    kind = kind_of(head[:HEAD])
    if len(head) >= HEAD and kind is not None and not is_mpeg(head):
        raise AudioError(f"{name} is {kind[0]}; {kind[1]}")


def _refuse_noise(beginning: io.BytesIO, name: str) -> None:
    """Refuse bytes that libsndfile does not know, however many have come; of MPEG it finds sound far behind."""
    if is_mpeg(bytes(beginning.getbuffer()[:HEAD])):
        return
    beginning.seek(0)
    try:
        soundfile.SoundFile(beginning).close()
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        raise AudioError(f"{name} cannot be decoded as audio; send WAV or FLAC") from error
    beginning.seek(0, os.SEEK_END)
