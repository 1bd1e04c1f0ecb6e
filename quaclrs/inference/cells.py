"""Cells of a sound in time and frequency that can be made quieter one by one, the same for every model.

A cell is a sixteenth of the model's band, in mels, and a sixteenth of its window. Gains act on the short-time spectrum
of the waveform, so a model of several front ends hears what was taken away.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from ..models import LogMelConfig

#: Bands, equally wide in mels, and steps in time.
BANDS, STEPS = 16, 16

#: How much quieter a cell is that counts as deleted, dB.
DELETED = 40.0


class Cells:
    """The cells of waveforms of one length.

    Args:
        front_end: of the model: its band, rate and length.
        device: of the waveforms.
    """

    def __init__(self, front_end: LogMelConfig, device: torch.device | str = "cpu") -> None:
        self.samples = front_end.n_samples
        self._size = 2 ** round(math.log2(front_end.sampling_rate * 0.04))  # about 40 ms
        frequencies = np.linspace(0, front_end.sampling_rate / 2, self._size // 2 + 1)
        mels = 2595 * np.log10(1 + frequencies / 700)
        low, high = (2595 * math.log10(1 + f / 700) for f in (front_end.f_min, front_end.f_max))
        frames = 1 + self.samples // (self._size // 4)
        # Which cells each bin and each frame lies in; between two centres gains change linearly, in dB.
        self.of_bins = _weights((mels - low) / (high - low), BANDS).to(device)
        self.of_frames = _weights((np.arange(frames) + 0.5) / frames, STEPS).to(device)
        self._window = torch.hann_window(self._size, device=device)

    def with_gains(self, waveform: torch.Tensor, decibels: torch.Tensor) -> torch.Tensor:
        """A waveform (samples,) with each cell amplified: (batch, samples) for gains (batch, BANDS, STEPS) in dB."""
        hop = self._size // 4
        spectrum = torch.stft(waveform, self._size, hop, window=self._window, return_complex=True, pad_mode="constant")
        gains = torch.einsum("kb,nbs,ts->nkt", self.of_bins, decibels, self.of_frames)
        return torch.istft(spectrum * 10 ** (gains / 20), self._size, hop, window=self._window, length=self.samples)

    def grown(self, cells: torch.Tensor, front_end: LogMelConfig) -> torch.Tensor:
        """Values of cells (BANDS, STEPS) as large as a log-mel (n_mels, frames)."""
        size = (front_end.n_mels, 1 + front_end.n_samples // front_end.hop_length)
        return torch.nn.functional.interpolate(cells[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def _weights(places: np.ndarray, cells: int) -> torch.Tensor:
    """Shares (places, cells) of the two nearest cells; places are in [0, 1], those beyond belong to the last cell."""
    distance = np.abs(np.clip(places * cells - 0.5, 0, cells - 1)[:, None] - np.arange(cells))
    return torch.from_numpy(np.clip(1 - distance, 0, None)).float()
