"""When files were recorded, against what their recorders' manuals say of names and notes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from quaclrs.archive.recorded import recorded_at

NAMES = {
    "20230415_063000.WAV": "2023-04-15T06:30:00",  # AudioMoth
    "24F319046433D2B1_20230415_063000.WAV": "2023-04-15T06:30:00",
    "5E90A4D4.WAV": "2020-04-10T16:54:44+00:00",  # AudioMoth of 2018: seconds since 1970
    "SM4_20230415_063000.wav": "2023-04-15T06:30:00",  # Song Meter
    "SM3_20230415$063000.wav": "2023-04-15T06:30:00",
    "2MM01234_20230415_235959.wav": "2023-04-15T23:59:59",
    "site7-20230415T063000Z.flac": "2023-04-15T06:30:00+00:00",
    "2023-04-15_06-30-00.flac": "2023-04-15T06:30:00",
    "20230415T063000+0200_mic1.flac": "2023-04-15T06:30:00+02:00",
    "20230415_063000-0001.wav": "2023-04-15T06:30:00",  # the first of several, not a minute west of Greenwich
    "20230415_063000-2501.wav": "2023-04-15T06:30:00",
    "20231315_063000.wav": None,  # there is no 13th month
    "101415-3-0-2.wav": None,
    "deadbeef.wav": None,
    "120230415_063000.wav": None,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_tells_when_a_file_was_recorded_with_a_zone_only_where_it_states_one(name, tmp_path):
    (tmp_path / name).write_bytes(b"")
    found = recorded_at(tmp_path / name)
    assert (found and found.isoformat()) == NAMES[name]


def wav(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bext(date: bytes, time: bytes) -> bytes:
    """Description, originator, its reference, OriginationDate and OriginationTime, and the rest (EBU Tech 3285)."""
    return bytes(256) + b"recorder".ljust(32, b"\0") + bytes(32) + date + time + bytes(8 + 2 + 64 + 190)


@pytest.mark.parametrize(("date", "time"), [(b"2021-03-04", b"05:06:07"), (b"2021:03:04", b"05-06-07")])
def test_bext_tells_where_the_name_does_not(date, time, tmp_path):
    content = wav((b"junk", b"odd"), (b"bext", bext(date, time)), (b"fmt ", bytes(16)), (b"data", b""))
    for name, expected in (("zoom0001.wav", "2021-03-04T05:06:07"), ("20230415_063000.wav", "2023-04-15T06:30:00")):
        (tmp_path / name).write_bytes(content)
        assert recorded_at(tmp_path / name).isoformat() == expected


@pytest.mark.parametrize(("zone", "expected"), [("UTC", "+00:00"), ("UTC+1", "+01:00"), ("UTC-3:30", "-03:30")])
def test_audiomoths_note_knows_the_zone(zone, expected, tmp_path):
    note = f"Recorded at 06:30:00 15/04/2023 ({zone}) by AudioMoth 24F319046433D2B1 at medium gain".encode()
    content = wav((b"fmt ", bytes(16)), (b"LIST", b"INFOICMT" + struct.pack("<I", len(note)) + note), (b"data", b""))
    file: Path = tmp_path / "20230415_063000.WAV"
    file.write_bytes(content)
    assert recorded_at(file).isoformat() == f"2023-04-15T06:30:00{expected}"
