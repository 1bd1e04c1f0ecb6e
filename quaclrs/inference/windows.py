"""Cut a sound of any kind and length into the windows that a model hears, read piece by piece."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soxr

from ..audio import (
    BLOCK,
    AudioError,
    AudioWarning,
    Mixer,
    Recording,
    SoundSource,
    SoundStream,
    find_audio_files,
    is_encoded,
    is_one_sound,
    open_sound,
    read_mono,
    unpack_sound,
)
from ..errors import QuaclrsError
from ..models import LogMelConfig
from ..models.waveforms import Channel, channels_of, check_rate

#: How much of a sound that is longer than the model's window is heard: all of it, or the window in its middle.
Crop = Literal["whole", "centre"]
CROPS: tuple[Crop, ...] = ("whole", "centre")

#: Seconds that are decoded at a time, or those of a window if it is longer; fewer where they are more than `BLOCK`
#: samples.
_SECONDS = 10.0

#: Seconds that are decoded beside the window in the middle, so that resampling has its neighbourhood.
MARGIN = 1.0

#: Seconds below which a sound is told to be short: a network hears it many times over, which is another sound.
_SHORTEST = 0.1

#: Level of digital silence, dBFS: below what 24 bits can hold.
_FLOOR = -150.0

#: Seconds between two windows at least, about a frame of the front end: nothing changes in less.
SHORTEST_HOP = 0.01


@dataclass(frozen=True)
class Window:
    """A part of a recording that is classified at once.

    Attributes:
        start: seconds from the beginning of the recording.
        waveform: float32 mono (samples,), shorter where the recording ends.
        sampling_rate: Hz.
        total: seconds of the recording; None but for its last window, as they are not known before.
        before: float32 mono (samples,), what lies before the last window and is heard with it, where it is shorter.
    """

    start: float
    waveform: np.ndarray
    sampling_rate: int
    total: float | None = None
    before: np.ndarray | None = None

    @property
    def heard(self) -> np.ndarray:
        """Samples that a model hears of it, (samples,). A rest of some milliseconds alone would be another sound."""
        return self.waveform if self.before is None else np.concatenate([self.before, self.waveform])

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.waveform) / self.sampling_rate

    @property
    def end(self) -> float:
        """Seconds from the beginning of the recording to the window's end."""
        return self.start + self.duration

    def part(self, begin: float, end: float) -> np.ndarray:
        """The samples between two times, in seconds from the window's start."""
        return self.waveform[round(begin * self.sampling_rate) : round(end * self.sampling_rate)]

    def peak(self, begin: float, end: float) -> float:
        """Largest absolute sample between two such times."""
        return float(np.abs(self.part(begin, end)).max(initial=0))


def level_of(power: float) -> float:
    """Level, dB relative to full scale, of samples of this mean power; that of digital silence is `_FLOOR`."""
    return max(_FLOOR, 10 * math.log10(power)) if power else _FLOOR


def windows_of(
    sound: Any,
    front_end: LogMelConfig,
    sampling_rate: float | None = None,
    channel: Channel | None = None,
    crop: Crop = "whole",
    name: str | None = None,
) -> Iterator[Window]:
    """A sound as a model hears it: windows one after the other, of which the last ends with the sound.

    Args:
        sound, sampling_rate, channel: as `AudioClassifier.predict` takes them.
        front_end: of the model, whose rate and length the windows have; that of a shorter sound is shorter.
        crop: `centre` for the window in the middle alone.
        name: what to call a file in a message; its path where absent.

    Raises:
        QuaclrsError: an unknown crop, or a sound that cannot be decoded or holds no usable sample.
    """
    if crop not in CROPS:
        raise QuaclrsError(f"crop is {crop!r}; choose {' or '.join(CROPS)}")
    if crop == "centre":
        yield middle_of(sound, front_end, sampling_rate, channel, name)
        return
    opened, duration = file_or_recording(sound, front_end, sampling_rate), front_end.duration
    yield from read_windows(opened, front_end.sampling_rate, duration, duration, name, channel, full=True)


def middle_of(
    sound: Any,
    front_end: LogMelConfig,
    sampling_rate: float | None = None,
    channel: Channel | None = None,
    name: str | None = None,
) -> Window:
    """The window in the middle of a sound, or all of a shorter one; arguments and errors as of `windows_of`."""
    rate, longest = front_end.sampling_rate, front_end.duration + MARGIN
    opened = file_or_recording(sound, front_end, sampling_rate)
    if isinstance(opened, Recording):
        recording = opened.middle(longest)
        waveform = recording.mono(rate, channel)
    else:
        recording = read_mono(opened, name, longest, channel)
        waveform = recording.mono(rate)
    total = len(waveform) / rate + recording.cut_frames / recording.sampling_rate
    waveform = front_end.cut(waveform)
    return Window((total - len(waveform) / rate) / 2, waveform, rate, total)


def several_sounds(sound: Any) -> list[Any] | None:
    """List the sounds of a list, or the sound files below a folder; None for a single sound.

    Raises:
        QuaclrsError: the folder has no sound files.
    """
    if isinstance(sound, (str, os.PathLike)) and os.path.isdir(sound):  # never raises, whatever the name
        if files := find_audio_files(Path(sound)):
            return [str(file) for file in files]
        raise QuaclrsError(f"{sound} holds no sound files; give a folder with WAV, FLAC, Ogg or MP3 files")
    return list(sound) if isinstance(sound, (list, tuple)) and not is_one_sound(sound) else None


def file_or_recording(
    sound: Any, front_end: LogMelConfig, sampling_rate: float | None = None
) -> SoundSource | Recording:
    """The file that has to be decoded, or the samples of anything else; arguments and errors as of `windows_of`."""
    if isinstance(sound, Recording):
        return sound
    sound, rate = unpack_sound(sound, sampling_rate)
    if is_encoded(sound):
        return sound
    if rate is None:
        told = f"samples without a sampling_rate are taken for {front_end.sampling_rate} Hz; pass sampling_rate"
        warnings.warn(told, AudioWarning, stacklevel=2)
    hertz: Any = front_end.sampling_rate if rate is None else rate
    try:
        if hertz != front_end.sampling_rate:
            check_rate(hertz)
        return Recording(channels_of(sound), hertz, "the waveform")
    except ValueError as error:
        raise AudioError(str(error)) from error


def read_windows(
    sound: SoundSource | Recording,
    sampling_rate: int,
    window: float,
    hop: float,
    name: str | None = None,
    channel: Channel | None = None,
    full: bool = False,
) -> Iterator[Window]:
    """Windows of a sound at another rate, one every `hop` seconds until the end is in one.

    At most a window and some seconds of a file are in memory, whatever its length.

    Args:
        sound: a file as libsndfile reads it, or a recording in memory.
        sampling_rate: of the windows, in Hz.
        window: seconds; the last window may be shorter, and is then heard with what lies before it.
        hop: seconds, from `SHORTEST_HOP` to `window`.
        name: what to call the file in a message; its path where absent.
        channel: which is heard, as of `Mixer`.
        full: let the last window begin earlier in place of being shorter; only that of a sound below `window` is.

    Raises:
        QuaclrsError: window or hop is out of range, or the sound cannot be decoded, or holds no usable sample.
    """
    if not 0 < hop <= window < float("inf"):
        raise QuaclrsError(f"window {window:g} s and hop {hop:g} s must be above 0, and hop at most window")
    if hop < SHORTEST_HOP:
        raise QuaclrsError(
            f"hop {hop:g} s is shorter than {SHORTEST_HOP:g} s, in which nothing changes; give a longer one"
        )
    samples, step = round(window * sampling_rate), hop * sampling_rate
    held = np.zeros(0, dtype=np.float32)  # from sample `first` of the recording on
    first = number = 0
    for block in _mono_blocks(sound, sampling_rate, max(window, _SECONDS), name, channel):
        held = np.concatenate([held, block])
        # A window that reaches the end exactly is the last, so one sample more must be there.
        while first + len(held) > round(number * step) + samples:
            start = round(number * step) - first
            yield Window(number * hop, held[start : start + samples].copy(), sampling_rate)
            number += 1
        used = round(number * step) - first - samples  # the last window may reach back
        if used > 0:
            held, first = held[used:], first + used
    end, start = first + len(held), round(number * step)
    if full and end > samples:
        yield Window((end - samples) / sampling_rate, held[-samples:], sampling_rate, end / sampling_rate)
    else:
        before = held[max(0, len(held) - samples) : start - first]
        yield Window(number * hop, held[start - first :], sampling_rate, end / sampling_rate, before)


def _mono_blocks(
    sound: SoundSource | Recording, sampling_rate: int, seconds: float, name: str | None, channel: Channel | None
) -> Iterator[np.ndarray]:
    """Mix and resample a sound, `seconds` at a time; it must have a sample."""
    opened: AbstractContextManager[Recording | SoundStream] = (
        nullcontext(sound) if isinstance(sound, Recording) else open_sound(sound, name)
    )
    with opened as stream:
        mix = Mixer(stream.sampling_rate, channel, stream.name)
        resample = soxr.ResampleStream(stream.sampling_rate, sampling_rate, 1, dtype="float32")
        mono, made = np.zeros(0, dtype=np.float32), 0
        for block in stream.blocks(max(1, min(round(seconds * stream.sampling_rate), BLOCK // stream.channels))):
            mono = mix(block.T)
            ready = mono if stream.sampling_rate == sampling_rate else resample.resample_chunk(mono)
            made += len(ready)
            yield ready
        if not len(mono):
            raise AudioError(f"{stream.name} holds no samples; record it or copy it from its source again")
        if stream.sampling_rate != sampling_rate:
            ready = resample.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
            made += len(ready)
            # A sound of a few samples can vanish on the way down; its first sample stands for it.
            yield ready if made else mono[:1]
        if made < _SHORTEST * sampling_rate:
            told = f"lasts {max(1, made) / sampling_rate:.2g} s; what is said of so little sound is a guess"
            warnings.warn(f"{stream.name} {told}", AudioWarning, stacklevel=2)
