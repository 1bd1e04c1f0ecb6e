"""Does a built data set leak? `python -m dataset_builder leaks DIR` correlates every pair of clips across its folds.

The check shares no code with the grouping that it checks: plain cross-correlation by FFT over all lags and all pairs,
of what the Parquet files hold. It costs a few minutes for 500 clips and grows with their square.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft

from quaclrs.audio import load_audio
from quaclrs.dataset_checks import NEEDED, refuse_faulty_files, refuse_missing_columns
from quaclrs.errors import QuaclrsError
from quaclrs.labels import URBANSOUND8K

#: How a correlation is scaled to [0, 1]; see `CrossFoldCorrelations`.
MEASURES = ("whole", "overlap", "template")


@dataclass(frozen=True)
class LeakCheck:
    """Options of the comparison; durations in seconds."""

    sampling_rate: int = 8000
    threshold: float = 0.9
    measures: tuple[str, ...] = MEASURES
    shortest_overlap: float = 1.0  # of two clips; the shorter it is, the likelier do two sirens of one pitch agree
    template_duration: float = 0.75
    template_hop: float = 0.375
    silence_db: float = -40.0  # quieter stretches, relative to the clip's mean power, say nothing
    classes: tuple[str, ...] = ()  # whose clips are compared; all without any

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.measures) - set(MEASURES)):
            raise QuaclrsError(f"unknown measure {unknown[0]!r}; choose among {', '.join(MEASURES)}")
        if self.sampling_rate < 1000:
            raise QuaclrsError(f"the sampling rate must be at least 1000 Hz, not {self.sampling_rate}")


@dataclass(frozen=True)
class CrossFoldCorrelations:
    """The highest absolute correlation over all lags of every two clips in different folds.

    Attributes:
        clip_ids, folds: of the clips that were compared, (clips,).
        highest: for each measure a matrix (clips, clips), symmetric, float32 in [0, 1], NaN within a fold.
            `whole` divides by the energies of both clips, so a copy shifted by a third scores two thirds;
            `overlap` divides by the energies where they overlap, which is `shortest_overlap` at least;
            `template` slides stretches of `template_duration` of the shorter clip over the longer one.
    """

    clip_ids: list[str]
    folds: np.ndarray
    highest: dict[str, np.ndarray] = field(repr=False)

    def pairs(self, measure: str, least: float = 0.0) -> list[tuple[float, str, str]]:
        """Pairs (correlation, clip_id, clip_id) of at least `least`, the highest first."""
        above = np.argwhere(np.triu(np.nan_to_num(self.highest[measure], nan=-1.0) >= least, 1)).tolist()
        found = [(float(self.highest[measure][i, j]), self.clip_ids[i], self.clip_ids[j]) for i, j in above]
        return sorted(found, key=lambda pair: (-pair[0], *pair[1:]))


def cross_fold_correlations(dataset_folder: Path, check: LeakCheck | None = None) -> CrossFoldCorrelations:
    """Correlate all pairs of clips in different folds of a built data set, except UrbanSound8K's (official folds).

    Args:
        dataset_folder: a folder that the builder wrote.
        check: rate, measures and their parameters.

    Raises:
        QuaclrsError: the folder holds no data set.
    """
    check = check or LeakCheck()
    clip_ids, folds, waveforms = _read_clips(Path(dataset_folder), check)
    return CrossFoldCorrelations(clip_ids, folds, highest_correlations(waveforms, check, folds[:, None] != folds))


def highest_correlations(
    waveforms: Sequence[np.ndarray], check: LeakCheck, wanted: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The highest absolute correlation over all lags of pairs of clips.

    Args:
        waveforms: float32 (samples,) each, at `check.sampling_rate`.
        check: measures and their parameters.
        wanted: bool (clips, clips), symmetric, the pairs to compare; all without it.

    Returns:
        For each measure a matrix (clips, clips), float32, symmetric, NaN where not compared.
    """
    count = len(waveforms)
    wanted = ~np.eye(count, dtype=bool) if wanted is None else wanted
    highest = {name: np.full((count, count), np.nan, dtype=np.float32) for name in check.measures}
    by_length = np.array(sorted(range(count), key=lambda i: len(waveforms[i])), dtype=np.int64)
    for rows, columns in _tiles(by_length):
        tile = wanted[np.ix_(rows, columns)]
        if rows is columns:
            tile = np.triu(tile, 1)  # each pair once: templates of the shorter clip are slid over the longer one
        if tile.any():
            for name, found in _correlate(
                [waveforms[i] for i in rows], [waveforms[i] for i in columns], check, tile
            ).items():
                highest[name][np.ix_(rows, columns)] = np.where(tile, found, np.nan)
    for matrix in highest.values():
        np.fmax(matrix, matrix.T.copy(), out=matrix)
    return highest


def _read_clips(folder: Path, check: LeakCheck) -> tuple[list[str], np.ndarray, list[np.ndarray]]:
    """Ids, folds and waveforms of the clips that are compared: never UrbanSound8K's."""
    import pyarrow.parquet as pq

    files = sorted((folder / "data").glob("*.parquet"))
    if not files:
        raise QuaclrsError(f"{folder} holds no data/*.parquet; give a folder that python -m dataset_builder wrote")
    features = refuse_faulty_files(files, str(folder))
    refuse_missing_columns(features, ("audio", *NEEDED), str(folder))
    clip_ids, folds, waveforms = [], [], []
    chosen: list[tuple[str, str, Any]] = [("source", "!=", URBANSOUND8K)]
    if check.classes:
        names = features["label"].names
        if unknown := sorted(set(check.classes) - set(names)):
            raise QuaclrsError(f"--class {unknown[0]} is not a class of {folder}; choose among {', '.join(names)}")
        chosen.append(("label", "in", [names.index(name) for name in check.classes]))
    for file in files:
        for row in pq.read_table(file, columns=["clip_id", "fold", "audio"], filters=chosen).to_pylist():
            waveforms.append(load_audio(row["audio"]["bytes"], check.sampling_rate, row["clip_id"]))
            clip_ids.append(row["clip_id"])
            folds.append(row["fold"])
    return clip_ids, np.array(folds, dtype=np.int64), waveforms


def _tiles(order: np.ndarray, size: int = 32) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of clips of like length against blocks of the same or longer ones: each pair once."""
    blocks = [order[first : first + size] for first in range(0, len(order), size)]
    for i, rows in enumerate(blocks):
        for columns in blocks[i:]:
            yield rows, columns


def _correlate(
    first: list[np.ndarray], second: list[np.ndarray], check: LeakCheck, wanted: np.ndarray
) -> dict[str, np.ndarray]:
    """Highest correlations (first, second) of each measure, where they are wanted; elsewhere anything."""
    found = {name: np.zeros((len(first), len(second)), dtype=np.float32) for name in check.measures}
    longest_first, longest = max(map(len, first)), max(map(len, second))
    size = scipy.fft.next_fast_len(longest_first + longest, real=True)
    spectra = scipy.fft.rfft(_stacked(second, size)).conj()
    energy = _running_energy(second, longest)
    lags = np.arange(-longest + 1, longest_first)  # sample t of `first` meets sample t - lag of `second`
    overlaps: dict[int, _Overlaps] = {}  # most clips have one length, so most share their overlaps
    sought: dict[int, _Sought] = {}
    for i, x in enumerate(first):
        if not wanted[i].any():
            continue
        if {"whole", "overlap"} & set(found):
            cross = np.abs(scipy.fft.irfft(spectra * scipy.fft.rfft(x, size), size))
            cross = np.roll(cross, longest - 1, axis=1)[:, : len(lags)]  # a negative lag lies at the end
        if "whole" in found:
            scale = np.sqrt(float((x.astype(np.float64) ** 2).sum()) * energy[:, -1])
            found["whole"][i] = np.minimum(cross.max(axis=1) / np.maximum(scale, 1e-12), 1.0)
        if "overlap" in found:
            if len(x) not in overlaps:
                overlaps[len(x)] = _Overlaps(len(x), [len(y) for y in second], energy, lags, check)
            found["overlap"][i] = np.minimum((cross * overlaps[len(x)].scales(x)).max(axis=1), 1.0)
        if "template" in found:
            window = min(round(check.template_duration * check.sampling_rate), len(x))
            if window not in sought:
                sought[window] = _Sought(second, window, check)
            found["template"][i, wanted[i]] = sought[window].best_fits(x, np.flatnonzero(wanted[i]))
    return found


class _Overlaps:
    """Stretches that clips of one length share with other clips at each lag, and the energy in them."""

    def __init__(self, length: int, others: list[int], energy: np.ndarray, lags: np.ndarray, check: LeakCheck) -> None:
        self.quiet = 10 ** (check.silence_db / 10)
        lengths, self.length_of = np.unique(others, return_inverse=True)
        self.starts = np.clip(lags, 0, length)
        self.stops = np.clip(lengths[:, None] + lags, self.starts, length)  # (lengths, lags)
        self.shared = self.stops - self.starts
        shared, stops = self.shared[self.length_of], self.stops[self.length_of]

        def energy_before(ends: np.ndarray) -> np.ndarray:
            return np.take_along_axis(energy, np.clip(ends - lags, 0, energy.shape[1] - 1), 1)

        theirs = energy_before(stops) - energy_before(np.broadcast_to(self.starts, stops.shape))
        known = shared >= min(check.shortest_overlap * check.sampling_rate, length)
        known &= theirs > self.quiet * shared * energy[:, -1:] / np.asarray(others)[:, None]
        self.scale_of_others = _inverse_roots(theirs, known)

    def scales(self, x: np.ndarray) -> np.ndarray:
        """Factors that make correlations of a clip's products, (others, lags); 0 where they say nothing."""
        own = _running_energy([x], len(x))[0]
        mine = own[self.stops] - own[self.starts]
        return (
            _inverse_roots(mine, mine > self.quiet * self.shared * own[-1] / len(x))[self.length_of]
            * self.scale_of_others
        )


def _inverse_roots(energies: np.ndarray, known: np.ndarray) -> np.ndarray:
    """One over the root of each energy, float32; 0 where it is not known."""
    return np.where(known, 1 / np.sqrt(np.maximum(energies, 1e-12)), 0.0).astype(np.float32)


class _Sought:
    """Clips in which stretches of `window` samples are sought: their spectra, and the energy under such a stretch."""

    def __init__(self, clips: list[np.ndarray], window: int, check: LeakCheck) -> None:
        self.window, self.hop = window, round(check.template_hop * check.sampling_rate)
        self.floor = 10 ** (check.silence_db / 20)
        longest = max(map(len, clips))
        # Only lags at which the template lies inside are read.
        self.size = scipy.fft.next_fast_len(longest, real=True)
        energy = _running_energy(clips, longest)
        under = energy[:, window:] - energy[:, :-window]
        ends = np.array([len(clip) for clip in clips])
        quiet = window * 10 ** (check.silence_db / 10) * energy[:, -1] / ends
        self.scale = _inverse_roots(under, under > quiet[:, None])
        self.spectra = scipy.fft.rfft(_stacked(clips, self.size))

    def best_fits(self, x: np.ndarray, among: np.ndarray) -> np.ndarray:
        """The best fit of any stretch of x in each of the clips of these numbers, (among,)."""
        last = len(x) - self.window
        cuts = np.stack([x[s : s + self.window] for s in sorted({*range(0, last + 1, self.hop), last})])
        norms = np.linalg.norm(cuts, axis=1)
        cuts = cuts[norms > self.floor * np.linalg.norm(x) * np.sqrt(self.window / len(x))]
        templates = scipy.fft.rfft(cuts / np.linalg.norm(cuts, axis=1, keepdims=True), self.size).conj()
        spectra, scale = self.spectra[among], self.scale[among]
        best = np.zeros(len(among), dtype=np.float32)
        for template in templates:
            cross = np.abs(scipy.fft.irfft(spectra * template, self.size)[:, : scale.shape[1]])
            best = np.maximum(best, (cross * scale).max(axis=1))
        return np.minimum(best, 1.0)


def _stacked(waveforms: list[np.ndarray], size: int) -> np.ndarray:
    stacked = np.zeros((len(waveforms), size), dtype=np.float32)
    for row, waveform in zip(stacked, waveforms, strict=True):
        row[: len(waveform)] = waveform
    return stacked


def _running_energy(waveforms: list[np.ndarray], size: int) -> np.ndarray:
    """Energy of the first n samples, (waveforms, size + 1); constant past a waveform's end."""
    energy = np.zeros((len(waveforms), size + 1))
    np.cumsum(_stacked(waveforms, size).astype(np.float64) ** 2, axis=1, out=energy[:, 1:])
    return energy


def add_leaks_command(commands: argparse._SubParsersAction) -> None:
    """Add `leaks` to the commands of `python -m dataset_builder`; `options.run(options)` runs it."""
    leaks = commands.add_parser("leaks", help="correlate the clips of a built data set across its folds")
    leaks.add_argument("dataset", type=Path, metavar="DIR", help="folder of a built data set")
    leaks.add_argument("--sampling-rate", type=int, default=LeakCheck.sampling_rate, metavar="HZ")
    leaks.add_argument("--threshold", type=float, default=LeakCheck.threshold, metavar="X")
    leaks.add_argument("--measure", choices=MEASURES, action="append", help="one measure, may be repeated")
    leaks.add_argument("--shortest-overlap", type=float, default=LeakCheck.shortest_overlap, metavar="SECONDS")
    leaks.add_argument(
        "--class", dest="classes", action="append", metavar="NAME", help="clips of this class only, may be repeated"
    )
    leaks.add_argument("--show", type=int, default=5, metavar="N", help="pairs that are printed a measure")
    leaks.set_defaults(run=run_leaks)


def run_leaks(options: argparse.Namespace) -> int:
    """Print the highest pairs by each measure; status 1 if one exceeds the threshold."""
    measures = tuple(options.measure or MEASURES)
    check = LeakCheck(
        options.sampling_rate,
        options.threshold,
        measures,
        options.shortest_overlap,
        classes=tuple(options.classes or ()),
    )
    correlations = cross_fold_correlations(options.dataset, check)
    count = len(correlations.clip_ids)
    compared = int(np.isfinite(correlations.highest[measures[0]]).sum()) // 2
    print(f"{count} clips, {compared} pairs in different folds, at {check.sampling_rate} Hz")
    leaks = 0
    for measure in measures:
        pairs = correlations.pairs(measure)
        above = sum(correlation > check.threshold for correlation, _, _ in pairs)
        leaks += above
        print(f"{measure}: {above} pairs above {check.threshold}; the highest:")
        for correlation, first, second in pairs[: options.show]:
            print(f"  {correlation:.3f}  {first}  {second}")
    return 1 if leaks else 0
