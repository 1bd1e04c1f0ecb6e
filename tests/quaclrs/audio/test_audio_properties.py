"""Sounds of any length, rate, channel count and type, drawn at random: against soundfile and soxr's whole pass."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import soxr
from bad_audio import encoded
from hypothesis import given, settings
from hypothesis import strategies as st

from quaclrs.audio import AudioError, AudioWarning, Recording, load_audio, read_mono, read_recording
from quaclrs.inference.windows import read_windows
from quaclrs.models.waveforms import WaveformError, mono_at

few = settings(max_examples=30, derandomize=True, deadline=None, database=None)

rates = st.one_of(
    st.sampled_from([100, 8_000, 22_050, 44_100, 48_000, 96_000, 192_000, 1_000_000]), st.integers(100, 10**6)
)
lengths = st.one_of(st.integers(1, 40), st.integers(41, 20_000))
seeds = st.integers(0, 1000)
dtypes = st.sampled_from(["float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32"])


def noise(samples: int, channels: int, seed: int) -> np.ndarray:
    """float32 (samples, channels) that 16 bits hold."""
    steps = np.random.default_rng(seed).integers(-20_000, 20_000, (samples, channels))
    return (steps / 32768).astype(np.float32)


def as_type(samples: np.ndarray, dtype: str) -> np.ndarray:
    if dtype.startswith("float"):
        return samples.astype(dtype)
    half = 2.0 ** (8 * np.dtype(dtype).itemsize - 1)
    return np.floor(samples * half + (half if dtype.startswith("u") else 0)).astype(dtype)


def resampled(waveform: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    whole = waveform if rate == wanted else soxr.resample(waveform, rate, wanted)
    return whole if len(whole) else waveform[:1]


@few
@given(lengths, st.integers(1, 9), rates, st.sampled_from([8_000, 16_000, 48_000]), dtypes, seeds)
def test_an_array_is_its_mean_resampled_whole(samples, channels, rate, wanted, dtype, seed) -> None:
    clip = noise(samples, channels, seed)
    heard = mono_at(as_type(clip.T, dtype), rate, wanted, channel="mean")
    assert heard.dtype == np.float32 and heard.ndim == 1 and np.isfinite(heard).all()
    step = {"float16": 2e-3, "int8": 8e-3, "uint8": 8e-3}.get(dtype, 1e-4)
    np.testing.assert_allclose(heard, resampled(clip.mean(axis=1), rate, wanted), atol=3 * step)
    assert np.isfinite(mono_at(as_type(clip.T, dtype), rate, wanted)).all()


@few
@given(lengths, st.integers(1, 9), rates, st.sampled_from(["WAV", "FLAC", "AIFF", "CAF", "W64", "AU"]), seeds)
def test_a_file_is_what_soundfile_reads_mixed_and_resampled_whole(samples, channels, rate, form, seed) -> None:
    channels = min(channels, 8 if form == "FLAC" else 9, (1 << 22) // rate)
    rate = min(rate, 655_350) // 10 * 10 if form == "FLAC" else rate
    content = encoded(noise(samples, channels, seed), form, "PCM_16", rate)
    recording = read_recording(content)
    assert recording.sampling_rate == rate
    np.testing.assert_array_equal(recording.waveform.T, noise(samples, channels, seed))
    mean = noise(samples, channels, seed).mean(axis=1, dtype=np.float32)
    np.testing.assert_array_equal(read_mono(content, channel="mean").waveform, mean[None])
    np.testing.assert_array_equal(load_audio(content, 16_000, channel="mean"), resampled(mean, rate, 16_000))


@few
@given(st.integers(1, 60_000), st.integers(1, 3), st.integers(1, 7), st.sampled_from(["WAV", "FLAC", "OGG"]), seeds)
def test_the_middle_of_a_file_is_that_of_the_whole(samples, channels, tenths, form, seed) -> None:
    content = encoded(noise(samples, channels, seed), form, rate=8_000)
    whole, middle = read_recording(content).waveform, read_recording(content, longest=tenths / 10).waveform
    assert middle.shape[1] == samples or 0 <= middle.shape[1] - 800 * tenths <= 1
    start = (samples - middle.shape[1]) // 2
    np.testing.assert_allclose(middle, whole[:, start : start + middle.shape[1]], atol=0 if form != "OGG" else 1e-4)


@few
@given(st.integers(1, 40_000), rates, st.floats(0.05, 1.0), st.floats(0.1, 1.0), seeds)
def test_windows_are_slices_of_the_whole_pass_and_reach_its_end(samples, rate, window, share, seed) -> None:
    content = encoded(noise(samples, 1, seed), rate=rate)
    hop = max(0.01, window * share)
    whole = resampled(noise(samples, 1, seed)[:, 0], rate, 8_000)
    windows = list(read_windows(content, 8_000, max(window, hop), hop)) if samples * 8_000 >= 2 * rate else []
    for piece in windows:
        start = round(piece.start * 8_000)
        wanted = whole[start : start + len(piece.waveform)]
        assert 0 <= len(piece.waveform) - len(wanted) <= 1
        np.testing.assert_allclose(piece.waveform[: len(wanted)], wanted, atol=1e-4)
    if windows:
        assert abs(round(windows[-1].start * 8_000) + len(windows[-1].waveform) - len(whole)) <= 1


absurd = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, 0, -0.0, -48_000, 99.9, 1_000_001, 1e300, "48000", True]),
    st.floats(max_value=99.99), st.floats(min_value=1e6 + 1),
)  # fmt: skip


@few
@given(absurd)
def test_a_rate_that_no_sound_has_is_one_line(rate) -> None:
    samples = noise(500, 1, 0)[:, 0]
    with pytest.raises(WaveformError, match="it must be a number from 100 to 1,000,000 Hz") as error:
        mono_at(samples, rate, 48_000)
    assert "\n" not in str(error.value)
    if not isinstance(rate, str) and rate > 0 and rate < math.inf:
        with pytest.raises(AudioError, match="street: sampling_rate is"):
            Recording(samples[None], rate, "street").mono(48_000)


@settings(few, max_examples=120)
@given(
    st.sampled_from(["WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64", "RF64"]),
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=40)), max_size=4),
    st.floats(0, 1),
    st.booleans(),
)
def test_damaged_bytes_are_heard_finite_or_refused_in_one_line(form, damage, kept, in_header) -> None:
    content = bytearray(encoded(noise(6_000, 2, 1), form, rate=16_000))
    for place, junk in damage:
        start = int(place * (min(len(content), 200) if in_header else len(content)))
        content[start : start + len(junk)] = junk
    damaged = bytes(content[: 1 + int(kept * len(content))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", AudioWarning)
        try:
            heard = read_mono(damaged, longest=5.0)
        except AudioError as error:
            assert str(error).startswith("the file in memory") and "\n" not in str(error)
        else:
            assert heard.waveform.size and np.isfinite(heard.waveform).all()
            assert np.isfinite(heard.mono(48_000)).all()
