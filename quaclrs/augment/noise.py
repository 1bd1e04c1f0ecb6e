"""Noise at a drawn signal-to-noise ratio, in PyTorch on any device: Gaussian, and from background recordings.

Both cut their noise out of a bank that is made once: fresh Gaussian samples would cost as much as the front end.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from ..errors import QuaclrsError
from .augmentation import Augmentation, Range, number, number_range
from .draws import Draws, seeded_generator
from .noise_recordings import NoiseSplit, find_noise
from .on_waveforms import MOST_DECIBELS, Clips, root_mean_square

#: Samples of the Gaussian bank (8 MB): at 48 kHz 44 s, from which every clip takes a stretch at a place of its own.
_GAUSSIAN_SAMPLES = 1 << 21


class _Noise(Augmentation):
    """Adds a stretch of a bank, scaled to a ratio that holds over the clip at its true length."""

    bank: torch.Tensor

    def __init__(self, snr_db: Range, probability: float, recordings: list[np.ndarray]) -> None:
        super().__init__(probability)
        self.snr_db = number_range(self.name, "snr_db", snr_db, low=-MOST_DECIBELS, high=MOST_DECIBELS)
        self.register_buffer("bank", torch.from_numpy(np.concatenate(recordings)), persistent=False)
        self._ends = np.cumsum([len(recording) for recording in recordings])
        self._lengths = np.diff(self._ends, prepend=0)

    def forward(self, clips: Clips, draws: Draws) -> Clips:
        rows = self.rows(draws)
        ratios = 10 ** (-self.draw("snr_db", draws) / 20)
        chosen = draws.integers(f"{self.name}.recording", len(self._ends))
        surplus = np.maximum(0, self._lengths[chosen] - np.array([len(clip) for clip in clips]))
        starts = draws.integers(f"{self.name}.start", surplus + 1) + self._ends[chosen] - self._lengths[chosen]
        clips = list(clips)
        for row in rows.tolist():
            clip = clips[row]
            noise = self.bank[starts[row] : min(starts[row] + len(clip), self._ends[chosen[row]])]
            if len(noise) < len(clip):  # a recording shorter than the clip is played again
                noise = noise.repeat(-(-len(clip) // len(noise)))[: len(clip)]
            # Silence stays silent, and silent noise adds nothing.
            scale = root_mean_square(clip) * ratios[row] / root_mean_square(noise).clamp(min=1e-20)
            clips[row] = torch.addcmul(clip, noise, scale)
        return clips


class GaussianNoise(_Noise):
    """Add white Gaussian noise (paper: 5 and 15 dB).

    Args:
        snr_db: 10 log10 of the clip's mean power over the noise's, dB.
        probability: of acting on a clip.
    """

    name = "gaussian_noise"

    def __init__(self, snr_db: Range = (5.0, 15.0), probability: float = 1.0) -> None:
        generator = seeded_generator(0, self.name)
        super().__init__(snr_db, probability, [generator.standard_normal(_GAUSSIAN_SAMPLES, dtype=np.float32)])


class BackgroundNoise(_Noise):
    """Add noise from real recordings.

    Args:
        recordings: a folder or data set, as `find_noise` takes it.
        snr_db: 10 log10 of the clip's mean power over the noise's, dB.
        split: which side of the recordings; a robustness test takes `test`.
        max_minutes: of recordings that are held in memory (11.5 MB a minute at 48 kHz); which ones is
            drawn once and for all runs.
        probability: of acting on a clip.
        sampling_rate: of the clips, Hz.

    Raises:
        QuaclrsError: the recordings do not exist, or an option is out of range.
        AudioError: a recording cannot be decoded.
    """

    name = "background_noise"

    def __init__(
        self,
        recordings: str | os.PathLike[str] | Any = None,
        snr_db: Range = (0.0, 20.0),
        split: NoiseSplit = "train",
        max_minutes: float = 10.0,
        probability: float = 1.0,
        *,
        sampling_rate: int,
    ) -> None:
        if recordings is None or recordings == "":
            raise QuaclrsError(f"{self.name} needs recordings; name a folder (--background-noise DIR)")
        room = round(60 * sampling_rate * number(self.name, "max_minutes", max_minutes, above=0))
        found = find_noise(recordings, split)
        order = seeded_generator(0, self.name).permutation(len(found))
        kept: list[np.ndarray] = []
        for place in order.tolist():
            waveform = found[place].read(sampling_rate)
            if kept and len(waveform) > room:  # the sliver that fits would be drawn as often as a whole recording
                break
            if np.any(waveform):
                kept.append(waveform[:room])
                room -= len(kept[-1])
        if not kept:
            raise QuaclrsError(f"{self.name}: every recording of {recordings} is silent; give others")
        super().__init__(snr_db, probability, kept)
        self.split = split
        self.max_minutes = max_minutes
