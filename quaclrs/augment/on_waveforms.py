"""Waveform augmentations of a batch in PyTorch, on any device: mixup, gain, cuts, shifts; noise is in `noise.py`.

Clips are a list of waveforms at their true lengths, so an augmentation touches only the clips it acts on and never the
silence that later pads them.
"""

from __future__ import annotations

import numpy as np
import torch

from ..errors import QuaclrsError
from .augmentation import Augmentation, Range, number, number_range
from .draws import Draws

Clips = list[torch.Tensor]

#: Bounds of options: beyond them numbers overflow, or nothing is left to hear.
MOST_DECIBELS, MOST_SECONDS = 100.0, 3600.0


class Mixup(Augmentation):
    """Mix a clip with another one and its label with the other's (Zhang et al., 2018; the paper's MoCo, A.2).

    The other clip is drawn from the data set by the clip's own draws, not taken from the batch, so that a run repeats
    with any batch size. It is scaled to the clip's level first, so the share of the label is the share of the sound.

    Args:
        alpha: of the Beta(alpha, alpha) distribution that the clip's share is drawn from, above 0.
        probability: of mixing a clip.
    """

    name = "mixup"

    def __init__(self, alpha: float = 0.2, probability: float = 1.0) -> None:
        super().__init__(probability)
        self.alpha = number(self.name, "alpha", alpha, above=0)

    def shares(self, draws: Draws) -> np.ndarray:
        """The share of each clip's own sound and label, float64 (clips,) in [0, 1]; 1 where it is not mixed."""
        return np.where(draws.chosen(self.name, self.probability), draws.beta(f"{self.name}.share", self.alpha), 1.0)

    def partners(self, draws: Draws, n_clips: int) -> np.ndarray:
        """Draw the clip of the data set's `n_clips` that each one is mixed with, int64 (clips,)."""
        return draws.integers(f"{self.name}.partner", n_clips)

    def forward(self, clips: Clips, draws: Draws, partners: Clips) -> Clips:
        shares = self.shares(draws)
        return [
            clip if share == 1 else _mix(clip, other, share)
            for clip, other, share in zip(clips, partners, shares.tolist(), strict=True)
        ]


def _mix(clip: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    level, other_level = root_mean_square(clip), root_mean_square(other)
    mixed = clip.new_zeros(max(len(clip), len(other)))
    mixed[: len(clip)] = share * clip
    # Nothing can be brought to the level of silence, nor silence to a level: it is mixed in as it is.
    scale = torch.where((level > 0) & (other_level > 0), level / other_level.clamp(min=1e-20), torch.ones_like(level))
    mixed[: len(other)] += (1 - share) * scale * other
    return mixed


def root_mean_square(clip: torch.Tensor) -> torch.Tensor:
    """Level of a waveform (samples,): a scalar tensor on its device."""
    return torch.linalg.vector_norm(clip) / len(clip) ** 0.5


class Gain(Augmentation):
    """Make a clip louder or softer.

    The log-mel is relative to the clip's loudest cell, so gain alone leaves it as it is; with `clip`, what exceeds full
    scale is cut off, and the distortion of an overdriven microphone is heard.

    Args:
        decibels: 20 log10 of the factor.
        clip: whether samples are limited to [-1, 1] afterwards.
        probability: of acting on a clip.
    """

    name = "gain"

    def __init__(self, decibels: Range = (-6.0, 6.0), clip: bool = False, probability: float = 1.0) -> None:
        super().__init__(probability)
        self.decibels = number_range(self.name, "decibels", decibels, low=-MOST_DECIBELS, high=MOST_DECIBELS)
        if not isinstance(clip, bool):
            raise QuaclrsError(f"{self.name} clip is {clip!r}; it must be true or false")
        self.clip = clip

    def forward(self, clips: Clips, draws: Draws) -> Clips:
        factors = 10 ** (self.draw("decibels", draws) / 20)
        clips = list(clips)
        for row in self.rows(draws):
            louder = clips[row] * float(factors[row])
            clips[row] = louder.clamp_(-1, 1) if self.clip else louder
        return clips


class RandomCut(Augmentation):
    """Keep a random part of a clip, so that a length says nothing of a class.

    Args:
        seconds: length of the part; a clip that is shorter stays whole.
        sampling_rate: of the clips, Hz.
        probability: of acting on a clip.
    """

    name = "random_cut"

    def __init__(self, seconds: Range = (1.0, 4.0), probability: float = 1.0, *, sampling_rate: int) -> None:
        super().__init__(probability)
        self.seconds = number_range(self.name, "seconds", seconds, above=0, high=MOST_SECONDS)
        self.sampling_rate = sampling_rate

    def forward(self, clips: Clips, draws: Draws) -> Clips:
        lengths = np.maximum(1, np.round(self.draw("seconds", draws) * self.sampling_rate)).astype(np.int64)
        surplus = np.maximum(0, np.array([len(clip) for clip in clips]) - lengths)
        starts = draws.integers(f"{self.name}.start", surplus + 1)
        clips = list(clips)
        for row in self.rows(draws):
            clips[row] = clips[row][starts[row] : starts[row] + lengths[row]]
        return clips


class TimeShift(Augmentation):
    """Move a clip in its window; what leaves the window is lost and nothing wraps around.

    At least half of the clip, or of the window where the clip is longer, stays: a label without its sound teaches
    nothing. A short clip that `pad_mode` repeats has no end to lose; it begins elsewhere in its turn.

    Args:
        seconds: later (above 0) or earlier.
        sampling_rate: of the clips, Hz.
        probability: of acting on a clip.
    """

    name = "time_shift"

    def __init__(self, seconds: Range = (-0.5, 0.5), probability: float = 1.0, *, sampling_rate: int) -> None:
        super().__init__(probability)
        self.seconds = number_range(self.name, "seconds", seconds, low=-MOST_SECONDS, high=MOST_SECONDS)
        self.sampling_rate = sampling_rate

    def shift(self, offsets: np.ndarray, lengths: np.ndarray, n_samples: int, draws: Draws) -> np.ndarray:
        """Move clips of these lengths: new offsets for these, in samples, int64 (clips,)."""
        moved = np.round(self.draw("seconds", draws, neutral=0.0) * self.sampling_rate).astype(np.int64)
        kept = (np.minimum(lengths, n_samples) + 1) // 2
        return np.where(moved == 0, offsets, np.clip(offsets + moved, kept - lengths, n_samples - kept))


def choose_offsets(lengths: np.ndarray, n_samples: int, random: bool, draws: Draws) -> np.ndarray:
    """Offsets of clips in a window of `n_samples`, int64 (clips,); below 0 where the window begins within the clip.

    Args:
        lengths: of the clips, in samples.
        n_samples: of the window.
        random: anywhere that keeps the whole clip, or the whole window, in use; otherwise short clips begin at 0 and
            long ones are cut from the centre, as the feature extractor does.
        draws: of random places.
    """
    missing = n_samples - np.asarray(lengths)
    if random:
        return np.sign(missing) * draws.integers("placement", np.abs(missing) + 1)
    return np.where(missing >= 0, 0, -(-missing // 2))


def place(clips: Clips, offsets: np.ndarray, n_samples: int, pad_mode: str) -> torch.Tensor:
    """Put clips into windows (clips, n_samples): silence around them, or with `repeat` short ones again and again."""
    placed = clips[0].new_zeros(len(clips), n_samples)
    for clip, offset, window in zip(clips, offsets.tolist(), placed, strict=True):
        if pad_mode == "repeat" and len(clip) < n_samples:
            skipped = -offset % len(clip)
            window.copy_(clip.repeat(-(-(n_samples + skipped) // len(clip)))[skipped : skipped + n_samples])
        else:
            begin, end = max(0, offset), min(n_samples, offset + len(clip))
            if begin < end:
                window[begin:end] = clip[begin - offset : end - offset]
    return placed
