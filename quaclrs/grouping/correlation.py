"""Normalised cross-correlation of a short template with many clips at once, and what a template is worth as evidence.

J. P. Lewis, "Fast Normalized Cross-Correlation" (1995), section 5: correlate by FFT, divide by the energy of the clip
under the template, which running sums give.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
import scipy.signal


def degrees_of_freedom(samples: np.ndarray) -> tuple[float, float]:
    """Count the independent numbers in a sound, about 4 for a steady tone, and the share of time it lasts.

    Two unrelated sounds with n of them correlate by about 1 / sqrt(n) at a given lag, so with few of them some lag
    reaches any threshold. The participation ratio of the spectrum counts them, that of the energy is the share of time.
    """
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    spectral = 2 * power.sum() ** 2 / (power**2).sum()
    energy = samples.astype(np.float64) ** 2
    lasting = energy.sum() ** 2 / (energy**2).sum() / (len(samples) / 3)  # 1 for Gaussian noise
    return float(spectral), float(min(1.0, lasting))


def correlations(samples: np.ndarray, clips: np.ndarray, silence_db: float) -> tuple[np.ndarray, np.ndarray]:
    """Cross-spectra (clips, frequencies) of a unit-energy template and the clips, and the norms that scale them."""
    cross = scipy.fft.rfft(clips) * scipy.fft.rfft(samples, clips.shape[1]).conj()
    return cross, local_norms(clips, len(samples), silence_db)


def whitening_filter(samples: np.ndarray, order: int) -> np.ndarray:
    """Prediction-error filter (order + 1,) of the template by linear prediction, the covariance method.

    Unlike the autocorrelation method it needs no taper, which would widen a tone beyond what the filter can remove.
    """
    delayed = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), order + 1)[:, ::-1]
    past, present = delayed[:, 1:], delayed[:, 0]
    return np.concatenate([[1.0], -np.linalg.lstsq(past, present, rcond=None)[0]])


def whitened(samples: np.ndarray, whitening: np.ndarray) -> np.ndarray:
    """The filtered template at unit energy, without the start where the filter lacks the clip's past."""
    white = scipy.signal.lfilter(whitening, 1.0, samples)
    white[: len(whitening) - 1] = 0.0
    return (white / max(np.linalg.norm(white), 1e-12)).astype(np.float32)


def local_norms(clips: np.ndarray, window: int, silence_db: float) -> np.ndarray:
    """Root of the energy under a window that starts at each sample, infinite where silent or past the end."""
    energy = np.cumsum(clips.astype(np.float64) ** 2, axis=1)
    energy = np.concatenate([np.zeros((len(clips), 1)), energy], axis=1)
    under = energy[:, window:] - energy[:, :-window]
    norms = np.full(clips.shape, np.inf, dtype=np.float32)
    floor = np.maximum(under.max(axis=1, keepdims=True) * 10 ** (silence_db / 10), 1e-12)
    norms[:, : under.shape[1]] = np.where(under >= floor, np.sqrt(np.maximum(under, 1e-12)), np.inf)
    return norms


def refined(cross: np.ndarray, start: int, norms: np.ndarray) -> tuple[float, float]:
    """The best start within 2 samples of a coarse one, in eighths of a sample, and the correlation (at most 1) there.

    A copy is rarely shifted by whole samples of the analysis rate, and half a sample off halves a 1.3 kHz tone.
    """
    taps = np.arange(-16, 17)
    near = scipy.fft.irfft(cross)[(start + taps) % len(norms)]  # band-limited: a sinc interpolates it
    offsets = np.arange(-16, 17) / 8
    distances = offsets[:, None] - taps
    heights = np.abs((np.sinc(distances) * np.cos(np.pi * distances / 38) ** 2) @ near)
    starts = start + offsets
    heights /= norms[np.clip(np.round(starts).astype(int), 0, len(norms) - 1)]
    best = int(heights.argmax())
    return float(max(starts[best], 0.0)), float(min(heights[best], 1.0))
