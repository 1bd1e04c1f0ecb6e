"""Length of an Ogg file by its pages: libsndfile tells nothing of pages that it drops, and ends with the first link."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

#: Header of a page (RFC 3533, section 6): pattern, version, flags, granule position, serial, number, checksum and
#: how many segments.
_HEADER = struct.Struct("<4sBBqIIIB")

#: Flag of the page with which a stream begins.
_BEGINS = 2

#: Seconds that the first page of a recording may end at; where it ends later, it was cut out of a longer stream.
_FIRST_PAGE = 10.0

#: Pages of a file of four gigabytes; more of them are empty.
_MOST_PAGES = 1 << 20

#: Bytes that are searched at a time for the next page.
_PIECE = 1 << 16


def seconds_by_pages(file: BinaryIO) -> float:
    """Seconds that the pages of Vorbis or Opus count, of all streams that follow each other; 0 where unknown."""
    total = position = begin = 0.0
    rate = skipped = 0
    in_header = False
    for number, (flags, granule, packet) in enumerate(_pages(file)):
        if number == _MOST_PAGES:
            return 0.0
        if flags & _BEGINS:
            if in_header:  # streams beside each other, of a film for instance
                return 0.0
            rate, skipped = _rate_and_skip(packet)
            if rate == 0:
                return 0.0
            total += position - begin
            position, begin, in_header = 0.0, 0.0, True
        elif granule > 0 and rate:
            if in_header and granule > _FIRST_PAGE * rate:
                begin = granule / rate
            in_header, position = False, max(position, (granule - skipped) / rate)
    return total + position - begin


def _rate_and_skip(packet: bytes) -> tuple[int, int]:
    """Granules a second and those before the sound, by the first packet of a stream; 0 of other codecs."""
    if packet[:7] == b"\x01vorbis" and len(packet) >= 16:
        return int.from_bytes(packet[12:16], "little"), 0
    if packet[:8] == b"OpusHead" and len(packet) >= 12:
        return 48_000, int.from_bytes(packet[10:12], "little")
    return 0, 0


def _pages(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Flags, granule position and first bytes of every page, found again after damage."""
    place, end = 0, file.seek(0, os.SEEK_END)
    while place + _HEADER.size <= end:
        file.seek(place)
        pattern, _, flags, granule, _, _, _, segments = _HEADER.unpack(file.read(_HEADER.size))
        if pattern != b"OggS":
            file.seek(place + 1)
            found = file.read(_PIECE).find(b"OggS")
            place += 1 + (found if found >= 0 else _PIECE - len(b"OggS"))
            continue
        size = sum(file.read(segments))
        yield flags, granule, file.read(min(size, 16))
        place += _HEADER.size + segments + size
