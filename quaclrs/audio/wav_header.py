"""The size that a WAV header states, against the bytes that are there: recorders that die leave it 0 or too large."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

#: Sizes from here on are what programs write that do not know the length yet (pipes).
_UNKNOWN = 0x7FFF0000


@dataclass(frozen=True)
class WavData:
    """The chunk of a WAV file that holds its samples.

    Attributes:
        field: place of its size in the file, in bytes.
        stated: bytes, as the header says.
        there: bytes from its beginning to the end of the file.
        bytes_per_second: as the header says; 0 where it does not.
    """

    field: int
    stated: int
    there: int
    bytes_per_second: int

    @property
    def lost_seconds(self) -> float:
        """Seconds that the header names and the file lacks."""
        lacking = self.stated - self.there if self.stated < _UNKNOWN else 0
        return max(0.0, lacking / self.bytes_per_second) if self.bytes_per_second else 0.0


def find_wav_data(file: BinaryIO) -> WavData | None:
    """The chunk with the samples of a RIFF WAV file; None for any other file."""
    end = file.seek(0, 2)
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    place, bytes_per_second = 12, 0
    while place + 8 <= end:
        file.seek(place)
        name, size = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            return WavData(place + 4, size, end - place - 8, bytes_per_second)
        if name == b"fmt ":
            bytes_per_second = struct.unpack("<8xI", file.read(12).ljust(12, b"\0"))[0]
        place += 8 + size + size % 2
    return None


def size_of_unfinished(file: BinaryIO, data: WavData) -> int | None:
    """The size that belongs into a header that says 0 although samples follow; None where 0 is right."""
    if data.stated or data.there < 2 or _are_chunks(file, data.field + 4, data.field + 4 + data.there):
        return None
    return min(data.there, 0xFFFFFFFF)


def _are_chunks(file: BinaryIO, place: int, end: int) -> bool:
    """True where names and sizes of chunks follow each other up to the end, as tags after the samples do."""
    while place + 8 <= end:
        file.seek(place)
        name, size = struct.unpack("<4sI", file.read(8))
        if not (name.isascii() and name.decode().isprintable()):
            return False
        place += 8 + size + size % 2
    return place in (end, end + 1)
