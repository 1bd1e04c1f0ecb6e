"""Stretch and shift of waveforms against librosa and spectra, on made and on real sound."""

from __future__ import annotations

import warnings

import librosa
import numpy as np
import pytest
import soundfile

from quaclrs.augment.librosa_reference import pitch_shift, time_stretch
from quaclrs.errors import QuaclrsError

RATE = 48_000


def tone(hertz: float, seconds: float) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def loudest_hertz(waveform: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(np.argmax(spectrum) * RATE / len(waveform))


@pytest.mark.parametrize("rate", [0.8, 1.2])
def test_a_stretched_tone_changes_its_length_and_keeps_its_pitch(rate):
    stretched = time_stretch(tone(440, 1.0), rate)
    assert len(stretched) == round(RATE / rate)
    assert stretched.dtype == np.float32
    assert loudest_hertz(stretched) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("semitones", [-2, 2])
def test_a_shifted_tone_keeps_its_length_and_moves_by_its_semitones(semitones):
    shifted = pitch_shift(tone(440, 1.0), RATE, semitones)
    assert len(shifted) == RATE
    assert shifted.dtype == np.float32
    assert loudest_hertz(shifted) == pytest.approx(440 * 2 ** (semitones / 12), abs=2)


def test_real_clips_are_stretched_and_shifted_as_by_librosa(shared_data):
    files = sorted((shared_data / "UrbanSound8K" / "audio" / "fold1").iterdir())[::300]
    assert len(files) >= 2
    for file in files:
        waveform, rate = soundfile.read(file, dtype="float32")
        kept = waveform.copy()
        for speed in (0.8, 1.2):
            expected = librosa.effects.time_stretch(waveform, rate=speed)
            np.testing.assert_allclose(time_stretch(waveform, speed), expected, atol=1e-6)
        for semitones in (-2, 2):
            expected = librosa.effects.pitch_shift(waveform, sr=rate, n_steps=semitones)
            np.testing.assert_allclose(pitch_shift(waveform, rate, semitones), expected, atol=1e-6)
        np.testing.assert_array_equal(waveform, kept)


@pytest.mark.parametrize("samples", [1, 2, 3, 100, 2_047, 2_400])
def test_clips_shorter_than_a_window_are_stretched_and_shifted_without_a_warning(samples):
    clip = np.random.default_rng(samples).uniform(-0.5, 0.5, samples).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(time_stretch(clip, 0.8)) == round(samples / 0.8)
        assert len(time_stretch(clip, 1.2)) == max(1, round(samples / 1.2))
        assert len(time_stretch(clip, 3.0)) == max(1, round(samples / 3))
        for semitones in (-2, 2):
            shifted = pitch_shift(clip, RATE, semitones)
            assert len(shifted) == samples
            assert np.isfinite(shifted).all()


def test_silence_stays_silent():
    silence = np.zeros(RATE, dtype=np.float32)
    assert not time_stretch(silence, 0.8).any()
    assert not pitch_shift(silence, RATE, 2).any()


@pytest.mark.parametrize("shape", [(0,), (2, 100)])
def test_a_misshapen_waveform_is_refused(shape):
    waveform = np.zeros(shape, dtype=np.float32)
    for call in (
        lambda: time_stretch(waveform, 0.8),
        lambda: pitch_shift(waveform, RATE, 2),
    ):
        with pytest.raises(QuaclrsError, match="at least one sample"):
            call()


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_no_speed_is_refused(rate):
    with pytest.raises(QuaclrsError, match="rate"):
        time_stretch(tone(440, 0.1), rate)
