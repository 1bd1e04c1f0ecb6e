"""Search for clips cut one after the other from a recording: they share no sound, but an odd length and a seam.

Who cuts a recording into equal parts leaves parts of one odd number of samples, and where one part ends the next goes
on: the spectrum at the seam is nearly the same. Measured on the police clips, whose names show the truth: see
`python -m benchmarks.grouping`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from ..errors import QuaclrsError


@dataclass(frozen=True)
class SeamConfig:
    """Every parameter of the search for consecutive cuts; durations in seconds.

    Args:
        sampling_rate: Hz, of the ends that are compared.
        windows: durations of the spectra at the end of a clip and at the start of another; similarities are averaged.
        threshold: similarity from which one clip goes on where another ends. Unrelated sirens reach it about once in
            1,000 comparisons, and only clips of one odd length are compared.
        most_cuts: a length that more clips share is a format, not a recording; they are not compared.
        round_to: a length that is a multiple of this was chosen by somebody, so it tells nothing.
        cohort: so many clips of other lengths are needed, none of which may fit an end better.
        most_by_chance: where more of the clips of different lengths reach the threshold than this share, sounds are
            all alike, as traffic is, and no seam is evidence.
    """

    sampling_rate: int = 16000
    windows: tuple[float, ...] = (0.032, 0.064)
    threshold: float = 0.88
    most_cuts: int = 60
    round_to: float = 0.01
    cohort: int = 20
    most_by_chance: float = 0.01

    def __post_init__(self) -> None:
        if not self.windows or min(self.windows) <= 0:
            raise QuaclrsError("windows must be positive durations")
        if not 0 < self.threshold <= 1:
            raise QuaclrsError(f"the threshold of seams must lie in (0, 1], not {self.threshold}")


@dataclass(frozen=True)
class ClipEnds:
    """A clip as the search keeps it: its length, and the spectra at its two ends.

    Attributes:
        length: (samples, rate in Hz) of the clip as it was given.
        first, last: spectra at its start and its end, one a window, unit vectors; empty when it is too short.
    """

    length: tuple[int, int]
    first: tuple[np.ndarray, ...]
    last: tuple[np.ndarray, ...]


def clip_ends(waveform: np.ndarray, rate: int, config: SeamConfig) -> ClipEnds:
    """Describe the ends of a mono clip, float (samples,), at `rate` Hz."""
    sizes = [round(window * config.sampling_rate) for window in config.windows]
    # Longer than the windows, so that the resampler rings in what is dropped.
    kept = round(1.5 * max(config.windows) * rate)
    if len(waveform) < 2 * kept:
        return ClipEnds((len(waveform), rate), (), ())
    start, end = (
        soxr.resample(np.asarray(x, dtype=np.float32), rate, config.sampling_rate)
        for x in (waveform[:kept], waveform[-kept:])
    )
    return ClipEnds(
        (len(waveform), rate),
        tuple(_end_spectrum(start[:size]) for size in sizes),
        tuple(_end_spectrum(end[-size:]) for size in sizes),
    )


def find_seams(ends: Sequence[ClipEnds], config: SeamConfig | None = None) -> list[tuple[int, int, float]]:
    """Find clips that go on where another clip of the same odd length ends.

    Args:
        ends: what `clip_ends` says of every clip of a class.
        config: see `SeamConfig`.

    Returns:
        (clip, the clip that follows it, similarity), sorted.
    """
    config = config or SeamConfig()
    clips_of_length: dict[tuple[int, int], list[int]] = defaultdict(list)
    for clip, end in enumerate(ends):
        if end.first:
            clips_of_length[end.length].append(clip)
    seams: list[tuple[int, int, float]] = []
    if _share_by_chance(ends, config) > config.most_by_chance:
        return seams
    for length, clips in clips_of_length.items():
        others = [clip for of, members in clips_of_length.items() if of != length for clip in members]
        if not _is_odd(*length, config) or not 2 <= len(clips) <= config.most_cuts or len(others) < config.cohort:
            continue
        fits = _similarities(ends, clips, clips)
        to_cohort = _similarities(ends, clips, others).max(axis=1)
        from_cohort = _similarities(ends, others, clips).max(axis=0)
        least = np.maximum(config.threshold, np.maximum(to_cohort[:, None], from_cohort))
        np.fill_diagonal(fits, -1.0)
        seams += [(clips[i], clips[j], float(fits[i, j])) for i, j in np.argwhere(fits > least).tolist()]
    return sorted(seams)


def _end_spectrum(samples: np.ndarray) -> np.ndarray:
    """A spectrum compressed as loudness is, smoothed over three bins as pitch moves, at zero mean and unit norm."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 0.3
    spectrum = np.convolve(spectrum, [0.25, 0.5, 0.25], "same")
    spectrum -= spectrum.mean()
    return (spectrum / max(float(np.linalg.norm(spectrum)), 1e-9)).astype(np.float32)


def _similarities(ends: Sequence[ClipEnds], before: list[int], after: list[int]) -> np.ndarray:
    """Score how well each clip of `after` continues each of `before`, (before, after), at most 1."""
    windows = range(len(ends[before[0]].last))
    by_window = [
        np.stack([ends[i].last[w] for i in before]) @ np.stack([ends[j].first[w] for j in after]).T for w in windows
    ]
    return np.mean(by_window, axis=0)


def _share_by_chance(ends: Sequence[ClipEnds], config: SeamConfig, most: int = 300) -> float:
    """The share of comparisons that reach the threshold without an odd length in common, among at most `most` clips."""
    usable = [clip for clip, end in enumerate(ends) if end.first]
    usable = usable[:: -(-len(usable) // most)] if usable else []
    if len(usable) < 2:
        return 0.0
    lengths = [ends[i].length for i in usable]
    apart = np.array(
        [[i != j and (a != b or not _is_odd(*a, config)) for j, b in enumerate(lengths)] for i, a in enumerate(lengths)]
    )
    return float((_similarities(ends, usable, usable) >= config.threshold)[apart].mean()) if apart.any() else 0.0


def _is_odd(samples: int, rate: int, config: SeamConfig) -> bool:
    """True if nobody chose this length: it is not a multiple of `round_to`, give or take a sample."""
    away = abs(samples - round(samples / rate / config.round_to) * config.round_to * rate)
    return away > 1.0
