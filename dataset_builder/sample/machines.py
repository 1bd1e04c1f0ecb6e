"""Air conditioner, drill, jackhammer and gun: what hums, grinds, hammers and bangs."""

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
    wandering,
)


def air_conditioner(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Steady hum of the mains and of the fan's blades under a broad hiss of air that hardly moves."""
    mains = rng.choice((50.0, 60.0)) * (1 + 0.002 * wandering(rng, samples, 0.5))
    blades = rng.uniform(60, 240) * (1 + 0.004 * wandering(rng, samples, 0.5))
    hum = harmonic_tone(2 * mains, falling_harmonics(12, 1.0) * rng.uniform(0.1, 1.0, 12), rng.random())
    whirr = harmonic_tone(blades, falling_harmonics(10, 1.2) * rng.uniform(0.2, 1.0, 10), rng.random())
    air = band(noise(rng, samples, rng.uniform(0.0, 0.8)), rng.uniform(80, 200), rng.uniform(3500, 9000), order=1)
    beat = 1 + rng.uniform(0.0, 0.15) * np.sin(2 * np.pi * rng.uniform(2, 9) * np.arange(samples) / SYNTHESIS_RATE)
    tonal = rng.uniform(0.3, 0.8) * hum / np.std(hum) + rng.uniform(0.3, 0.8) * whirr / np.std(whirr)
    return tonal + air / np.std(air) * beat


def drilling(rng: np.random.Generator, samples: int) -> np.ndarray:
    """A geared electric motor under a load that comes and goes, grinding noise, now and then in bursts; some hammer."""
    load = wandering(rng, samples, rng.uniform(0.7, 2.5))
    motor = rng.uniform(170, 520) * (1 - rng.uniform(0.03, 0.15) * load)
    whine = harmonic_tone(motor, falling_harmonics(40, rng.uniform(0.3, 0.9)) * rng.uniform(0.1, 1.0, 40), rng.random())
    grind = band(noise(rng, samples), rng.uniform(900, 2200), rng.uniform(5000, 11000))
    grind *= 1 + 0.5 * harmonic_tone(motor / rng.integers(4, 9), np.array([1.0, 0.5]), rng.random())
    if rng.random() < 0.25:  # hammer drill
        blows = impulses(rng, samples, motor / rng.integers(6, 12), 0.03)
        grind = grind / np.std(grind) + 8 * convolve(blows, _clank(rng, 0.03))
    balance = rng.uniform(0.3, 0.7)
    bit = balance * whine / np.std(whine) + (1 - balance) * grind / np.std(grind)
    return bit * (1 + 0.3 * load) * (_presses(rng, samples) if rng.random() < 0.5 else 1.0)


def jackhammer(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Hard periodic blows, each ringing in steel and stone, with exhaust air and the compressor behind."""
    rate = rng.uniform(7, 15) * (1 + 0.05 * wandering(rng, samples, 1.5))
    blow = _clank(rng, rng.uniform(0.03, 0.09))
    knock = convolve(impulses(rng, samples, rate, rng.uniform(0.01, 0.05)), blow)
    hiss = band(noise(rng, samples), 1200, None, order=1)
    hiss *= 1 + 0.8 * harmonic_tone(rate, np.array([1.0, 0.4]), rng.random())
    compressor = band(noise(rng, samples, 1.5), 30, 300)
    sound = knock / np.std(knock) + rng.uniform(0.05, 0.25) * hiss / np.std(hiss)
    sound *= _presses(rng, samples) if rng.random() < 0.4 else 1.0
    return sound + rng.uniform(0.05, 0.2) * compressor / np.std(compressor)


def gun_shot(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Single shots or a salvo: a blast of a few milliseconds and the tail that the surroundings throw back."""
    canvas = np.zeros(samples)
    salvo = rng.random() < 0.3
    tail = rng.uniform(0.3, 0.8) if salvo else rng.uniform(0.5, 1.8)
    shot = _shot(rng, tail)
    start = int(rng.uniform(-0.2, 0.6) * SYNTHESIS_RATE)
    while start < samples:
        add_at(canvas, shot * rng.uniform(0.6, 1.0), start)
        start += samples_in(rng.uniform(0.09, 0.3) if salvo and rng.random() < 0.85 else rng.uniform(0.7, 1.8))
    return canvas


def _shot(rng: np.random.Generator, tail: float) -> np.ndarray:
    """One shot; `tail` is the time in seconds in which its echo falls by 60 dB."""
    length = samples_in(tail)
    crack = noise(rng, length) * decay(length, rng.uniform(0.03, 0.12), 0.0003)
    boom = band(noise(rng, length, 1.0), 40, rng.uniform(250, 700)) * decay(length, rng.uniform(0.15, 0.4), 0.001)
    echo = band(noise(rng, length, rng.uniform(0.5, 1.2)), 100, rng.uniform(2000, 6000), order=1)
    echo *= decay(length, tail, 0.02)
    return 4 * crack + rng.uniform(2, 6) * boom / np.std(boom[: length // 4]) + rng.uniform(0.4, 1.2) * echo


def _clank(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Impulse response of struck steel: a noise burst through a few modes, gone after `seconds`."""
    length = samples_in(seconds)
    burst = noise(rng, length) * decay(length, seconds / 3, 0.0005)
    centres = rng.uniform(300, 6000, 5)
    rung = resonances(burst, centres, centres / rng.uniform(3, 15, 5), rng.uniform(0.5, 2.0, 5))
    return (0.5 * burst + rung) * decay(length, seconds, 0.0005)


def _presses(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Envelope of a trigger that is held for a while, released, and held again."""
    canvas = np.zeros(samples)
    start = int(rng.uniform(-1.0, 0.3) * SYNTHESIS_RATE)
    while start < samples:
        length = samples_in(rng.uniform(0.6, 2.5))
        add_at(canvas, swell(length, 0.06, 0.1), start)
        start += length + samples_in(rng.uniform(0.15, 0.6))
    return canvas
