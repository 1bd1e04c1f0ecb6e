"""Time of a recording: by the recorder's note in the file, its name, or its `bext` chunk (EBU Tech 3285).

A time is the recorder's own clock. It has an offset from UTC only where the file states one: AudioMoth's note does
(`(UTC+1)`), names with `Z` or `+0200` do, plain names and `bext` do not.
"""

from __future__ import annotations

import os
import re
import struct
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import BinaryIO

#: `20230415_063000` of AudioMoth and Song Meter (`SM4_20230415_063000`), `20230415T063000Z`, `2023-04-15_06-30-00`.
_IN_NAME = re.compile(
    r"(?<!\d)((?:19|20)\d\d)-?(\d\d)-?(\d\d)[_T$ -]?(\d\d)[-.:]?(\d\d)[-.:]?(\d\d)(?!\d)(Z|[+-]\d\d[-.:]?\d\d(?!\d))?"
)

#: `Recorded at 06:30:00 15/04/2023 (UTC+1) by AudioMoth …`; before 2020 without a zone, in UTC.
_NOTE = re.compile(rb"Recorded at (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d\d)/(\d\d)/(\d{4}) \(UTC([+-]\d+(?::\d+)?)?\)")

#: AudioMoth of 2018 and before: the seconds since 1970, in hexadecimal.
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{8}")
_FIRST, _LAST = 1_450_000_000, 1_650_000_000

#: Where in `bext` date and time begin: behind description, originator and its reference.
_BEXT_DATE = 256 + 32 + 32

#: Bytes at the beginning in which notes and `bext` are looked for, and chunks.
_HEAD, _MOST_CHUNKS = 1 << 16, 64


def recorded_at(file: Path) -> datetime | None:
    """Find when a recording began; None where neither header nor name says it."""
    by_note, by_bext = None, None
    if os.path.isfile(file):  # a pipe would be read empty
        with suppress(OSError), file.open("rb") as opened:
            by_note, by_bext = _by_header(opened)
    return by_note or _by_name(file.stem) or by_bext


def _by_name(stem: str) -> datetime | None:
    for *numbers, zone in _IN_NAME.findall(stem):
        with suppress(ValueError):  # digits that are not a time
            return datetime(*map(int, numbers), tzinfo=_zone(zone))  # type: ignore[arg-type,misc]
    if _HEXADECIMAL.fullmatch(stem) and _FIRST < (seconds := int(stem, 16)) < _LAST:
        return datetime.fromtimestamp(seconds, timezone.utc)
    return None


def _zone(text: str) -> timezone | None:
    """The zone of `Z`, `+0200`, `-5:30` or `+1`; None where no clock has it, as of a number (`-0001`)."""
    if text in ("", "Z"):
        return timezone.utc if text else None
    sign, digits = -1 if text[0] == "-" else 1, re.sub(r"\D", "", text[1:])
    hours, minutes = (digits, "0") if len(digits) < 3 else (digits[:-2], digits[-2:])
    is_zone = int(hours) <= 14 and int(minutes) % 15 == 0 and int(minutes) < 60 and text != "-0000"
    return timezone(sign * timedelta(hours=int(hours), minutes=int(minutes))) if is_zone else None


def _by_header(file: BinaryIO) -> tuple[datetime | None, datetime | None]:
    """Read both times of a RIFF file: of AudioMoth's note, and of `bext`."""
    head = file.read(_HEAD)
    by_note = by_bext = None
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return None, None
    if note := _NOTE.search(head):
        hour, minute, second, day, month, year = map(int, note.groups()[:6])
        with suppress(ValueError):
            zone = _zone(note[7].decode()) if note[7] else timezone.utc
            by_note = datetime(year, month, day, hour, minute, second, tzinfo=zone)
    place = 12
    for _ in range(_MOST_CHUNKS):
        file.seek(place)
        header = file.read(8)
        if len(header) < 8:
            break
        name, size = struct.unpack("<4sI", header)
        if name == b"bext":
            content = file.read(_BEXT_DATE + 18)[_BEXT_DATE:].decode("ascii", "replace")
            with suppress(ValueError):  # the standard lets any character stand between the numbers
                numbers = [int(part) for part in re.findall(r"\d+", f"{content[:10]} {content[10:]}")]
                by_bext = datetime(*numbers[:6]) if len(numbers) >= 6 else None  # type: ignore[arg-type]
            break
        place += 8 + size + size % 2
    return by_note, by_bext
