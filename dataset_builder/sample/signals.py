"""Oscillators, noises and envelopes from which every synthesised source is put together."""

from __future__ import annotations

import numpy as np
from scipy import fft, signal

#: Samples per second at which sources are synthesised; the front end looks no higher than 8 kHz.
SYNTHESIS_RATE = 32_000


def samples_in(seconds: float) -> int:
    """Number of samples, at least one, that last `seconds` at the synthesis rate."""
    return max(1, round(seconds * SYNTHESIS_RATE))


def time_axis(samples: int) -> np.ndarray:
    """Instants in seconds of `samples` samples at the synthesis rate."""
    return np.arange(samples) / SYNTHESIS_RATE


def noise(rng: np.random.Generator, samples: int, exponent: float = 0.0) -> np.ndarray:
    """Gaussian noise of unit RMS whose power falls as 1 / f**exponent: 0 is white, 1 pink, 2 brown."""
    size = fft.next_fast_len(samples, real=True)
    white = rng.standard_normal(size)
    if exponent:
        spectrum = fft.rfft(white)
        frequency = fft.rfftfreq(size, 1 / SYNTHESIS_RATE)
        # Below 20 Hz the power stays level: brown noise would otherwise be one slow wave that swallows the RMS.
        spectrum *= np.maximum(frequency, 20.0) ** (-exponent / 2)
        spectrum[0] = 0.0
        white = fft.irfft(spectrum, size)
    return white[:samples] / np.sqrt(np.mean(white[:samples] ** 2))


def band(waveform: np.ndarray, low: float | None, high: float | None, order: int = 2) -> np.ndarray:
    """Keep what lies between `low` and `high` Hz (Butterworth); None leaves that side open."""
    if low is None and high is None:
        return waveform
    if low is None:
        sos = signal.butter(order, high, "lowpass", fs=SYNTHESIS_RATE, output="sos")
    elif high is None:
        sos = signal.butter(order, low, "highpass", fs=SYNTHESIS_RATE, output="sos")
    else:
        sos = signal.butter(order, (low, high), "bandpass", fs=SYNTHESIS_RATE, output="sos")
    return signal.sosfilt(sos, waveform)


def resonances(waveform: np.ndarray, centres: np.ndarray, widths: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Sum of parallel two-pole resonators: the formants of a voice, the modes of a casing.

    centres, widths: Hz (-3 dB bandwidth); gains: linear, at the centre.
    """
    output = np.zeros_like(waveform)
    for centre, width, gain in zip(centres, widths, gains, strict=True):
        numerator, denominator = signal.iirpeak(centre, centre / width, fs=SYNTHESIS_RATE)
        output += gain * signal.lfilter(numerator, denominator, waveform)
    return output


def harmonic_tone(frequency: np.ndarray, amplitudes: np.ndarray, phase: float = 0.0) -> np.ndarray:
    """Periodic tone with a moving fundamental, by wavetable synthesis.

    frequency: fundamental at every sample, in Hz. amplitudes: of harmonics 1, 2, 3, ...; those that would pass the
    Nyquist frequency at the highest fundamental are left out, so nothing aliases. phase: of the first sample, in turns.
    """
    size = 4096
    count = min(len(amplitudes), int(0.48 * SYNTHESIS_RATE / frequency.max()))
    spectrum = np.zeros(size // 2 + 1, complex)
    spectrum[1 : count + 1] = -0.5j * size * amplitudes[:count]
    table = fft.irfft(spectrum, size)
    position = (phase + np.cumsum(frequency) / SYNTHESIS_RATE) % 1.0 * size
    left = position.astype(np.intp)
    share = position - left
    left %= size
    return table[left] * (1 - share) + table[(left + 1) % size] * share


def falling_harmonics(count: int, slope: float, even: float = 1.0) -> np.ndarray:
    """Amplitudes k**-slope of harmonics 1 to `count`, the even ones multiplied by `even` (a square wave has 0)."""
    k = np.arange(1, count + 1)
    return k**-slope * np.where(k % 2, 1.0, even)


def wandering(rng: np.random.Generator, samples: int, points_per_second: float) -> np.ndarray:
    """Smooth random curve in [-1, 1] with about that many turning points a second."""
    count = max(2, round(samples / SYNTHESIS_RATE * points_per_second) + 2)
    knots = np.linspace(0, samples - 1, count)
    position = np.arange(samples)
    curve = np.interp(position, knots, rng.uniform(-1, 1, count))
    window = max(1, samples // (2 * count))
    smooth = np.cumsum(np.concatenate((np.full(window, curve[0]), curve)))
    return (smooth[window:] - smooth[:-window]) / window


def decay(samples: int, seconds: float, attack: float = 0.002) -> np.ndarray:
    """Envelope that rises over `attack` seconds and falls by 60 dB in `seconds`."""
    t = time_axis(samples)
    return np.minimum(1.0, t / attack) * 10.0 ** (-3.0 * t / seconds)


def swell(samples: int, attack: float, release: float) -> np.ndarray:
    """Envelope of a held sound: raised-cosine rise and fall, times in seconds, cut to fit."""
    envelope = np.ones(samples)
    for length, part in ((attack, slice(None)), (release, slice(None, None, -1))):
        ramp = min(samples_in(length), samples // 2)
        envelope[part][:ramp] = 0.5 - 0.5 * np.cos(np.pi * np.arange(ramp) / max(1, ramp))
    return envelope


def add_at(canvas: np.ndarray, event: np.ndarray, start: int) -> None:
    """Mix `event` into `canvas` from sample `start` on; what passes either end is dropped."""
    first, last = max(0, start), min(len(canvas), start + len(event))
    if first < last:
        canvas[first:last] += event[first - start : last - start]


def impulses(rng: np.random.Generator, samples: int, rate: np.ndarray | float, jitter: float) -> np.ndarray:
    """Unit impulses `rate` times a second; each varies by `jitter` (relative) in time and twice that in strength."""
    turns = np.cumsum(np.broadcast_to(np.asarray(rate, float), samples)) / SYNTHESIS_RATE + rng.random()
    hits = np.flatnonzero(np.diff(np.floor(turns)) > 0)
    train = np.zeros(samples)
    period = samples / max(1, len(hits))
    moved = np.clip(hits + rng.normal(0, jitter * period, len(hits)), 0, samples - 1).astype(np.intp)
    np.add.at(train, moved, np.clip(rng.normal(1.0, 2 * jitter, len(hits)), 0.2, 2.0))
    return train


def convolve(waveform: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Causal convolution with an impulse response, as long as `waveform`."""
    return signal.oaconvolve(waveform, response)[: len(waveform)]
