"""The bytes of a sound as libsndfile reads them: a path, bytes or an open file, with headers mended."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import soundfile

from ..standard_error import turned_away
from .carriers import SoundSource
from .errors import AudioError
from .headers import first_flac_sample, mend_header
from .kinds import HEAD, is_mpeg, kind_of
from .ogg import seconds_by_pages
from .pipes import ENCODED, open_pipe, searchable

#: The endings by which libsndfile takes any bytes for 8 kHz telephone sound without a header.
_TAKEN_FOR_RAW = (".au", ".snd")

#: Bytes of damage behind which an MP3 is still looked for, and how many are searched at a time.
_FARTHEST, _PIECE = 1 << 24, 1 << 16


class Decoder(soundfile.SoundFile):  # type: ignore[misc]
    """A file that libsndfile reads from front to back: without a seek after every read, which damaged files fail at."""

    def seekable(self) -> bool:
        """False, so that `read` does not seek; `seek` works nonetheless where the format allows it."""
        return False

    @property
    def may_seek(self) -> bool:
        """True where the format allows `seek`."""
        return super().seekable()


class Patience:
    """Bounds how often a decoder reads in search of sound: in damage it goes through every byte, again and again."""

    def __init__(self) -> None:
        self.reads: int | None = None
        self.ended = 0  # how often it was at its end

    @contextmanager
    def of(self, reads: int | None) -> Iterator[None]:
        """Allow so many reads inside this context."""
        self.reads = reads
        try:
            yield
        finally:
            self.ended += self.reads == 0
            self.reads = None

    def lasts(self) -> bool:
        """Count a read; False where it is one too many."""
        if self.reads:
            self.reads -= 1
        return self.reads != 0


class ByteView:
    """A binary file from an offset on, some of its bytes replaced; a read error is the end of the file.

    `patience` is shared by all views of a file: reads until the end of the file is feigned, None for any number.
    """

    def __init__(
        self, file: BinaryIO, start: int = 0, patch: tuple[int, bytes] = (0, b""), patience: Patience | None = None
    ) -> None:
        self.file, self.start, self.patch, self.patience = file, start, patch, patience or Patience()
        file.seek(start)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move as in a file; a place before its beginning, to which a damaged header may point, leads nowhere."""
        try:
            return self.file.seek(offset + (self.start if whence == os.SEEK_SET else 0), whence) - self.start
        except (OSError, ValueError):  # ValueError: of bytes in memory
            return self.tell()

    def tell(self) -> int:
        """Place of the next read, as in a file."""
        return self.file.tell() - self.start

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, as of a file."""
        if not self.patience.lasts():
            return 0
        try:
            content = self.file.read(len(buffer))
        except OSError:
            return 0
        at, replacement = self.patch
        if replacement:
            place = self.file.tell() - len(content)
            mended = bytearray(content)
            for number, value in enumerate(replacement, at - place):
                if 0 <= number < len(mended):
                    mended[number] = value
            content = bytes(mended)
        buffer[: len(content)] = content
        return len(content)


class Source:
    """Opens a sound, as often as it takes to get past damage.

    Args:
        file: a path, the bytes of a file, or an open binary file.
        name: what to call it in an error.

    Raises:
        AudioError: the file does not exist, may not be read, or is empty.
    """

    def __init__(self, file: SoundSource, name: str) -> None:
        self.name, self.patience = name, Patience()
        if hasattr(file, "read"):
            file = searchable(file, name)
        self.path = os.fspath(file) if isinstance(file, (str, os.PathLike)) else None
        self._is_ours = self.path is not None
        try:
            self._file: BinaryIO = io.BytesIO(file) if isinstance(file, ENCODED) else self._opened(file)
            self.size = self._file.seek(0, os.SEEK_END)
            self._file.seek(0)
            self.head = self._file.read(HEAD)
            self.mended = mend_header(self._file)
        except AudioError:
            raise
        except PermissionError as error:
            raise AudioError(f"{self.name} may not be read (permission denied); change its permissions") from error
        except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
            reason = getattr(error, "strerror", None) or error
            raise AudioError(f"{self.name} cannot be read ({reason}); check its path and the disk") from error
        if self.size == 0:
            self.close()
            raise AudioError(f"{name} is empty (0 bytes); copy it from its source again")
        self._patch = (self.mended.place, self.mended.field) if self.mended else (0, b"")

    def _opened(self, file: Any) -> BinaryIO:
        """The file that was given open, or the one at a path."""
        if self.path is None:
            return file
        path = Path(self.path)
        if path.is_dir():
            raise AudioError(
                f"{self.name} is a folder; give a sound file" if self.path else "the path of a sound is empty; give one"
            )
        if not path.exists():
            if path.is_symlink():
                raise AudioError(
                    f"{self.name} is a link to {os.readlink(path)}, which does not exist; fetch or restore that"
                )
            raise AudioError(f"{self.name} does not exist; check the path")
        if path.is_file():
            return path.open("rb")
        if not (path.is_fifo() or path.is_char_device()):
            raise AudioError(f"{self.name} is neither a file nor a pipe; give a sound file")
        self.path = None  # it can be read once
        return open_pipe(path, self.name)

    def close(self) -> None:
        """Close the file, unless it was given open."""
        if self._is_ours:
            self._file.close()

    @property
    def is_mpeg(self) -> bool:
        """True for what libmpg123 is asked to decode."""
        return is_mpeg(self.head)

    @property
    def counts_frames(self) -> bool:
        """True for an MP3 whose header says how long it is; else libmpg123 guesses."""
        self._file.seek(self._first_mpeg_frame())
        frame = self._file.read(HEAD)
        return any(tag in frame for tag in (b"Xing", b"Info", b"VBRI"))

    def find_mpeg_frame(self, place: int) -> int | None:
        """The next place from which a frame of MPEG audio like the first may begin; None where none does."""
        self._file.seek(self._first_mpeg_frame())
        first = self._file.read(3).ljust(3, b"\0")
        likely = re.compile(
            re.escape(first[:2]) + b"[" + re.escape(bytes(b for b in range(256) if not (b ^ first[2]) & 0x0C)) + b"]"
        )
        for start in range(place, min(place + _FARTHEST, self.size), _PIECE):
            self._file.seek(start)
            if found := likely.search(self._file.read(_PIECE + 2)):
                return start + found.start()
        return None

    def _first_mpeg_frame(self) -> int:
        """Offset of the first frame: after a tag, whose size is stored in four times seven bits."""
        if self.head[:3] != b"ID3":
            return 0
        return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(self.head[6:10], (21, 14, 7, 0), strict=False))

    @property
    def first_flac_sample(self) -> int:
        """As of `headers.first_flac_sample`; only at the end of reading, as it moves the file's place."""
        return first_flac_sample(self._file)

    @property
    def ogg_seconds(self) -> float:
        """As of `ogg.seconds_by_pages`; only at the end of reading."""
        return seconds_by_pages(self._file)

    @property
    def place(self) -> int:
        """Bytes of the file that the decoder has read last."""
        return self._file.tell()

    def decoder(self, start: int = 0) -> Decoder:
        """A decoder of the file, or of its bytes from `start` on.

        Raises:
            AudioError: it is not a sound; the message says what it is, where that can be told.
        """
        try:
            with self.quiet():
                return Decoder(ByteView(self._file, start, self._patch, self.patience))
        except (soundfile.SoundFileError, ValueError, TypeError) as error:
            failed = error
        if start == 0 and self.path is not None and kind_of(self.head) is None:
            # By its path libsndfile may also know it by its ending: telephone sound without a header, junk before MP3.
            try:
                with self.quiet(always=True):
                    decoder = Decoder(self.path)
                if decoder.format != "RAW" or not self.path.lower().endswith(_TAKEN_FOR_RAW):
                    return decoder
                decoder.close()
            except (soundfile.SoundFileError, OSError, ValueError, TypeError):
                pass
        raise self.error(failed) from failed

    def error(self, failed: Exception) -> AudioError:
        """Describe a file that cannot be decoded."""
        kind = kind_of(self.head)
        if kind is not None:
            return AudioError(f"{self.name} is {kind[0]}; {kind[1]}")
        # libsndfile's own words, without the path that it was given: `name` says what the user calls the file.
        reason = str(getattr(failed, "error_string", failed)).rstrip(".")
        if "regular file" in reason:  # what it says of frames of MPEG that hold no sound
            reason = "Nothing in it is sound"
        return AudioError(f"{self.name} cannot be decoded as audio ({reason}); convert it to WAV or FLAC")

    @contextmanager
    def quiet(self, always: bool = False) -> Iterator[None]:
        """Keep libmpg123, which writes its notes into file descriptor 2, from writing over ours.

        Our own lines pass by it (`write_line`).
        """
        with turned_away() if always or self.is_mpeg else nullcontext():
            yield
