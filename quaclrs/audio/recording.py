"""A whole sound, or its middle, in memory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import soxr

from ..models.waveforms import Channel, check_rate
from .carriers import SoundSource
from .errors import AudioError
from .mixing import Mixer
from .stream import SoundStream, open_sound

#: Samples over all channels that are decoded at a time: five seconds of 32 channels at 48 kHz, so that as a rule a
#: clip is mixed as a whole.
BLOCK = 1 << 23

#: Samples that are held at once: of a recording over all its channels, or of one channel (eleven minutes at 48 kHz).
MOST_SAMPLES = 1 << 25


@dataclass(frozen=True)
class Recording:
    """Decoded audio.

    Attributes:
        waveform: float32 (channels, samples) in about [-1, 1].
        sampling_rate: Hz.
        name: what messages call it.
        cut_frames: samples of each channel that were left out on both sides together, where this is the middle.
    """

    waveform: np.ndarray
    sampling_rate: int
    name: str = "the recording"
    cut_frames: int = 0

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.waveform.shape[1] / self.sampling_rate

    @property
    def full_duration(self) -> float:
        """Seconds of all that this may be the middle of."""
        return self.duration + self.cut_frames / self.sampling_rate

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.waveform)

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """The samples as a `SoundStream` gives them: (frames, channels) of `size` frames, the last shorter."""
        for start in range(0, self.waveform.shape[1], size):
            yield self.waveform[:, start : start + size].T

    def middle(self, longest: float) -> Recording:
        """The `longest` seconds in its middle, as they are read of a file; a shorter recording as it is."""
        first, last = _middle(self.sampling_rate, self.waveform.shape[1], longest)
        cut = self.cut_frames + self.waveform.shape[1] - (last - first)
        return dataclasses.replace(self, waveform=self.waveform[:, first:last], cut_frames=cut)

    def mono(self, sampling_rate: int, channel: Channel | None = None) -> np.ndarray:
        """One channel at `sampling_rate` Hz: float32 (samples,), at least one sample.

        Args:
            sampling_rate: Hz.
            channel: which, as of `Mixer`: the mean where absent, or the louder of channels that cancel in it.

        Raises:
            AudioError: the sound lacks the channel, the rate is impossible, or the result is too long to be held.
        """
        waveform = Mixer(self.sampling_rate, channel, self.name)(self.waveform)
        if sampling_rate == self.sampling_rate:
            return waveform
        try:
            check_rate(self.sampling_rate)
        except ValueError as error:
            raise AudioError(f"{self.name}: {error}") from error
        if self.duration * sampling_rate > MOST_SAMPLES:
            raise AudioError(_too_long(self.name, MOST_SAMPLES / sampling_rate))
        resampled = soxr.resample(waveform, self.sampling_rate, sampling_rate)
        return resampled if resampled.size else waveform[:1]


def read_recording(file: SoundSource, name: str | None = None, longest: float = math.inf) -> Recording:
    """Decode a sound at its own rate and channel count; an `AudioWarning` says what of it is lost.

    Args:
        file: a path, the bytes of a file, or an open binary file.
        name: what to call it in a message; the path where absent.
        longest: of a longer file only this many seconds are decoded, those in its middle.

    Raises:
        AudioError: the file is missing, empty, cannot be decoded, holds no usable sample, or more than `MOST_SAMPLES`.
    """
    return _read(file, name, longest, lambda sound: lambda block: block)


def read_mono(
    file: SoundSource, name: str | None = None, longest: float = math.inf, channel: Channel | None = None
) -> Recording:
    """The same of one channel, mixed while it is decoded, so that many channels take no more memory than one.

    Args:
        file, name, longest: as of `read_recording`.
        channel: as of `Mixer`, which mixes `BLOCK` samples at a time.

    Raises:
        AudioError: as of `read_recording`, or the sound lacks the channel.
    """

    return _read(file, name, longest, lambda sound: _mixer_of(sound, channel))


def read_part(file: SoundSource, start: float, end: float, name: str | None = None) -> Recording:
    """Decode the seconds from `start` to `end` alone, mono, of a file of any length; fewer where it ends before.

    Args:
        file, name: as of `read_recording`.
        start, end: seconds from the beginning.

    Raises:
        AudioError: the file cannot be decoded, or the part is longer than what is held whole.
    """
    with open_sound(file, name) as sound:
        first, last = (round(second * sound.sampling_rate) for second in (start, end))
        if not sound.seek(first):
            sound.rewind()
            sound.skip(first)
        samples = _keep(sound, last - first, _mixer_of(sound, None))
        assert samples is not None  # no `most` was given
        return Recording(samples.T, sound.sampling_rate, sound.name)


def load_audio(
    file: SoundSource,
    sampling_rate: int,
    name: str | None = None,
    channel: Channel | None = None,
    longest: float = math.inf,
) -> np.ndarray:
    """Decode, mix to mono and resample: float32 (samples,) at `sampling_rate` Hz, at the recording's true length.

    The arguments are those of `read_mono`, and so are the errors.
    """
    return read_mono(file, name, longest, channel).mono(sampling_rate)


#: Makes (frames, channels) of (frames, channels).
_Mix = Callable[[np.ndarray], np.ndarray]


def _mixer_of(sound: SoundStream, channel: Channel | None) -> _Mix:
    mix = Mixer(sound.sampling_rate, channel, sound.name)
    return lambda block: mix(block.T)[:, None]


def _read(file: SoundSource, name: str | None, longest: float, mixer_of: Callable[[SoundStream], _Mix]) -> Recording:
    with open_sound(file, name) as sound:
        frames = sound.frames or 0
        samples = _seek_middle(sound, longest, mixer_of(sound))
        if samples is None:  # it has to be read from the beginning, to know where its end is
            sound.rewind()
            frames = sum(len(block) for block in sound.blocks(_block_of(sound)))
            sound.rewind()
            first, last = _middle(sound.sampling_rate, frames, longest)
            sound.skip(first)
            samples = _keep(sound, last - first, mixer_of(sound))
        if samples is None or len(samples) == 0:
            raise AudioError(f"{sound.name} holds no samples; record it or copy it from its source again")
        first, last = _middle(sound.sampling_rate, frames, longest)
        return Recording(samples.T, sound.sampling_rate, sound.name, frames - (last - first))


def _seek_middle(sound: SoundStream, longest: float, mix: _Mix) -> np.ndarray | None:
    """The middle `longest` seconds, or all of a shorter file, without reading what lies before; None where it fails."""
    if sound.frames is None and longest < math.inf:
        return None
    first, last = (0, 0) if sound.frames is None else _middle(sound.sampling_rate, sound.frames, longest)
    if first and not sound.seek(first):
        return None
    samples = _keep(sound, last - first, mix) if first else _keep(sound, None, mix, longest * sound.sampling_rate + 1)
    if samples is None or (first and (len(samples) < last - first or sound.is_damaged)):
        return None
    sound.warn_of_losses(to_end=first == 0)
    return samples


def _keep(sound: SoundStream, frames: int | None, mix: _Mix, most: float = math.inf) -> np.ndarray | None:
    """Read so many frames, or all, mixed: float32 (frames, channels); None where they are more than `most`."""
    kept = [np.zeros((0, 1), dtype=np.float32)]
    count = 0
    for block in sound.blocks(_block_of(sound), frames, warn=False):
        kept.append(mix(block))
        count += len(block)
        if count > most:
            return None
        held = kept[-1].shape[1]
        if count * held > MOST_SAMPLES:
            raise AudioError(_too_long(sound.name, MOST_SAMPLES / held / sound.sampling_rate))
    samples = np.empty((count, kept[-1].shape[1]), dtype=np.float32)
    while kept:  # each goes as soon as it is copied
        block = kept.pop()
        samples[count - len(block) : count] = block
        count -= len(block)
    return samples


def _block_of(sound: SoundStream) -> int:
    """Frames that are decoded at a time."""
    most = max(1, BLOCK // sound.channels)
    return most if sound.frames is None else min(most, sound.frames + (1 << 16))  # a header may count too few


def _too_long(name: str, seconds: float) -> str:
    return (
        f"{name} is longer than {seconds:.0f} s, too long to be held at once; cut it into shorter files, or make a "
        "timeline of it"
    )


def _middle(sampling_rate: float, frames: int, longest: float) -> tuple[int, int]:
    surplus = max(0, frames - math.ceil(min(longest * sampling_rate, frames)))
    # As many frames go on both sides, so that the middle stays where it is.
    return surplus // 2, frames - surplus // 2
