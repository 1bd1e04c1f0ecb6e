"""The one dataclass of front-end parameters (paper, Table 1). It imports no torch, so that light processes can read it.

This file travels with every pushed model, so it imports nothing from the rest of the package.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

PAD_MODES = ("zeros", "repeat")

#: What the options that are words may be.
_CHOICES = {"pad_mode": PAD_MODES, "mel_scale": ("slaney", "htk"), "mel_norm": ("slaney", "none")}


@dataclass(frozen=True)
class LogMelConfig:
    """Everything between a waveform and the picture that a backbone sees; the defaults are the paper's Table 1.

    Options that the paper leaves alone, from `win_length` on, are for networks that were trained on another front end;
    they mean what librosa's of the same names do.

    Args:
        sampling_rate: Hz.
        duration: seconds of every clip: longer ones are cut from the centre, shorter ones padded.
        n_fft: length of the FFT and, without `win_length`, of the Hann window, in samples.
        hop_length: samples from one frame to the next.
        n_mels: mel bands.
        f_min: lower edge of the lowest band, Hz.
        f_max: upper edge of the highest band, Hz.
        amin: smallest mel power that is told apart; a clip that never exceeds it is silent.
        top_db: decibels kept below the loudest cell; they are scaled to [0, 1].
        image_size: height and, without `image_width`, width of the picture that the backbone sees, in pixels.
        pad_mode: how a shorter clip is filled up: `zeros` puts silence after it (paper, section 3), `repeat` plays it
            again and again, so that its length does not show.
        win_length: length of the Hann window in samples, in the middle of the FFT's.
        power: what of the spectrum the bands weigh: its power (2), or its magnitude (1), squared after that.
        mel_scale: `slaney`, or `htk` for O'Shaughnessy's formula.
        mel_norm: `slaney` for bands of one area, `none` for bands of one height.
        image_width: width of the picture in pixels.
        silence_dbfs: a clip whose largest sample is at most this, in dB relative to full scale, is silent: a classifier
            finds no class likelier than another. One step of 16-bit audio is -90.3 dBFS. The log-mel, whose levels are
            relative to the clip's own maximum, does not change.
    """

    sampling_rate: int = 48_000
    duration: float = 4.0
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    f_min: float = 20.0
    f_max: float = 8000.0
    amin: float = 1e-10
    top_db: float = 80.0
    image_size: int = 224
    pad_mode: str = "zeros"
    win_length: int | None = None
    power: int = 2
    mel_scale: str = "slaney"
    mel_norm: str = "slaney"
    image_width: int | None = None
    silence_dbfs: float = -90.0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"log-mel option {name} is {getattr(self, name)!r}; choose {' or '.join(choices)}")
        for field in dataclasses.fields(self):
            value, lowest = getattr(self, field.name), "0 or more" if field.name == "f_min" else "above 0"
            if field.name in {*_CHOICES, "silence_dbfs"} or (value is None and field.default is None):
                continue
            whole = str(field.type).startswith("int")
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise ValueError(f"log-mel option {field.name} is {value!r}; it must be a {'whole ' * whole}number")
            if not 0 <= value < math.inf or (value == 0 and lowest != "0 or more"):
                raise ValueError(f"log-mel option {field.name} is {value}; it must be {lowest} and finite")
        level = self.silence_dbfs
        if isinstance(level, bool) or not isinstance(level, (int, float)) or not -math.inf < level < 0:
            raise ValueError(f"log-mel option silence_dbfs is {level!r}; it must be a number below 0")
        if self.n_samples == 0:
            raise ValueError(f"log-mel option duration is {self.duration} s; it must last a sample at least")
        if self.n_fft % 2:  # the filterbank's bins reach half the sampling rate exactly, as an even transform's do
            raise ValueError(f"log-mel option n_fft is {self.n_fft}; it must be even")
        if self.win_length is not None and self.win_length > self.n_fft:
            raise ValueError(f"log-mel option win_length is {self.win_length}; n_fft is {self.n_fft} only")
        if self.power not in (1, 2):
            raise ValueError(f"log-mel option power is {self.power}; it must be 1 or 2")
        if not 0 <= self.f_min < self.f_max <= self.sampling_rate / 2:
            raise ValueError(
                f"log-mel options f_min {self.f_min:g} and f_max {self.f_max:g} Hz must satisfy "
                f"0 <= f_min < f_max <= {self.sampling_rate / 2:g}, half the sampling rate"
            )

    @property
    def n_samples(self) -> int:
        """Samples of a clip of `duration` seconds."""
        return round(self.duration * self.sampling_rate)

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of the picture in pixels."""
        return self.image_size, self.image_width or self.image_size

    @property
    def n_bins(self) -> int:
        """FFT bins that reach `f_max`; the filterbank is zero in all others."""
        return min(int(self.f_max * self.n_fft / self.sampling_rate) + 1, self.n_fft // 2 + 1)

    @property
    def silent_peak(self) -> float:
        """Largest absolute sample of a silent clip, as a share of full scale."""
        return 10 ** (self.silence_dbfs / 20)

    def is_silent(self, waveforms: np.ndarray) -> np.ndarray:
        """True for each of the waveforms (..., samples) in which nothing can be heard."""
        return np.abs(waveforms).max(axis=-1, initial=0.0) <= self.silent_peak

    def fit(self, waveform: np.ndarray) -> np.ndarray:
        """Cut a waveform (samples,) from its centre, or fill it up by `pad_mode`, to exactly `n_samples`."""
        missing = self.n_samples - len(waveform)
        if missing <= 0:
            start = -missing // 2
            return waveform[start : start + self.n_samples]
        return np.resize(waveform, self.n_samples) if self.pad_mode == "repeat" else np.pad(waveform, (0, missing))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LogMelConfig:
        """Build from a saved dictionary; a `ValueError` names options that do not exist."""
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"unknown log-mel option {', '.join(unknown)}")
        return cls(**values)
