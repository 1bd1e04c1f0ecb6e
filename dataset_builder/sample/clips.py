"""The clips of one class: how many recordings, in which formats, of which lengths, and where they are cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dataset_builder.sample.recordings import ACTIVITY_SECONDS, Format, Recording, record
from quaclrs.labels import CLASS_NAMES

RATES = (8_000, 16_000, 16_000, 22_050, 22_050, 24_000, 32_000) + 6 * (44_100,) + 5 * (48_000,) + 2 * (96_000,)
CHANNELS = (1, 2)
#: No floating-point encoding: soundfile would write the time of day into the header.
ENCODINGS = ("PCM_16", "PCM_16", "PCM_24")
#: Clip lengths in seconds and the share of clips that are shorter: in UrbanSound8K, too, most last nearly 4 s.
LENGTHS = ((0.3, 0.0), (3.5, 0.2), (4.0, 1.0))


def generator(seed: int, class_name: str | None = None, recording: int | None = None) -> np.random.Generator:
    """The random numbers of one recording, of one class (no recording), or of the whole sample (no class)."""
    # Counted from 1, because numpy's SeedSequence takes a missing number for 0.
    class_number = 0 if class_name is None else CLASS_NAMES.index(class_name) + 1
    return np.random.default_rng((seed, class_number, 0 if recording is None else recording + 1))


def clips_of_class(
    seed: int, class_name: str, counts: Sequence[int], overlap: float
) -> Iterator[tuple[Recording, list[tuple[int, int]]]]:
    """Yield every recording of a class with the bounds (first sample, one past the last) of its clips.

    counts: clips of each recording. overlap: seconds, see `cut`.
    """
    rng = generator(seed, class_name)
    lengths = iter(_lengths(rng, sum(counts)))
    for number, (form, count) in enumerate(zip(_formats(rng, len(counts)), counts, strict=True)):
        own = generator(seed, class_name, number)
        recording = record(own, class_name, form)
        yield recording, cut(own, recording, [next(lengths) for _ in range(count)], overlap)


def cut(rng: np.random.Generator, recording: Recording, lengths: list[float], overlap: float) -> list[tuple[int, int]]:
    """First sample, and one past the last, of a clip of each length, cut where the source is heard.

    lengths: seconds. overlap: seconds that a clip shares at least with the one before it (or the whole of the shorter
    one); 0 leaves them free.
    """
    total, rate = len(recording.waveform), recording.format.rate
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
        start = max(starts, key=lambda s: _heard(recording, s, length))
        bounds.append((start, start + length))
    return bounds


def _heard(recording: Recording, start: int, length: int) -> float:
    """Mean power of the source in a clip."""
    frame = ACTIVITY_SECONDS * recording.format.rate
    return float(recording.activity[int(start / frame) : int((start + length) / frame) + 1].mean())


def _lengths(rng: np.random.Generator, count: int) -> list[float]:
    """Clip lengths in seconds: every class gets the same spread, in random order, so that a length tells no class."""
    quantiles = (rng.permutation(count) + rng.random(count)) / count
    seconds, shares = zip(*LENGTHS, strict=True)
    return np.interp(quantiles, shares, seconds).tolist()


def _formats(rng: np.random.Generator, count: int) -> list[Format]:
    """Formats of a class's recordings: every class gets the same mix, shuffled, so that a format tells no class."""
    columns = (_dealt(rng, RATES, count), _dealt(rng, (1, 2), count), _dealt(rng, ENCODINGS, count))
    return [Format(*row) for row in zip(*columns, strict=True)]


def _dealt(rng: np.random.Generator, choices: tuple, count: int) -> list:
    """`count` items in which every choice comes equally often, as nearly as it goes, in random order."""
    deck = [choice for _ in range(-(-count // len(choices))) for choice in rng.permutation(np.array(choices)).tolist()]
    return [deck[i] for i in rng.permutation(count)]
