"""The three emergency vehicles: two-tone horn, mechanical wail with air horn, electronic wail and yelp."""

from __future__ import annotations

import numpy as np

from dataset_builder.sample.signals import (
    SYNTHESIS_RATE,
    add_at,
    falling_harmonics,
    harmonic_tone,
    noise,
    samples_in,
    swell,
    time_axis,
    wandering,
)

SPEED_OF_SOUND = 343.0  # m/s


def ambulance(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Mostly a two-tone horn (hi-lo), in one recording of six an electronic wail such as the police have."""
    speed, loudness = _passage(rng, samples)
    if rng.random() < 1 / 6:
        pitch = _wail(samples, rng.uniform(450, 650), rng.uniform(1100, 1600), rng.uniform(2.5, 4.5), 0.5, rng.random())
    else:
        low = rng.uniform(380, 700)
        pitch = _two_tones(samples, low, low * rng.uniform(1.18, 1.42), rng.uniform(0.3, 0.75), rng.random())
    tone = harmonic_tone(pitch * speed, _horn_spectrum(rng), rng.random())
    return _on_the_road(rng, tone, loudness)


def firetruck(rng: np.random.Generator, samples: int) -> np.ndarray:
    """A slow, low, rich mechanical wail, more often than not with bursts of an air horn."""
    speed, loudness = _passage(rng, samples)
    low = rng.uniform(160, 320)
    pitch = _wail(samples, low, low * rng.uniform(2.0, 3.2), rng.uniform(3.5, 7.0), rng.uniform(0.3, 0.6), rng.random())
    chopped = falling_harmonics(30, rng.uniform(0.7, 1.1), even=rng.uniform(0.5, 1.0))
    tone = harmonic_tone(pitch * speed, chopped, rng.random())
    tone *= 1.0 + 0.25 * wandering(rng, samples, 6)
    if rng.random() < 0.6:
        tone = rng.uniform(0.8, 1.4) * tone / np.std(tone) + _air_horn(rng, samples)
    return _on_the_road(rng, tone, loudness)


def police(rng: np.random.Generator, samples: int) -> np.ndarray:
    """An electronic siren that goes between a fast wail and a yelp."""
    speed, loudness = _passage(rng, samples)
    low, high = rng.uniform(450, 800), rng.uniform(1100, 1800)
    wail = _wail(samples, low, high, rng.uniform(1.0, 2.6), rng.uniform(0.3, 0.6), rng.random())
    yelp = _wail(samples, low * rng.uniform(1.0, 1.2), high, rng.uniform(0.22, 0.45), 0.5, rng.random())
    change = samples * rng.uniform(-0.6, 1.6)
    first, second = (wail, yelp) if rng.random() < 0.5 else (yelp, wail)
    pitch = np.where(np.arange(samples) < change, first, second)
    tone = harmonic_tone(pitch * speed, _horn_spectrum(rng), rng.random())
    return _on_the_road(rng, tone, loudness)


def _wail(samples: int, low: float, high: float, period: float, rise: float, offset: float) -> np.ndarray:
    """Fundamental in Hz gliding exponentially up for the share `rise` of each `period` (seconds), then down."""
    turn = (time_axis(samples) / period + offset) % 1.0
    height = np.where(turn < rise, turn / rise, (1 - turn) / (1 - rise))
    # The loudspeaker's oscillator charges a capacitor: the glide slows towards the top.
    return low * (high / low) ** ((1 - np.exp(-2 * height)) / (1 - np.exp(-2)))


def _two_tones(samples: int, low: float, high: float, step: float, offset: float) -> np.ndarray:
    """Fundamental in Hz alternating every `step` seconds; the change takes some 15 ms."""
    swing = np.sin(np.pi * (time_axis(samples) / step + 2 * offset))
    height = 0.5 + 0.5 * np.tanh(swing * step / 0.03)
    return low * (high / low) ** height


def _horn_spectrum(rng: np.random.Generator) -> np.ndarray:
    """Harmonics of an overdriven horn loudspeaker: odd ones strong, uneven from horn to horn."""
    return falling_harmonics(16, rng.uniform(0.8, 1.8), even=rng.uniform(0.2, 0.9)) * rng.uniform(0.4, 1.0, 16)


def _air_horn(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Bursts of two or three low trumpets sounded together, unit standard deviation while they sound."""
    canvas = np.zeros(samples)
    base = rng.uniform(140, 260)
    trumpets = base * np.array([1.0, rng.uniform(1.18, 1.3), rng.uniform(1.45, 1.6)])[: rng.integers(2, 4)]
    start = int(rng.uniform(-0.5, 1.0) * SYNTHESIS_RATE)
    while start < samples:
        length = samples_in(rng.uniform(0.25, 1.3))
        sag = 1.0 - 0.03 * np.exp(-time_axis(length) / 0.04)
        burst = sum(harmonic_tone(f * sag, falling_harmonics(24, 0.6), rng.random()) for f in trumpets)
        add_at(canvas, burst / np.std(burst) * swell(length, 0.03, 0.06), start)
        start += length + samples_in(rng.uniform(0.1, 1.2))
    return canvas


def _passage(rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Doppler factor and loudness at every sample of a vehicle that drives past the microphone in a straight line."""
    nearest = rng.uniform(8, 40)  # metres
    velocity = rng.choice((-1.0, 1.0)) * rng.uniform(0, 18)  # m/s
    along = velocity * (time_axis(samples) - rng.uniform(-0.3, 1.3) * samples / SYNTHESIS_RATE)
    distance = np.hypot(nearest, along)
    return 1.0 / (1.0 + velocity * along / distance / SPEED_OF_SOUND), nearest / distance


def _on_the_road(rng: np.random.Generator, tone: np.ndarray, loudness: np.ndarray) -> np.ndarray:
    """The siren with the rumble of the traffic it drives through."""
    rumble = noise(rng, len(tone), rng.uniform(1.0, 2.0)) * (1 + 0.4 * wandering(rng, len(tone), 1))
    return tone / np.std(tone) * loudness + rng.uniform(0.02, 0.3) * rumble
