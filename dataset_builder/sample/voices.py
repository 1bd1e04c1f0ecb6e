"""Children and dogs: a pitched source, its formants, and when it sounds."""

from __future__ import annotations

import numpy as np

from dataset_builder.sample.signals import (
    SYNTHESIS_RATE,
    add_at,
    decay,
    falling_harmonics,
    harmonic_tone,
    noise,
    resonances,
    samples_in,
    swell,
    time_axis,
    wandering,
)

#: First three formants in Hz of five vowels as an adult says them; a child's lie about a quarter higher.
VOWELS = np.array(
    [(730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240)], dtype=float
)


def children_playing(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Several children near and far who call, chatter and shriek over the babble of the playground."""
    canvas = np.zeros(samples)
    for _ in range(rng.integers(3, 8)):
        nearness = rng.uniform(0.15, 1.0) ** 1.5
        canvas += nearness * _child(rng, samples)
    babble = resonances(noise(rng, samples, 1.0), np.array([600.0, 1500.0]), np.array([500.0, 900.0]), np.ones(2))
    babble *= 1 + 0.5 * wandering(rng, samples, 4)
    return canvas + rng.uniform(0.05, 0.25) * np.std(canvas) * babble / np.std(babble)


def dog_bark(rng: np.random.Generator, samples: int) -> np.ndarray:
    """One dog, sometimes two: short bursts, part pitch and part breath, through the formants of the snout."""
    canvas = np.zeros(samples)
    for dog in range(1 + (rng.random() < 0.2)):
        barks = [_bark(rng, pitch) for pitch in rng.uniform(140, 750) * rng.uniform(0.9, 1.1, 4)]
        pause = rng.uniform(0.15, 0.8)
        start = int(rng.uniform(-0.2, 0.4 + dog) * SYNTHESIS_RATE)
        while start < samples:
            bark = barks[rng.integers(len(barks))]
            add_at(canvas, bark * rng.uniform(0.5, 1.0), start)
            start += len(bark) + samples_in(pause * rng.uniform(0.5, 1.8))
    return canvas


def _child(rng: np.random.Generator, samples: int) -> np.ndarray:
    """One child's syllables over the whole recording."""
    canvas = np.zeros(samples)
    pitch, size = rng.uniform(240, 420), rng.uniform(1.15, 1.4)
    start = int(rng.uniform(-0.3, 1.5) * SYNTHESIS_RATE)
    while start < samples:
        syllable = _shriek(rng) if rng.random() < 0.1 else _syllable(rng, pitch, size)
        add_at(canvas, syllable * rng.uniform(0.4, 1.0), start)
        gap = rng.uniform(0.4, 1.5) if rng.random() < 0.25 else rng.uniform(0.01, 0.12)
        start += len(syllable) + samples_in(gap)
    return canvas


def _syllable(rng: np.random.Generator, pitch: float, size: float) -> np.ndarray:
    """Consonant breath and a vowel; `pitch` in Hz, `size` scales the formants of an adult."""
    length = samples_in(rng.uniform(0.1, 0.45))
    t = np.linspace(0, 1, length)
    fundamental = pitch * rng.uniform(0.85, 1.6) * (1 + rng.uniform(-0.3, 0.25) * t + rng.uniform(0, 0.2) * t * (1 - t))
    fundamental *= 1 + 0.015 * np.sin(2 * np.pi * rng.uniform(4, 7) * time_axis(length))
    glottis = harmonic_tone(fundamental, falling_harmonics(30, 1.0), rng.random())
    glottis += rng.uniform(0.03, 0.2) * noise(rng, length)
    if rng.random() < 0.4:
        glottis[: length // 5] += noise(rng, length // 5) * rng.uniform(0.3, 1.0)
    formants = VOWELS[rng.integers(len(VOWELS))] * size
    voice = resonances(glottis, formants, np.array([110.0, 140.0, 220.0]), np.array([1.0, 0.6, 0.35]))
    return voice / np.std(voice) * swell(length, 0.03, 0.06)


def _shriek(rng: np.random.Generator) -> np.ndarray:
    """A high glide of joy or protest."""
    length = samples_in(rng.uniform(0.25, 0.9))
    arch = np.sin(np.pi * np.linspace(0.1, rng.uniform(0.6, 1.0), length))
    fundamental = rng.uniform(800, 1300) * (1 + rng.uniform(0.1, 0.5) * arch) * (1 + 0.01 * wandering(rng, length, 30))
    tone = harmonic_tone(fundamental, falling_harmonics(8, 1.0), rng.random())
    return tone / np.std(tone) * swell(length, 0.05, 0.1)


def _bark(rng: np.random.Generator, pitch: float) -> np.ndarray:
    """One bark about `pitch` Hz: the voice leaps up and falls within 0.1 to 0.35 s."""
    length = samples_in(rng.uniform(0.12, 0.35))
    t = np.linspace(0, 1, length)
    fundamental = pitch * (0.75 + 0.6 * np.sin(np.pi * t**0.6)) * (1 + 0.05 * wandering(rng, length, 60))
    throat = harmonic_tone(fundamental, falling_harmonics(30, 0.6), rng.random())
    throat = throat / np.std(throat) + rng.uniform(0.4, 1.3) * noise(rng, length)
    size = (pitch / 350) ** 0.35
    formants = np.array([rng.uniform(450, 750), rng.uniform(1100, 1700), rng.uniform(2300, 3200)]) * size
    voice = resonances(throat, formants, formants / rng.uniform(2.5, 5.0), np.array([1.0, 0.8, 0.4]))
    return voice / np.std(voice) * swell(length, 0.012, 0.08) * decay(length, rng.uniform(0.5, 1.2), 0.005)
