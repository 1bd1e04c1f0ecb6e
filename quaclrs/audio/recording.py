"""A whole sound, or its middle, in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import soxr

from ..models.waveforms import Channel
from .carriers import SoundSource
from .errors import AudioError
from .mixing import Mixer
from .stream import SoundStream, open_sound

#: Frames that are read at a time.
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Recording:
    """Decoded audio: `waveform` float32 (channels, samples) in about [-1, 1], at `sampling_rate` Hz.

    `name` is what messages call it.
    """

    waveform: np.ndarray
    sampling_rate: int
    name: str = "the recording"

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.waveform.shape[1] / self.sampling_rate

    def mono(self, sampling_rate: int, channel: Channel | None = None) -> np.ndarray:
        """One channel at `sampling_rate` Hz: float32 (samples,), at least one sample.

        Args:
            sampling_rate: Hz.
            channel: which, as of `Mixer`: the mean where absent, or the louder of channels that cancel in it.

        Raises:
            AudioError: there is no such channel.
        """
        waveform = Mixer(self.sampling_rate, channel, self.name)(self.waveform)
        if sampling_rate == self.sampling_rate:
            return waveform
        resampled = soxr.resample(waveform, self.sampling_rate, sampling_rate)
        return resampled if resampled.size else waveform[:1]


def read_recording(file: SoundSource, name: str | None = None, longest: float = math.inf) -> Recording:
    """Decode a sound at its own rate and channel count; an `AudioWarning` says what of it is lost.

    Args:
        file: a path, the bytes of a file, or an open binary file.
        name: what to call it in a message; the path where absent.
        longest: of a longer file only this many seconds are decoded, those in its middle.

    Raises:
        AudioError: the file is missing, empty, cannot be decoded, or holds no usable sample.
    """
    with open_sound(file, name) as sound:
        samples = _seek_middle(sound, longest)
        if samples is None:  # it has to be read from the beginning, to know where its end is
            sound.rewind()
            frames = sum(len(block) for block in sound.blocks(_BLOCK, warn=False))
            sound.rewind()
            samples = _cut_middle(sound, frames, longest)
        if len(samples) == 0:
            raise AudioError(f"{sound.name} holds no samples; record it or copy it from its source again")
        return Recording(samples.T, sound.sampling_rate, sound.name)


def load_audio(
    file: SoundSource, sampling_rate: int, name: str | None = None, channel: Channel | None = None
) -> np.ndarray:
    """Decode, mix to mono and resample: float32 (samples,) at `sampling_rate` Hz, at the recording's true length."""
    return read_recording(file, name).mono(sampling_rate, channel)


def _seek_middle(sound: SoundStream, longest: float) -> np.ndarray | None:
    """The middle `longest` seconds, or all of a shorter file, without reading what lies before; None where it fails."""
    if sound.frames is None:
        return None
    first, last = _middle(sound, sound.frames, longest)
    if first and not sound.seek(first):
        return None
    samples = list(sound.blocks(_BLOCK, frames=last - first if first else None, warn=False))
    count = sum(map(len, samples))
    if (first and (count < last - first or sound.is_damaged)) or (
        not first and count > longest * sound.sampling_rate + 1
    ):
        return None
    sound.warn_of_losses(to_end=first == 0)
    return np.concatenate([*samples, np.zeros((0, sound.channels), dtype=np.float32)])


def _cut_middle(sound: SoundStream, frames: int, longest: float) -> np.ndarray:
    """The middle `longest` seconds of the `frames` that can be read, float32 (frames, channels)."""
    first, last = _middle(sound, frames, longest)
    kept = [np.zeros((0, sound.channels), dtype=np.float32)]
    begin = 0
    for block in sound.blocks(_BLOCK):
        kept.append(block[max(0, first - begin) : max(0, last - begin)].copy())
        begin += len(block)
    return np.concatenate(kept)


def _middle(sound: SoundStream, frames: int, longest: float) -> tuple[int, int]:
    surplus = max(0, frames - math.ceil(min(longest * sound.sampling_rate, frames)))
    # As many frames go on both sides, so that the middle stays where it is.
    return surplus // 2, frames - surplus // 2
