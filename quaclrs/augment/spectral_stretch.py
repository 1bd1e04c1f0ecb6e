"""Time stretch, pitch shift and equaliser on the way from waveform to log-mel, where no phase is needed.

A phase vocoder (Flanagan and Golden, 1966; librosa's) interpolates STFT magnitudes, invents phases to resynthesise a
waveform, and the front end throws the phases away again. Here the power spectrum is stretched or shifted as it is:

- time is stretched by interpolating between frames of mel power;
- pitch is shifted by reading the filterbank at the frequencies where the bins come to sound, which costs nothing.

On real clips the log-mels lie a median 2.3 to 2.6 dB from librosa's (`python -m benchmarks.augment`), about as far as
librosa's from its own with half the hop.
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import nn

from ..errors import QuaclrsError
from ..models.log_mel import LogMelSpectrogram
from . import librosa_reference as reference
from .augmentation import Augmentation, Range, number_range, whole_number
from .draws import Draws
from .interpolation import interpolate
from .on_waveforms import MOST_DECIBELS, Clips, place

Implementation = Literal["fast", "reference"]


class _StretchOrShift(Augmentation):
    """Base of stretch and shift: `reference` acts on waveforms, `fast` lets them pass and acts on the spectrum."""

    drawn: ClassVar[str]  # the option that is drawn for each clip

    def __init__(self, probability: float, implementation: Implementation) -> None:
        super().__init__(probability)
        if implementation not in get_args(Implementation):
            raise QuaclrsError(f"{self.name} implementation is {implementation!r}; choose fast or reference")
        self.implementation = implementation

    def _by_librosa(self, clip: np.ndarray, value: float) -> np.ndarray:
        raise NotImplementedError

    def forward(self, clips: Clips, draws: Draws) -> Clips:
        """Change waveforms by librosa; those of `fast` pass unchanged."""
        if self.implementation == "fast":
            return clips
        clips, values = list(clips), self.draw(self.drawn, draws)
        for row in self.rows(draws):
            made = self._by_librosa(clips[row].cpu().numpy(), float(values[row]))
            clips[row] = torch.from_numpy(np.ascontiguousarray(made)).to(clips[row].device)
        return clips


class TimeStretch(_StretchOrShift):
    """Play clips faster or slower at the same pitch (paper: rates 0.8 and 1.2).

    Args:
        rate: above 1 faster and shorter, below 1 slower and longer.
        probability: of acting on a clip.
        implementation: `fast` on the spectrum, or `reference`: librosa on the waveform, on the CPU.
    """

    name = "time_stretch"
    drawn = "rate"

    def __init__(
        self, rate: Range = (0.8, 1.2), probability: float = 1.0, implementation: Implementation = "fast"
    ) -> None:
        super().__init__(probability, implementation)
        self.rate = number_range(self.name, "rate", rate, above=0)

    def rates(self, draws: Draws) -> np.ndarray:
        """The rate of every clip, 1 where none is to be stretched on the spectrum."""
        return self.draw("rate", draws, neutral=1.0) if self.implementation == "fast" else np.ones(len(draws))

    def _by_librosa(self, clip: np.ndarray, value: float) -> np.ndarray:
        return reference.time_stretch(clip, value)


class PitchShift(_StretchOrShift):
    """Raise or lower the pitch at the same length (paper: 2 semitones up and down).

    Args:
        semitones: twelfths of an octave, above 0 up.
        probability: of acting on a clip.
        implementation: `fast` on the spectrum, or `reference`: librosa on the waveform, on the CPU.
        sampling_rate: of the clips, Hz.
    """

    name = "pitch_shift"
    drawn = "semitones"

    def __init__(
        self,
        semitones: Range = (-2.0, 2.0),
        probability: float = 1.0,
        implementation: Implementation = "fast",
        *,
        sampling_rate: int,
    ) -> None:
        super().__init__(probability, implementation)
        self.semitones = number_range(self.name, "semitones", semitones, low=-24, high=24)
        self.sampling_rate = sampling_rate

    def ratios(self, draws: Draws) -> np.ndarray:
        """The factor of every clip's frequencies, 1 where none is to be shifted on the spectrum."""
        if self.implementation != "fast":
            return np.ones(len(draws))
        return 2 ** (self.draw("semitones", draws, neutral=0.0) / 12)

    def _by_librosa(self, clip: np.ndarray, value: float) -> np.ndarray:
        return reference.pitch_shift(clip, self.sampling_rate, value)


class Equalizer(Augmentation):
    """Weigh frequencies by a smooth random curve, as another microphone or room would.

    FilterAugment (Nam et al., 2022) in its linear form, with knots at even distances.

    Args:
        decibels: gain at every knot of the curve; straight lines join them on the mel scale.
        n_knots: knots from the lowest to the highest mel band.
        probability: of acting on a clip.
    """

    name = "equalizer"

    def __init__(self, decibels: Range = (-6.0, 6.0), n_knots: int = 5, probability: float = 1.0) -> None:
        super().__init__(probability)
        self.decibels = number_range(self.name, "decibels", decibels, low=-MOST_DECIBELS, high=MOST_DECIBELS)
        self.n_knots = whole_number(self.name, "n_knots", n_knots, low=2)

    def forward(self, mel: torch.Tensor, draws: Draws) -> torch.Tensor:
        """Weigh mel power (clips, n_mels, frames)."""
        knots = draws.uniform(f"{self.name}.decibels", *self.decibels, size=(self.n_knots,))
        knots[~draws.chosen(self.name, self.probability)] = 0.0
        places = np.linspace(0, self.n_knots - 1, mel.shape[1])
        curves = np.stack([np.interp(places, np.arange(self.n_knots), of_clip) for of_clip in knots])
        return mel * torch.from_numpy(10 ** (curves / 10)).to(mel.device, torch.float32)[:, :, None]


def shifted_filterbanks(log_mel: LogMelSpectrogram, ratios: np.ndarray) -> torch.Tensor:
    """The front end's filterbank for spectra whose frequencies are to be multiplied: (clips, bins, n_mels).

    Row g holds the weights of what bin g becomes: those of bin `ratio * g`, between bins by linear interpolation. A
    ratio below 1 needs bins above `f_max`; they stop at half the sampling rate.
    """
    own, c = log_mel.filterbank, log_mel.config
    bins = np.arange(min(int(np.ceil(c.n_bins / ratios.min())) + 1, c.n_fft // 2 + 1))
    heard_at = torch.from_numpy(np.minimum(ratios[:, None] * bins, len(own))).to(own.device, torch.float32)
    lower = heard_at.long()
    silent_above = nn.functional.pad(own, (0, 0, 0, 2))
    return torch.lerp(silent_above[lower], silent_above[lower + 1], (heard_at - lower)[:, :, None])


def stretched_mel_power(
    log_mel: LogMelSpectrogram,
    clips: Clips,
    rates: np.ndarray,
    offsets: np.ndarray,
    filterbank: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mel power of clips played at other rates, in windows of the front end's length: (clips, n_mels, frames).

    Args:
        log_mel: the front end.
        clips: waveforms at their true lengths.
        rates: of each clip.
        offsets: where each stretched clip begins in its window, in samples, as `choose_offsets` gives it.
        filterbank: as in `LogMelSpectrogram.mel_power`.
    """
    c = log_mel.config
    before = -(-(c.n_fft // 2) // c.hop_length)  # frames that hear a clip before it begins, and after it ends
    margin = before * c.hop_length
    lengths = np.array([len(clip) for clip in clips])
    placed = place(clips, np.full(len(clips), margin), int(lengths.max()) + 2 * margin, c.pad_mode)
    mel = log_mel.mel_power(placed, filterbank)
    frames = np.arange(1 + c.n_samples // c.hop_length) * c.hop_length
    heard = rates[:, None] * (frames - offsets[:, None])  # sample of the clip that a frame is centred on
    if c.pad_mode == "repeat":  # clips that fill the window are not played again
        ends = lengths[:, None]
        inside = np.where((heard >= 0) & (heard <= ends), heard, -np.inf)
        heard = np.where(ends / rates[:, None] < c.n_samples, heard % ends, inside)
    return interpolate(mel, heard / c.hop_length + before)
