"""Lengths of Ogg files by their pages, and what is said of pages that libsndfile drops."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
import pytest
import soundfile
from bad_audio import RATE, encoded, noise

from quaclrs.audio import AudioWarning, load_audio
from quaclrs.audio.ogg import seconds_by_pages


def hear(content: bytes) -> tuple[float, list[str]]:
    """Seconds that are heard, and what is said of the rest."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", AudioWarning)
        return len(load_audio(content, RATE, "a.ogg")) / RATE, [str(warning.message) for warning in said]


def page(flags: int, granule: int, packet: bytes) -> bytes:
    """A page by hand, its checksum left out."""
    return struct.pack("<4sBBqIIIBB", b"OggS", 0, flags, granule, 1, 0, 0, 1, len(packet)) + packet


VORBIS = b"\x01vorbis" + struct.pack("<IBI", 0, 1, RATE)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("rate", [8_000, 48_000])
@pytest.mark.parametrize("seconds", [0.25, 3.0])
def test_a_whole_file_is_as_long_as_its_pages_count_and_nothing_is_said(subtype, rate, seconds):
    content = io.BytesIO()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, round(rate * seconds))
    soundfile.write(content, samples, rate, format="OGG", subtype=subtype)
    assert seconds_by_pages(content) == pytest.approx(seconds, abs=1e-3)
    assert hear(content.getvalue()) == (pytest.approx(seconds, abs=1e-3), [])


def test_a_hole_is_told_with_the_seconds_that_it_takes():
    content = encoded(noise(4.0), "OGG")
    heard, said = hear(content[:5000] + bytes(2000) + content[7000:])
    assert heard < 4
    assert said == [f"a.ogg is damaged or cut short: {4 - heard:.2f} s of what its header names cannot be decoded; "
                    "the rest is heard"]  # fmt: skip


def test_a_second_recording_in_one_file_is_not_lost_without_a_word():
    heard, said = hear(encoded(noise(2.0), "OGG") + encoded(noise(3.0), "OGG"))
    assert heard == pytest.approx(2)
    assert len(said) == 1 and "3.00 s of what its header names cannot be decoded" in said[0]


@pytest.mark.parametrize(
    ("pages", "seconds"),
    [
        ([page(2, 0, VORBIS), page(0, 0, b"c"), page(0, RATE, b"s"), page(0, -1, b"s"), page(4, 3 * RATE, b"s")], 3),
        # Cut out of a stream that has run for an hour.
        ([page(2, 0, VORBIS), page(0, 3600 * RATE, b"s"), page(4, 3605 * RATE, b"s")], 5),
        ([page(2, 0, VORBIS), page(2, 0, b"\x80theora"), page(4, RATE, b"s")], 0),  # a film
        ([page(2, 0, b"Speex   "), page(4, RATE, b"s")], 0),
        ([page(2, 0, VORBIS), b"OggX" * 40_000, page(4, 2 * RATE, b"s")], 2),
        ([b"OggS"], 0),
        ([page(2, 0, VORBIS[:9]), page(4, RATE, b"s")], 0),
    ],
)
def test_pages_are_counted_and_what_is_not_known_counts_nothing(pages, seconds):
    assert seconds_by_pages(io.BytesIO(b"".join(pages))) == pytest.approx(seconds)
