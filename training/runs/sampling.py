"""The order of training clips: a function of seed and epoch alone, and able to begin in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """All clips once an epoch in random order, or, balanced, as many draws that make every class as frequent.

    A sampler with a generator of its own would have to save that with every checkpoint; this one has no state but the
    epoch. Of several processes each has the same order and Accelerate deals its batches out.

    Args:
        labels: (clips,) the class of every clip.
        seed: of the order.
        recordings: (clips,) of every clip, for a balanced order: clips are drawn with replacement, by
            `balanced_shares`.
        power: of a recording's clips, by which it is drawn.
    """

    def __init__(self, labels: np.ndarray, seed: int, recordings: np.ndarray | None = None, power: float = 0.5) -> None:
        self.seed = seed
        self._size = len(labels)
        self._probabilities: np.ndarray | None = None
        if recordings is not None:
            self._probabilities = balanced_shares(labels, recordings, power)
        self._epoch = 0
        self._skipped = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def skip(self, epoch: int, clips: int) -> None:
        """Begin that epoch, and no other, after so many clips."""
        self._skipped = (epoch, clips)

    def __len__(self) -> int:
        return self._size - self._start

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(self._epoch)[self._start :].tolist())

    def order(self, epoch: int) -> np.ndarray:
        """Positions (clips,) of the clips in the order of an epoch, for all processes together."""
        generator = np.random.default_rng([self.seed, epoch])
        if self._probabilities is None:
            return generator.permutation(self._size)
        return generator.choice(self._size, size=self._size, p=self._probabilities)

    @property
    def _start(self) -> int:
        epoch, clips = self._skipped
        return clips if epoch == self._epoch else 0


def balanced_shares(labels: np.ndarray, recordings: np.ndarray, power: float = 0.5) -> np.ndarray:
    """Shares (clips,), 1 in all, by which every class weighs the same, and in it a recording by a power of its clips.

    Two hundred slices of one recording are not two hundred recordings.

    Args:
        labels: (clips,) the class of every clip.
        recordings: (clips,) what it was cut from.
        power: 0: every recording weighs the same; 0.5: by the root of its clips; 1: every clip weighs the same.
    """
    of_clip = [f"{label} {recording}" for label, recording in zip(labels, recordings, strict=True)]
    _, place, clips = np.unique(of_clip, return_inverse=True, return_counts=True)
    share = 1 / clips[place].astype(float) ** (1 - power)
    share /= np.bincount(labels, weights=share)[labels]
    return share / share.sum()


def step_seed(seed: int, epoch: int, step: int, process: int) -> int:
    """Seed of what a network draws in one step, as dropout does: no state to save, the same however a run got there."""
    return int(np.random.SeedSequence([seed, epoch, step, process]).generate_state(1, np.uint64)[0] >> 1)
