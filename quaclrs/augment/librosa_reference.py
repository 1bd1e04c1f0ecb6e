"""Time stretch and pitch shift of the paper (section 4.5) by librosa: `implementation: reference` of a policy."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import librosa
import numpy as np

from ..errors import QuaclrsError


def time_stretch(waveform: np.ndarray, rate: float) -> np.ndarray:
    """Play a waveform faster or slower at the same pitch: `librosa.effects.time_stretch`.

    Args:
        waveform: float32 (samples,), at least one sample; it is not changed.
        rate: above 0; 0.8 makes the clip 1.25 times as long, 1.2 shortens it (the paper's two rates).

    Returns:
        float32 (round(samples / rate),), at least one sample.

    Raises:
        QuaclrsError: the waveform is empty or not one-dimensional, or the rate is not above 0.
    """
    _check_waveform(waveform)
    if not 0 < rate < math.inf:
        raise QuaclrsError(f"time_stretch rate is {rate}; it must be above 0")
    if round(len(waveform) / rate) < 1:  # nothing would be left
        return waveform[:1].copy()
    with _short_clips_allowed():
        return librosa.effects.time_stretch(waveform, rate=rate)


def pitch_shift(waveform: np.ndarray, sampling_rate: int, semitones: float) -> np.ndarray:
    """Raise or lower the pitch at the same length: `librosa.effects.pitch_shift`, 12 semitones an octave.

    Args:
        waveform: float32 (samples,), at least one sample; it is not changed.
        sampling_rate: Hz.
        semitones: above 0 raises the pitch, below 0 lowers it (the paper: -2 and 2).

    Returns:
        float32 (samples,).

    Raises:
        QuaclrsError: the waveform is empty or not one-dimensional, or the sampling rate is not above 0.
    """
    _check_waveform(waveform)
    if not sampling_rate > 0:
        raise QuaclrsError(f"pitch_shift sampling_rate is {sampling_rate}; it must be above 0 Hz")
    with _short_clips_allowed():
        return librosa.effects.pitch_shift(waveform, sr=sampling_rate, n_steps=semitones)


def _check_waveform(waveform: np.ndarray) -> None:
    if waveform.ndim != 1 or waveform.size == 0:
        raise QuaclrsError(f"a waveform is (samples,) with at least one sample, not {waveform.shape}")


@contextmanager
def _short_clips_allowed() -> Iterator[None]:
    """UrbanSound8K has clips shorter than librosa's window of 2048 samples; it pads them, and would warn of each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_fft=.* is too large for input signal")
        yield
