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

#: Smallest and largest of the options that are numbers: what lies beyond takes gigabytes, or does not fit float32.
_RANGES = {
    "sampling_rate": (1, 768_000),
    "duration": (1e-6, 1e6),
    "n_fft": (2, 1 << 15),
    "hop_length": (1, 1 << 24),
    "n_mels": (1, 512),
    "f_min": (0, 384_000),
    "f_max": (1, 384_000),
    "amin": (1e-30, 1e6),
    "top_db": (1e-3, 1e4),
    "image_size": (1, 1 << 13),
    "win_length": (1, 1 << 15),
    "power": (1, 2),
    "image_width": (1, 1 << 15),
    "silence_dbfs": (-1000, -1e-3),
}

#: Samples of a clip (six minutes at 48 kHz), cells of its log-mel and pixels of its picture.
_MOST_SAMPLES, _MOST_CELLS, _MOST_PIXELS = 1 << 24, 1 << 24, 1 << 22


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
            again and again, so that its length does not show, nor silence (`silence_dbfs`) before and after it.
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
                raise ValueError(
                    f"log-mel option {name} is {repr(getattr(self, name))[:40]}; choose {' or '.join(choices)}"
                )
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in _CHOICES or (value is None and field.default is None):
                continue
            whole, (least, most) = str(field.type).startswith("int"), _RANGES[field.name]
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise ValueError(
                    f"log-mel option {field.name} is {repr(value)[:40]}; it must be a {'whole ' * whole}number"
                )
            if not least <= value <= most:
                raise ValueError(
                    f"log-mel option {field.name} is {str(value)[:40]}; it must be from {least:g} to {most:g}"
                )
        if not 1 <= self.n_samples <= _MOST_SAMPLES:
            raise ValueError(
                f"log-mel option duration is {self.duration} s; it must last a sample at least, and {_MOST_SAMPLES:,} "
                "at most"
            )
        if self.n_mels * (self.n_samples // self.hop_length + 1) > _MOST_CELLS:
            raise ValueError(f"log-mel option hop_length is {self.hop_length}; the log-mel would be too large")
        if math.prod(self.picture_size) > _MOST_PIXELS:
            raise ValueError(f"log-mel options image_size and image_width make more than {_MOST_PIXELS:,} pixels")
        if self.n_fft % 2:  # the filterbank's bins reach half the sampling rate exactly, as an even transform's do
            raise ValueError(f"log-mel option n_fft is {self.n_fft}; it must be even")
        if self.win_length is not None and self.win_length > self.n_fft:
            raise ValueError(f"log-mel option win_length is {self.win_length}; n_fft is {self.n_fft} only")
        # Bands of no width have infinite height.
        if not 0 <= self.f_min <= self.f_max - 1 or self.f_max > self.sampling_rate / 2:
            raise ValueError(
                f"log-mel options f_min {self.f_min:g} and f_max {self.f_max:g} Hz must satisfy "
                f"0 <= f_min < f_max <= {self.sampling_rate / 2:g}, half the sampling rate, and be 1 Hz apart"
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
        waveform = self.cut(self.trim(waveform))
        missing = self.n_samples - len(waveform)
        return np.resize(waveform, self.n_samples) if self.pad_mode == "repeat" else np.pad(waveform, (0, missing))

    def cut(self, waveform: np.ndarray) -> np.ndarray:
        """The `n_samples` in the middle of a waveform (samples,), or all of a shorter one."""
        start = max(0, len(waveform) - self.n_samples) // 2
        return waveform[start : start + self.n_samples]

    def trim(self, waveform: np.ndarray) -> np.ndarray:
        """A waveform (samples,) without the silence before and after its sound, where `pad_mode` is `repeat`.

        Archives fill short sounds up with digital silence. It would tell the archive, as a clip's length would.
        """
        audible = np.abs(waveform) > self.silent_peak
        if self.pad_mode != "repeat" or not audible.any():
            return waveform
        return waveform[audible.argmax() : len(waveform) - audible[::-1].argmax()]

    def heard_at(self, sampling_rate: int) -> LogMelConfig:
        """The same bands of waveforms of a higher rate, a whole multiple of this one, without resampling.

        Window, transform and hop last as long as before, so bins lie at the same frequencies. Those above the old
        band are never looked at, and nothing folds down from them: filtering and resampling first gives the same.

        Raises:
            ValueError: the rate is not a multiple of this one.
        """
        factor, rest = divmod(sampling_rate, self.sampling_rate)
        if rest or factor < 1:
            raise ValueError(f"sampling_rate {sampling_rate} is not a multiple of {self.sampling_rate} Hz")
        return dataclasses.replace(
            self,
            sampling_rate=sampling_rate,
            n_fft=self.n_fft * factor,
            hop_length=self.hop_length * factor,
            win_length=self.win_length and self.win_length * factor,
        )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LogMelConfig:
        """Build from a saved dictionary; a `ValueError` names options that do not exist."""
        if not isinstance(values, Mapping):
            raise ValueError(f"log_mel is {type(values).__name__}; it must map options of the front end to values")
        unknown = sorted(set(map(str, values)) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"unknown log-mel option {', '.join(unknown)[:200]}")
        return cls(**values)
