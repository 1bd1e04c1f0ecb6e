"""Headers that state another size than is there: of recorders that lost power, and of pipes."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

#: Sizes from here on are what programs write that do not know the length yet.
_UNKNOWN = 0x7FFF0000

#: Chunks before the samples, and after them: more than any writer makes, and few enough to go through.
_MOST_CHUNKS = 4096

#: What libsndfile notes of a size of samples, or of the whole file, that is larger than what is there.
_SHORT = re.compile(r"\b(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)")


@dataclass(frozen=True)
class Mended:
    """A size in a header that libsndfile would not get far with.

    Attributes:
        place: of the field in the file, in bytes.
        field: what belongs there.
        stated: bytes of samples that the header names.
        there: bytes of samples that the file has.
    """

    place: int
    field: bytes
    stated: int
    there: int


def mend_header(file: BinaryIO) -> Mended | None:
    """The size of the samples where a WAV, RF64, AU or CAF states 0 or far less, or a CAF more, than is there."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] == b".snd" and len(head) == 12:
        start, stated = struct.unpack(">II", head[4:])
        return None if stated else Mended(8, b"\xff" * 4, 0, end - start)
    if head[:4] == b"caff":
        place = _find_chunk(file, 8, end, b"data", ">4sq")
        return None if place is None else _mend_caf(file, place, end)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        return None
    place = _find_chunk(file, 12, end, b"data", "<4sI")
    if place is None:
        return None
    field, form = place - 4, "<I"
    if head[:4] == b"RF64":  # the size in the chunk's own header is too short and says so
        field, form = 28, "<Q"
    file.seek(field)
    (stated,) = struct.unpack(form, file.read(struct.calcsize(form)))
    there = end - place
    # What follows the samples may be tags, also where a writer forgot to make the place even.
    if stated * 2 >= there or any(_are_chunks(file, place + stated + odd, end) for odd in {0, stated % 2}):
        return None
    return Mended(field, struct.pack(form, min(there, 0xFFFFFFFF) if form == "<I" else there), stated, there)


def _mend_caf(file: BinaryIO, place: int, end: int) -> Mended | None:
    file.seek(place - 8)
    (stated,) = struct.unpack(">q", file.read(8))
    there = end - place
    if 0 < stated <= there:
        return None
    # -1 stands for all that follows, which is as it should be.
    return Mended(place - 8, struct.pack(">q", there), there if stated < 0 else stated, there)


def share_lost(notes: str) -> float:
    """Share of samples that the header names and the file lacks, by libsndfile's notes on opening it."""
    found = _SHORT.search(notes)
    stated, there = map(int, found.groups()) if found else (0, 0)
    return max(0, stated - there) / there if there and (stated < _UNKNOWN or stated > 0xFFFFFFFF) else 0.0


def first_flac_sample(file: BinaryIO) -> int:
    """Number of the first sample that is in a FLAC file, by its first frame (RFC 9639, section 9.1); 0 where unknown.

    It is above 0 in a segment of a longer recording, whose header may count the samples of all segments.
    """
    file.seek(4)
    block_size = 0
    for _ in range(_MOST_CHUNKS):
        header = file.read(4).ljust(4, b"\x80")
        content = file.read(int.from_bytes(header[1:], "big"))
        if header[0] & 0x7F == 0:  # STREAMINFO
            block_size = int.from_bytes(content[:2], "big")
        if header[0] & 0x80:
            break
    frame = file.read(16)
    if len(frame) < 16 or frame[0] != 0xFF or frame[1] & 0xFE != 0xF8:
        return 0
    # The number is written as UTF-8 writes a character, of up to 36 bits.
    ones = f"{frame[4]:08b}".find("0")
    number = frame[4] & (0x7F >> max(ones, 0))
    for byte in frame[5 : 4 + ones]:
        number = number << 6 | byte & 0x3F
    return number if frame[1] & 1 else number * block_size


def _find_chunk(file: BinaryIO, place: int, end: int, wanted: bytes, form: str) -> int | None:
    """Place of the first byte in a chunk; None where the file lacks it."""
    size_of_header = struct.calcsize(form)
    for _ in range(_MOST_CHUNKS):
        if place + size_of_header > end:
            break
        file.seek(place)
        name, size = struct.unpack(form, file.read(size_of_header))
        if name == wanted:
            return place + size_of_header
        place += size_of_header + max(0, size) + (size % 2 if form[0] == "<" else 0)
    return None


def _are_chunks(file: BinaryIO, place: int, end: int) -> bool:
    """True where names and sizes of RIFF's chunks follow each other up to the end."""
    if place >= end:
        return False
    for _ in range(_MOST_CHUNKS):
        if place + 8 > end:
            break
        file.seek(place)
        name, size = struct.unpack("<4sI", file.read(8))
        if not (name.isascii() and name.decode().isprintable()):
            return False
        place += 8 + size + size % 2
    return place in (end, end + 1)
