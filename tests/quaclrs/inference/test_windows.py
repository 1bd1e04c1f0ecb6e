"""Sounds as windows that end with them, and their middle, against plain slices."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from quaclrs import LogMelConfig, QuaclrsError
from quaclrs.audio import AudioWarning, Recording
from quaclrs.inference.windows import read_windows, windows_of

RATE = 8_000
FRONT_END = LogMelConfig(sampling_rate=RATE, f_max=4_000)
LENGTH = FRONT_END.n_samples


def noise(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """float32 (channels, samples)."""
    return np.random.default_rng(0).normal(0, 0.1, (channels, round(seconds * rate))).astype(np.float32)


def as_bytes(samples: np.ndarray, rate: int = RATE, form: str = "WAV", subtype: str = "FLOAT") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate, format=form, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize("seconds", [1 / RATE, 0.5, 4 - 1 / RATE, 4.0, 4 + 1 / RATE, 7.9, 8.0, 9.5, 31.7])
def test_each_second_is_in_one_window_and_the_last_window_ends_with_the_sound(seconds):
    samples = noise(seconds)
    size = samples.shape[1]
    starts = [*range(0, size - LENGTH, LENGTH), max(0, size - LENGTH)]
    for sound in (samples, samples[0], as_bytes(samples), Recording(samples, RATE)):
        windows = list(windows_of(sound, FRONT_END))
        assert [window.start for window in windows] == [start / RATE for start in starts]
        for window, start in zip(windows, starts, strict=True):
            np.testing.assert_array_equal(window.waveform, samples[0, start : start + LENGTH])
        assert [window.total for window in windows] == [None] * (len(starts) - 1) + [size / RATE]


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 192_000])
@pytest.mark.parametrize("seconds", [0, 0.3, 3.99, 4.0])
def test_a_sound_that_fits_into_one_window_is_mixed_and_resampled_as_a_whole_to_the_last_bit(rate, seconds):
    samples = noise(seconds, rate, channels=2) if seconds else noise(1, rate, channels=2)[:, :1]
    mono = samples.mean(axis=0, dtype=np.float32)
    expected = mono if rate == RATE else soxr.resample(mono, rate, RATE)
    expected = expected if len(expected) else mono[:1]  # one sample of 192 kHz is less than one of 8 kHz
    for sound in ((rate, samples), as_bytes(samples, rate), Recording(samples, rate)):
        for crop in ("whole", "centre"):
            (window,) = windows_of(sound, FRONT_END, crop=crop)
            np.testing.assert_array_equal(window.waveform, expected)
            assert (window.start, window.total) == (0, len(expected) / RATE)


def test_a_long_sound_of_another_rate_and_more_channels_is_that_of_one_pass_of_the_resampler():
    samples = noise(33.3, 44_100, channels=2)
    whole = soxr.resample(samples.mean(axis=0), 44_100, RATE)
    for sound in ((44_100, samples), as_bytes(samples, 44_100)):
        windows = list(windows_of(sound, FRONT_END))
        heard = np.concatenate([window.waveform for window in windows[:-1]])
        np.testing.assert_allclose(heard, whole[: len(heard)], atol=1e-4)
        np.testing.assert_allclose(windows[-1].waveform, whole[-LENGTH:], atol=1e-4)


@pytest.mark.parametrize("form", ["WAV", "FLAC"])
@pytest.mark.parametrize("seconds", [6.0, 61.0])
def test_the_middle_says_how_long_the_whole_is(form, seconds, tmp_path):
    samples = noise(seconds)
    content = as_bytes(samples, form=form, subtype="PCM_24")
    (tmp_path / "sound").write_bytes(content)
    start = (samples.shape[1] - LENGTH) // 2
    for sound in (samples, content, tmp_path / "sound", Recording(samples, RATE), Recording(samples, RATE).middle(5)):
        (window,) = windows_of(sound, FRONT_END, crop="centre")
        np.testing.assert_allclose(window.waveform, samples[0, start : start + LENGTH], atol=1e-6)
        assert (window.start, window.total) == (start / RATE, seconds)


def test_the_middle_of_a_file_that_was_cut_short_is_that_of_what_is_there():
    content = as_bytes(noise(4.5))
    with pytest.warns(AudioWarning, match="cut short"):
        (window,) = windows_of(content[: len(content) - 6 * LENGTH // 2], FRONT_END, crop="centre")
    assert window.total == window.duration == pytest.approx(4.5 - 3, abs=0.01)


@pytest.mark.parametrize("seconds", [9.0, 9.5])
def test_overlapping_windows_may_end_with_the_sound_too(seconds):
    samples = noise(seconds)
    *before, last = read_windows(as_bytes(samples), RATE, 4.0, 1.5, full=True)
    assert [window.start for window in before] == [1.5 * number for number in range(len(before))]
    assert (last.start, last.total) == (seconds - 4, seconds)
    np.testing.assert_array_equal(last.waveform, samples[0, -LENGTH:])
    assert before[-1].start < last.start <= before[-1].start + 1.5


@pytest.mark.parametrize("sound", ["nothing.wav", "samples"])
def test_what_holds_no_samples_is_named(sound, tmp_path):
    file = tmp_path / "nothing.wav"
    soundfile.write(file, np.zeros(0), RATE)
    made = file if sound == "nothing.wav" else Recording(np.zeros((1, 0), np.float32), RATE, sound)
    with pytest.raises(QuaclrsError, match=f"{sound} holds no samples"):
        list(windows_of(made, FRONT_END))


@pytest.mark.parametrize("rate", [0, -1, math.nan, 2_000_000])
def test_a_rate_that_no_sound_has_is_refused_in_one_line(rate):
    for crop in ("whole", "centre"):
        with pytest.raises(QuaclrsError, match="it must be a number from 100 to"):
            list(windows_of(noise(1.0), FRONT_END, rate, crop=crop))


def test_an_unknown_crop_is_refused(tmp_path: Path):
    with pytest.raises(QuaclrsError, match="crop is 'center'; choose whole or centre"):
        list(windows_of(noise(1.0), FRONT_END, crop="center"))
