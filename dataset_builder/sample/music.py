"""Street music: a plucked or blown melody over chords, mostly with a drum."""

from __future__ import annotations

import numpy as np
from scipy import signal

from dataset_builder.sample.signals import (
    SYNTHESIS_RATE,
    add_at,
    band,
    decay,
    falling_harmonics,
    harmonic_tone,
    noise,
    samples_in,
    swell,
    time_axis,
)

#: Degrees of the major, minor and minor pentatonic scale in semitones.
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 3, 5, 7, 10))


def street_music(rng: np.random.Generator, samples: int) -> np.ndarray:
    """A busker's tune: strings (Karplus-Strong) or a reed instrument, chords under it, mostly with a drum."""
    beat = samples_in(rng.uniform(0.3, 0.5))
    scale = np.array(SCALES[rng.integers(len(SCALES))])
    tonic = 110.0 * 2 ** (rng.integers(0, 12) / 12)
    voice = _pluck if rng.random() < 0.5 else _reed
    offset = int(rng.integers(-beat, 1))
    tune = _melody(rng, samples, offset, beat, scale, 2 * tonic, voice)
    chords = _chords(rng, samples, offset, beat, scale, tonic)
    music = tune / np.std(tune) + rng.uniform(0.3, 0.9) * chords / np.std(chords)
    if rng.random() < 0.75:
        drums = _drums(rng, samples, offset, beat)
        music += rng.uniform(0.5, 0.9) * drums / np.std(drums)
    return music


def _pitch(scale: np.ndarray, degree: int, tonic: float) -> float:
    """Frequency in Hz of a scale degree; degrees go on into the next octave."""
    octave, step = divmod(degree, len(scale))
    return tonic * 2 ** (octave + scale[step] / 12)


def _melody(rng, samples: int, offset: int, beat: int, scale: np.ndarray, tonic: float, voice) -> np.ndarray:
    """A random walk over the scale in halves, whole and double beats."""
    canvas = np.zeros(samples)
    degree, start = int(rng.integers(0, 8)), offset
    brightness = rng.uniform(0.2, 1.0)
    while start < samples:
        length = int(beat * rng.choice((0.5, 0.5, 1.0, 1.0, 2.0)))
        degree = int(np.clip(degree + rng.integers(-3, 4), -2, 12))
        if rng.random() < 0.9:
            add_at(canvas, voice(rng, _pitch(scale, degree, tonic), length, brightness) * rng.uniform(0.5, 1.0), start)
        start += length
    return canvas


def _chords(rng, samples: int, offset: int, beat: int, scale: np.ndarray, tonic: float) -> np.ndarray:
    """Triads on changing degrees, strummed every two beats."""
    canvas = np.zeros(samples)
    for start in range(offset, samples, 2 * beat):
        root = int(rng.choice((0, 0, 3, 4, 5)))
        for place, degree in enumerate((root, root + 2, root + 4)):
            note = _pluck(rng, _pitch(scale, degree, tonic), 2 * beat, 0.4)
            add_at(canvas, note, start + place * samples_in(0.012))
    return canvas


def _drums(rng, samples: int, offset: int, beat: int) -> np.ndarray:
    """Kick on the beat, brush on the half beat."""
    length = samples_in(0.25)
    t = time_axis(length)
    kick = np.sin(2 * np.pi * (55 * t + 4 * (1 - np.exp(-t / 0.03)))) * decay(length, 0.25, 0.002)
    brush = band(noise(rng, length), 3000, None) * decay(length, rng.uniform(0.06, 0.2), 0.002)
    canvas = np.zeros(samples)
    for start in range(offset, samples, beat):
        add_at(canvas, kick * rng.uniform(0.6, 1.0), start)
        add_at(canvas, 0.6 * brush * rng.uniform(0.6, 1.0), start + beat // 2)
    return canvas


def _pluck(rng: np.random.Generator, frequency: float, length: int, brightness: float) -> np.ndarray:
    """A string by Karplus and Strong (1983): a noise burst in a delay line with a two-point average in the loop."""
    period = max(2, round(SYNTHESIS_RATE / frequency - 0.5))
    line = signal.lfilter([brightness], [1, brightness - 1], rng.uniform(-1, 1, period))
    turns = []
    for _ in range(-(-length // period)):  # one turn of the delay line at a time, not one sample
        turns.append(line)
        line = 0.498 * (line + np.roll(line, 1))
    return np.concatenate(turns)[:length] * swell(length, 0.001, 0.02)


def _reed(rng: np.random.Generator, frequency: float, length: int, brightness: float) -> np.ndarray:
    """Accordion, clarinet or fiddle: a held harmonic tone with vibrato."""
    vibrato = 1 + 0.006 * np.sin(2 * np.pi * (5.5 * time_axis(length) + rng.random()))
    spectrum = falling_harmonics(20, 2.2 - 1.4 * brightness, even=brightness)
    return harmonic_tone(frequency * vibrato, spectrum, rng.random()) * swell(length, 0.03, 0.05)
