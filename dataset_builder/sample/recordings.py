"""From a dry source to a recording: room, microphone, background noise, and the file format it is kept in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soxr

from dataset_builder.sample import machines, music, sirens, vehicles, voices
from dataset_builder.sample.signals import SYNTHESIS_RATE, convolve, decay, noise, samples_in

#: What sounds in a recording of each class: (generator, samples) -> mono waveform at the synthesis rate, any level.
SOURCES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "air_conditioner": machines.air_conditioner,
    "ambulance": sirens.ambulance,
    "car_horn": vehicles.car_horn,
    "children_playing": voices.children_playing,
    "dog_bark": voices.dog_bark,
    "drilling": machines.drilling,
    "engine_idling": vehicles.engine_idling,
    "firetruck": sirens.firetruck,
    "gun_shot": machines.gun_shot,
    "jackhammer": machines.jackhammer,
    "police": sirens.police,
    "street_music": music.street_music,
    "traffic": vehicles.traffic,
}

RECORDING_SECONDS = 6.5
ACTIVITY_SECONDS = 0.05


@dataclass(frozen=True)
class Format:
    """How a recording is kept: samples per second, channels, and soundfile's name of the sample encoding."""

    rate: int
    channels: int
    encoding: str


@dataclass(frozen=True)
class Recording:
    """A long recording from which clips are cut.

    waveform: (samples, channels) in [-1, 1] at `format.rate`. activity: mean power of the dry source in each
    `ACTIVITY_SECONDS`, so that clips are cut where the source is heard. snr: decibels, source while it sounds against
    background.
    """

    waveform: np.ndarray
    format: Format
    activity: np.ndarray
    snr: float


def record(rng: np.random.Generator, class_name: str, form: Format) -> Recording:
    """Synthesise a recording of a class; a generator in the same state gives the same samples."""
    samples = samples_in(RECORDING_SECONDS)
    dry = SOURCES[class_name](rng, samples)
    dry = _tilt(rng, dry / np.sqrt(_loud_power(dry)))
    snr = 5.0 + 20.0 * rng.random() ** 0.4
    source = np.stack([convolve(dry, response) for response in _room(rng, form.channels)], axis=1)
    background = _background(rng, samples, form.channels)
    background *= np.sqrt(_loud_power(source.mean(axis=1)) / np.mean(background**2)) * 10 ** (-snr / 20)
    mixed = soxr.resample(source + background, SYNTHESIS_RATE, form.rate)
    mixed *= 10 ** (rng.uniform(-20.0, -1.0) / 20) / np.abs(mixed).max()
    return Recording(mixed, form, _frame_power(dry), snr)


def _frame_power(waveform: np.ndarray) -> np.ndarray:
    """Mean power in successive frames of `ACTIVITY_SECONDS`."""
    frame = samples_in(ACTIVITY_SECONDS)
    return np.mean(waveform[: len(waveform) // frame * frame].reshape(-1, frame) ** 2, axis=1)


def _loud_power(waveform: np.ndarray) -> float:
    """Mean power of the louder third of the frames, so that the pauses of a bark do not count."""
    power = np.sort(_frame_power(waveform))
    return float(power[-len(power) // 3 :].mean())


def _tilt(rng: np.random.Generator, waveform: np.ndarray) -> np.ndarray:
    """Colour the source as distance and microphone do: tilted by some dB per octave, with a dip or peak on the way."""
    spectrum = np.fft.rfft(waveform)
    octave = np.log2(np.maximum(np.fft.rfftfreq(len(waveform), 1 / SYNTHESIS_RATE), 30.0) / 1000)
    centre, width = rng.uniform(-2.5, 3), rng.uniform(0.4, 1.2)
    gain = rng.uniform(-1.5, 0.5) * octave + rng.uniform(-4, 4) * np.exp(-(((octave - centre) / width) ** 2))
    return np.fft.irfft(spectrum * 10 ** (gain / 20), len(waveform))


def _room(rng: np.random.Generator, channels: int) -> list[np.ndarray]:
    """Impulse responses to each microphone: direct sound, a few early reflections, an exponential tail."""
    seconds = rng.uniform(0.1, 0.6)
    length = samples_in(seconds)
    wet = rng.uniform(0.05, 0.4)
    responses = []
    for _ in range(channels):
        tail = noise(rng, length, 0.7) * decay(length, seconds)
        response = wet * tail / np.sqrt(np.sum(tail**2))
        early = rng.integers(samples_in(0.002), samples_in(0.03), 4)
        response[early] += rng.uniform(-0.4, 0.4, 4) * wet
        response[rng.integers(0, samples_in(0.0006))] += rng.uniform(0.6, 1.0)
        responses.append(response)
    return responses


def _background(rng: np.random.Generator, samples: int, channels: int) -> np.ndarray:
    """White, pink or brown noise (or something between) that breathes a little: (samples, channels)."""
    exponent = float(np.clip(rng.choice((0.0, 1.0, 2.0)) + rng.uniform(-0.3, 0.3), 0.0, 2.2))
    shared = noise(rng, samples, exponent)
    width = rng.uniform(0.2, 1.0)
    return np.stack([shared + width * noise(rng, samples, exponent) for _ in range(channels)], axis=1)
