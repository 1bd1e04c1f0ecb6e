"""Recordings of a class and the clips cut from them: room, microphone, background noise, format, lengths and places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from scipy import fft

from quaclrs.labels import CLASS_NAMES

from .sounds import SYNTHESIS_RATE, filtered, frequencies, noise, samples_in, synthesise

RECORDING_SECONDS = 6.0
ACTIVITY_SECONDS = 0.05
RATES = (8_000, 16_000, 16_000, 22_050, 22_050, 24_000, 32_000) + 6 * (44_100,) + 5 * (48_000,) + 2 * (96_000,)
#: No floating-point encoding: soundfile would write the time of day into the header.
ENCODINGS = ("PCM_16", "PCM_16", "PCM_24")
#: Clip lengths in seconds and the share of clips that are shorter: in UrbanSound8K, too, most last nearly 4 s.
LENGTHS = ((0.3, 0.0), (3.5, 0.2), (4.0, 1.0))


@dataclass(frozen=True)
class Format:
    """Format of a recording: samples per second, channels, and soundfile's name of the sample encoding."""

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


def generator(seed: int, class_name: str | None = None, recording: int | None = None) -> np.random.Generator:
    """The random numbers of one recording, of one class (no recording), or of the whole sample (no class)."""
    # Counted from 1, because numpy's SeedSequence takes a missing number for 0.
    class_number = 0 if class_name is None else CLASS_NAMES.index(class_name) + 1
    return np.random.default_rng((seed, class_number, 0 if recording is None else recording + 1))


def clips_of_class(
    seed: int, class_name: str, counts: Sequence[int], overlap: float
) -> Iterator[tuple[Recording, list[tuple[int, int]]]]:
    """Yield every recording of a class with the bounds (first sample, one past the last) of its clips.

    Every class gets the same mix of formats and lengths, shuffled, so that neither tells a class.

    counts: clips of each recording. overlap: seconds, see `cut`.
    """
    rng = generator(seed, class_name)
    total = sum(counts)
    seconds, shares = zip(*LENGTHS, strict=True)
    lengths = iter(np.interp((rng.permutation(total) + rng.random(total)) / total, shares, seconds).tolist())
    formats = zip(*(_dealt(rng, choices, len(counts)) for choices in (RATES, (1, 2), ENCODINGS)), strict=True)
    for number, (form, count) in enumerate(zip(formats, counts, strict=True)):
        own = generator(seed, class_name, number)
        recording = record(own, class_name, Format(*form))
        yield recording, cut(own, recording, [next(lengths) for _ in range(count)], overlap)


def record(rng: np.random.Generator, class_name: str, form: Format) -> Recording:
    """Synthesise a recording of a class; a generator in the same state gives the same samples."""
    samples = samples_in(RECORDING_SECONDS)
    dry = synthesise(class_name, rng, samples)
    dry = filtered(dry / np.sqrt(_loud_power(dry)), _microphone(rng, samples))
    source = np.stack([filtered(dry, _room(rng, samples)) for _ in range(form.channels)], axis=1)
    snr = 7.0 + 19.0 * rng.random() ** 0.4
    slope, width = rng.uniform(0, 2), rng.uniform(0.2, 1.0)
    shared = noise(rng, samples, slope)
    background = np.stack([shared + width * noise(rng, samples, slope) for _ in range(form.channels)], axis=1)
    background *= np.sqrt(_loud_power(source.mean(axis=1)) / np.mean(background**2)) * 10 ** (-snr / 20)
    mixed = soxr.resample(source + background, SYNTHESIS_RATE, form.rate)
    mixed *= 10 ** (rng.uniform(-20.0, -1.0) / 20) / np.abs(mixed).max()
    return Recording(mixed, form, _frame_power(dry), snr)


def cut(rng: np.random.Generator, recording: Recording, lengths: list[float], overlap: float) -> list[tuple[int, int]]:
    """First sample, and one past the last, of a clip of each length, cut where the source is heard.

    lengths: seconds. overlap: seconds that a clip shares at least with the one before it (or the whole of the shorter
    one); 0 leaves them free.
    """
    total, rate = len(recording.waveform), recording.format.rate
    frame = ACTIVITY_SECONDS * rate
    bounds: list[tuple[int, int]] = []
    for seconds in lengths:
        length = min(total, round(seconds * rate))
        first, last = 0, total - length
        if overlap and bounds:
            before, after = bounds[-1]
            shared = min(round(overlap * rate), length, after - before)
            first, last = max(first, before - length + shared), min(last, after - shared)
        # On a grid of whole samples at every rate, so that related clips stay aligned when they are resampled.
        step = rate // 50
        grid = np.arange(-(-first // step), last // step + 1) * step
        starts = rng.choice(grid, 6).tolist() if len(grid) else [first]
        heard = [recording.activity[int(s / frame) : int((s + length) / frame) + 1].mean() for s in starts]
        start = starts[int(np.argmax(heard))]
        bounds.append((start, start + length))
    return bounds


def _frame_power(waveform: np.ndarray) -> np.ndarray:
    """Mean power in successive frames of `ACTIVITY_SECONDS`."""
    frame = samples_in(ACTIVITY_SECONDS)
    return np.mean(waveform[: len(waveform) // frame * frame].reshape(-1, frame) ** 2, axis=1)


def _loud_power(waveform: np.ndarray) -> float:
    """Mean power of the louder third of the frames, so that the pauses of a bark do not count."""
    power = np.sort(_frame_power(waveform))
    return float(power[-len(power) // 3 :].mean())


def _microphone(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Gains of distance and microphone: tilted by some dB per octave, with a dip or peak on the way."""
    octave = np.log2(np.maximum(frequencies(samples), 30.0) / 1000)
    centre, width = rng.uniform(-2.5, 3), rng.uniform(0.4, 1.2)
    decibels = rng.uniform(-1.5, 0.5) * octave + rng.uniform(-4, 4) * np.exp(-(((octave - centre) / width) ** 2))
    return 10 ** (decibels / 20)


def _room(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Gains, complex, of the way to one microphone: direct sound, a few early reflections, an exponential tail."""
    length = samples_in(rng.uniform(0.1, 0.6))
    wet = rng.uniform(0.05, 0.4)
    response = noise(rng, length, 0.7) * 10 ** (-3 * np.arange(length) / length)
    response *= wet / np.linalg.norm(response)
    response[rng.integers(samples_in(0.002), samples_in(0.03), 4)] += rng.uniform(-0.4, 0.4, 4) * wet
    response[rng.integers(0, samples_in(0.0006))] += rng.uniform(0.6, 1.0)
    return fft.rfft(response.astype(np.float32), fft.next_fast_len(samples, real=True))


def _dealt(rng: np.random.Generator, choices: tuple, count: int) -> list:
    """`count` items in which every choice comes equally often, as nearly as it goes, in random order."""
    deck = [choice for _ in range(-(-count // len(choices))) for choice in rng.permutation(np.array(choices)).tolist()]
    return [deck[i] for i in rng.permutation(count)]
