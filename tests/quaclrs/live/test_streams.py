"""Standard input of every kind, against libsndfile's own files and reading of them."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from quaclrs.audio import AudioWarning
from quaclrs.errors import QuaclrsError
from quaclrs.live.streams import PcmStream, StreamFormat

RATE = 16_000


class Pipe(io.RawIOBase):
    """Gives a few bytes at a time, as pipes do, and cannot be searched."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def read(self, size: int = -1) -> bytes:
        piece = self.content[self.place : self.place + min(size, 701)]
        self.place += len(piece)
        return piece


def heard(content: bytes, *arguments, **options) -> tuple[np.ndarray, int]:
    stream = PcmStream(Pipe(content), *arguments, **options)
    return np.concatenate(list(stream)), stream.sampling_rate


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_wav_of_any_depth_is_what_libsndfile_reads_of_it(subtype, form):
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.2, (RATE // 2 + 3, 2))
    soundfile.write(file, noise, RATE, subtype=subtype, format=form)
    expected, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")
    for channel, samples in (("right", expected[:, 1]), (1, expected[:, 0]), (None, expected.mean(axis=1))):
        found, rate = heard(file.getvalue(), channel=channel)
        assert rate == RATE
        np.testing.assert_allclose(found[: len(samples)], samples, atol=1e-6)


def test_wav_whose_size_is_not_known_goes_on_to_the_end_as_ffmpeg_writes_it():
    samples = np.arange(-2000, 2000, dtype="<i2")
    header = b"RIFF\xff\xff\xff\xffWAVE" + b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 22_050, 44_100, 2, 16)
    header += b"LIST" + struct.pack("<I", 26) + b"INFOISFT\x0d\0\0\0Lavf61.1.100\0\0" + b"data\xff\xff\xff\xff"
    found, rate = heard(header + samples.tobytes())
    assert rate == 22_050
    np.testing.assert_array_equal(found, samples / np.float32(32768))


@pytest.mark.parametrize(("name", "kind"), [("s16", "<i2"), ("s32", "<i4"), ("f32", "<f4")])
def test_raw_samples_are_read_by_the_options(name, kind):
    samples = (np.random.default_rng(0).uniform(-1, 1, 999) * (1 if kind == "<f4" else 30_000)).astype(kind)
    full = 1 if kind == "<f4" else 2.0 ** (8 * samples.itemsize - 1)
    content = np.repeat(samples, 2).tobytes() + b"\1"  # a sample that was cut
    found, _ = heard(content, StreamFormat(name, RATE, 2))
    np.testing.assert_allclose(found, samples / full, rtol=1e-6)


def test_24_bits_keep_their_sign():
    found, _ = heard(b"\x00\x00\x80\xff\xff\xff\x00\x00\x40", StreamFormat("s24", RATE))
    np.testing.assert_allclose(found, [-1, -(2.0**-23), 0.5])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"RIFF\0\0\0\0AVI LIST", "is not WAV"),
        (b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 85, 1, RATE, RATE, 1, 16), "of a kind that is not read"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "damaged header"),
        (b"RIFF", "is not WAV"),
        (b"", "standard input is empty"),
        (b"OggS\0\2" + bytes(100), "standard input is Ogg; send WAV or raw PCM"),
        (b"ID3\4\0\0" + bytes(100), "standard input is MP3; send WAV or raw PCM"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(content, words):
    with pytest.raises(QuaclrsError, match=words):
        PcmStream(Pipe(content))


def test_a_stream_whose_channels_cancel_is_heard_by_the_louder_one_and_says_so_once():
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE)
    samples = np.stack([0.8 * noise, -noise], axis=1).astype("<f4")
    raw = StreamFormat("f32", RATE, 2)
    with pytest.warns(AudioWarning, match="standard input: its channels cancel each other out; channel 2") as told:
        found, _ = heard(samples.tobytes(), raw)
    assert len(told) == 1
    np.testing.assert_array_equal(found[RATE // 2 :], samples[RATE // 2 :, 1])  # it shows after a moment
    mean, _ = heard(samples.tobytes(), raw, channel="mean")
    np.testing.assert_allclose(mean, samples.mean(axis=1), atol=1e-7)
