"""Car horn, idling engine and passing traffic."""

from __future__ import annotations

import numpy as np

from dataset_builder.sample.signals import (
    SYNTHESIS_RATE,
    add_at,
    band,
    convolve,
    decay,
    falling_harmonics,
    harmonic_tone,
    impulses,
    noise,
    resonances,
    samples_in,
    swell,
    time_axis,
    wandering,
)


def car_horn(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Two reeds about a third apart, honked in short or long presses; sometimes the horn of another car answers."""
    canvas = np.zeros(samples)
    horns = [_horn_pair(rng) for _ in range(1 + (rng.random() < 0.3))]
    longest = rng.choice((0.5, 1.0, 2.0))
    start = int(rng.uniform(-0.4, 0.4) * SYNTHESIS_RATE)
    while start < samples:
        reeds, spectrum, loudness = horns[rng.integers(len(horns))]
        length = samples_in(rng.uniform(0.12, longest))
        onset = 1 - 0.02 * np.exp(-time_axis(length) / 0.02)
        honk = sum(harmonic_tone(reed * onset, spectrum, rng.random()) for reed in reeds)
        add_at(canvas, loudness * honk / np.std(honk) * swell(length, 0.012, 0.03), start)
        start += length + samples_in(rng.uniform(0.08, 0.7))
    street = noise(rng, samples, 1.5)
    return canvas + rng.uniform(0.02, 0.15) * street


def engine_idling(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Firing pulses of an idling engine through block and exhaust, with belt whine and intake noise."""
    wobble = wandering(rng, samples, 3)
    firing = rng.uniform(12, 30) * (1 + rng.uniform(0.01, 0.05) * wobble)
    pulses = impulses(rng, samples, firing, rng.uniform(0.01, 0.04))
    cylinders = rng.integers(3, 7)
    # One cylinder is stronger than the others, which is what makes an engine lope.
    pulses *= 1 + rng.uniform(0.1, 0.5) * harmonic_tone(firing / cylinders, np.array([1.0]), rng.random())
    length = samples_in(0.12)
    thump = noise(rng, length, rng.uniform(1.0, 1.6)) * decay(length, rng.uniform(0.03, 0.1), 0.002)
    centres = np.array([rng.uniform(50, 120), rng.uniform(150, 350), rng.uniform(450, 1100), rng.uniform(1300, 2600)])
    block = thump + resonances(thump, centres, centres / rng.uniform(2, 6, 4), np.array([4.0, 3.0, 1.2, 0.4]))
    engine = convolve(pulses, block)
    belt = harmonic_tone(firing * rng.integers(9, 30), falling_harmonics(6, 1.0), rng.random())
    intake = band(noise(rng, samples, 1.0), 100, rng.uniform(1000, 2500), order=1)
    intake *= 1 + 0.3 * harmonic_tone(firing, np.array([1.0]), rng.random())
    return (
        engine / np.std(engine)
        + rng.uniform(0.05, 0.2) * belt / np.std(belt)
        + rng.uniform(0.05, 0.3) * intake / np.std(intake)
    )


def traffic(rng: np.random.Generator, samples: int) -> np.ndarray:
    """The roar of a street: a steady rumble, tyres and engines of cars that come and go."""
    rumble = band(noise(rng, samples, rng.uniform(1.2, 2.0)), 30, rng.uniform(600, 2000), order=1)
    sound = rng.uniform(0.15, 0.4) * rumble / np.std(rumble)
    seconds = samples / SYNTHESIS_RATE
    for nearest_at in np.arange(rng.uniform(-0.5, 0.7), seconds + 0.5, rng.uniform(1.2, 2.4)):
        sound += rng.uniform(0.8, 2.0) * _passing_car(rng, samples, nearest_at + rng.uniform(-0.4, 0.4))
    return sound


def _passing_car(rng: np.random.Generator, samples: int, nearest_at: float) -> np.ndarray:
    """One car, nearest to the microphone at `nearest_at` seconds: tyre noise and the engine's lower harmonics."""
    approach = (time_axis(samples) - nearest_at) / rng.uniform(0.2, 0.6)
    loudness = 1.0 / (1.0 + approach**2)
    tyres = band(noise(rng, samples, rng.uniform(0.5, 1.0)), rng.uniform(150, 500), rng.uniform(1500, 5000), order=1)
    revs = rng.uniform(45, 130) * (1 - 0.04 * np.tanh(approach))
    engine = harmonic_tone(revs, falling_harmonics(20, rng.uniform(0.5, 1.2)) * rng.uniform(0.2, 1, 20), rng.random())
    return loudness * (tyres / np.std(tyres) + rng.uniform(0.1, 0.8) * engine / np.std(engine))


def _horn_pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Fundamentals in Hz of the two reeds, their harmonics, and the loudness of this car."""
    low = rng.uniform(330, 450)
    reeds = np.array([low, low * rng.uniform(1.17, 1.28)])[: 1 + (rng.random() < 0.85)]
    spectrum = falling_harmonics(30, rng.uniform(0.3, 0.7)) * rng.uniform(0.4, 1.0, 30)
    return reeds, spectrum, rng.uniform(0.4, 1.0)
