"""Read a sound from front to back, past damage, piece by piece: what is there is heard, and what is lost is said."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import soundfile

from ..models.waveforms import MOST_CHANNELS, check_rate
from .carriers import SoundSource, name_of
from .errors import AudioError, AudioWarning
from .headers import share_lost
from .losses import Losses
from .source import Source

#: Frames that are decoded at a time: of MP3, of everything else, and of FLAC at damage. libsndfile gives nothing of a
#: unit that holds damage, so up to so many good frames are lost with it.
_MPEG_UNIT, _UNIT, _SMALL_UNIT = 4608, 1 << 16, 64

#: More frames than any file has: what libsndfile gives for a length that it does not know.
_MOST_FRAMES = 1 << 48

#: Errors of MPEG audio, a kilobyte each, and of other formats, two at each damage, after which the rest counts as lost:
#: going on takes longer than anybody waits.
_MOST_MPEG_ERRORS, _MOST_ERRORS = 2048, 256

#: Reads of the file at a time in search of MPEG audio or FLAC, and how often that may be too few: of FLAC, and of MPEG.
_MOST_READS, _MOST_SEARCHES, _MOST_MPEG_SEARCHES = 4096, 4, 32

#: Places behind damage at which MPEG audio is tried to begin.
_MOST_TRIES = 256

#: Samples a second over all channels: 64 channels at 65 kHz, or 4 at 1 MHz.
_MOST_PER_SECOND = 1 << 22

#: Seconds by which decoders of Ogg differ in where a sound begins and ends.
_OGG_TOLERANCE = 0.05

#: Bytes at the end of an MP3 that may be tags, and that may be sound which its header does not count.
_TAGS = 4096


class SoundStream:
    """A sound that is open for reading; made by `open_sound`.

    Attributes:
        name: what messages call it.
        sampling_rate: Hz.
        channels: how many.
        frames: samples of each channel, as the header says; None where it does not know.
    """

    def __init__(self, source: Source) -> None:
        self.name, self._source = source.name, source
        self._decoder = source.decoder()
        self.sampling_rate: int = self._decoder.samplerate
        self.channels: int = self._decoder.channels
        self.frames: int | None = self._decoder.frames if self._decoder.frames < _MOST_FRAMES else None
        self._refuse_absurd()
        self._begin()

    def _refuse_absurd(self) -> None:
        """Refuse a rate and channels that no recording has: seconds of it would fill the memory."""
        try:
            check_rate(self.sampling_rate)
        except ValueError as error:
            self.close()
            raise AudioError(f"{self.name}: {error}; state the true one in its header") from error
        if self.channels > MOST_CHANNELS or self.channels * self.sampling_rate > _MOST_PER_SECOND:
            self.close()
            raise AudioError(
                f"{self.name} has {self.channels} channels of {self.sampling_rate:,} Hz; {MOST_CHANNELS} are heard at "
                f"most, and {_MOST_PER_SECOND:,} samples a second: export the channels that are to be heard"
            )

    def _begin(self) -> None:
        self._place = 0  # frames from the beginning to what is read next
        self._gap = 0  # frames of silence that stand for damage and are to be read next
        self._lost = 0  # frames of damage so far
        self._losses = Losses(self.name, self.sampling_rate)
        self._errors = self._tries = self._source.patience.ended = 0
        self._unit = _MPEG_UNIT if self._source.is_mpeg else _UNIT

    def close(self) -> None:
        """Close the decoder."""
        self._decoder.close()

    @property
    def is_damaged(self) -> bool:
        """True where damage was met since reading began."""
        return self._lost > 0 or self._errors > 0

    def rewind(self) -> None:
        """Begin again at the first frame."""
        self._reopen()
        self._begin()

    def seek(self, frame: int) -> bool:
        """Go on at a frame, counted from the beginning; False where the file or its format does not allow it."""
        try:
            with self._source.quiet():
                found = self._decoder.may_seek and self._decoder.seek(frame) == frame
        except (soundfile.SoundFileError, ValueError):  # ValueError: libmpg123 loses count
            return False
        if found:
            self._place = frame
        return found

    def skip(self, frames: int) -> None:
        """Read on without hearing so many frames."""
        unheard = np.empty((min(frames, _UNIT), self.channels), dtype=np.float32)
        while frames > 0 and (count := self._read(unheard[:frames])):
            frames -= count

    def blocks(self, size: int, frames: int | None = None, warn: bool = True) -> Iterator[np.ndarray]:
        """Read on: float32 (frames, channels) of `size` frames, the last shorter.

        Silence stands for samples that are NaN, infinite or beyond all scale, and for a hole in a FLAC file.

        Args:
            size: frames of a block.
            frames: stop after so many.
            warn: say what was lost when the end is reached.

        Raises:
            AudioError: none of its samples is usable.
        """
        left = frames
        while left is None or left > 0:
            block = np.empty((size if left is None else min(size, left), self.channels), dtype=np.float32)
            filled = 0
            while filled < len(block) and (count := self._read(block[filled:])):
                filled += count
            if filled:
                yield self._losses.cleaned(block[:filled])
            left = None if left is None else left - filled
            if filled < len(block):
                break
        self._losses.refuse_unusable()
        if warn:
            self.warn_of_losses(to_end=frames is None)

    def warn_of_losses(self, to_end: bool) -> None:
        """Say what was lost of what was read; `to_end` where that is all of the file."""
        lost = self._lost + (self._lacking() if to_end else 0)
        for line in self._losses.lines(lost, self.is_damaged, self._source.mended if to_end else None):
            warnings.warn(line, AudioWarning, stacklevel=2)

    def _read(self, out: np.ndarray) -> int:
        """Fill `out` (frames, channels) as far as it goes; the frames that were written, 0 at the end."""
        if self._gap:
            count = min(len(out), self._gap)
            out[:count] = 0
            self._gap -= count
            return count
        while True:
            failed = False
            try:
                with self._source.quiet(), self._searching():
                    count = len(self._decoder.read(out=out[: self._unit]))
            except (soundfile.SoundFileError, ValueError):
                count, failed = 0, True
            if count:
                self._place += count
                return count
            self._errors += failed
            if not (self._pass_mpeg(failed) if self._source.is_mpeg else failed and self._pass_damage()):
                return 0
            if self._gap:
                return self._read(out)

    def _pass_damage(self) -> bool:
        """Take what lies between the last unit and the damage, then what lies behind it; False where nothing does."""
        if self._errors > _MOST_ERRORS or self._source.patience.ended > _MOST_SEARCHES:
            return False
        if self._unit == _SMALL_UNIT:
            return self._pass_hole()
        self._unit = _SMALL_UNIT
        self._reopen()
        if self.frames is None or not self.seek(self._place):
            self._reopen()
            passed = 0
            while passed < self._place:  # units that were read before, in the same order
                passed += len(self._decoder.read(min(self._place - passed, _UNIT))) or self._place
        return True

    def _pass_hole(self) -> bool:
        """Find where the sound goes on after damage, ever further on; the time between is silent."""
        self._unit = _UNIT
        step = _SMALL_UNIT
        while self.frames is not None and self._place + step < self.frames:
            if self._source.patience.ended > _MOST_SEARCHES:
                return False
            with contextlib.suppress(AudioError, soundfile.SoundFileError, ValueError), self._searching():
                self._reopen()
                if self._decoder.seek(self._place + step) == self._place + step and len(self._decoder.read(1)):
                    self._decoder.seek(self._place + step)
                    self._gap = step
                    self._place += step
                    self._lost += step
                    return True
            step *= 2
        return False

    def _pass_mpeg(self, failed: bool) -> bool:
        """Go on after damage in an MP3, or after the frames that its header counts; times after it may be early."""
        # libmpg123 gives up after a kilobyte of damage, and goes on from there when asked again.
        if failed and self._errors <= min(self._source.size // 1024, _MOST_MPEG_ERRORS):
            return True
        place = self._source.place
        while not failed and place + _TAGS < self._source.size and self._tries < _MOST_TRIES:
            if self._source.patience.ended > _MOST_MPEG_SEARCHES:
                return False
            self._tries += 1
            start = self._source.find_mpeg_frame(place)
            if start is None:
                return False
            with contextlib.suppress(AudioError), self._searching():
                decoder = self._source.decoder(start)
                if (decoder.samplerate, decoder.channels) == (self.sampling_rate, self.channels):
                    self._decoder.close()
                    self._decoder = decoder
                    return True
                decoder.close()
            place = start + 1
        return False

    def _searching(self) -> AbstractContextManager[None]:
        """Bound the reads of what has to be found among other bytes."""
        found = self._source.is_mpeg or self._source.head[:4] == b"fLaC"
        return self._source.patience.of(_MOST_READS if found else None)

    def _reopen(self) -> None:
        self._decoder.close()
        self._decoder = self._source.decoder()

    def _lacking(self) -> int:
        """Frames that the header names and the file lacks, once its end was reached."""
        if self._source.head[:4] == b"OggS":
            lacking = round(self._source.ogg_seconds * self.sampling_rate) - self._place
            return lacking if lacking > _OGG_TOLERANCE * self.sampling_rate else 0
        mended = self._source.mended
        cut = max(0, mended.stated / mended.there - 1) if mended else share_lost(self._decoder.extra_info)
        lacking = (self.frames or 0) - self._place + round(cut * self._place)
        # The count in an MP3's header is off by the encoder's delay and padding.
        if self._source.is_mpeg and (not self._source.counts_frames or lacking < _MPEG_UNIT):
            return 0
        if lacking > 0 and self._source.head[:4] == b"fLaC":
            lacking -= self._source.first_flac_sample
        return max(0, lacking)


@contextmanager
def open_sound(file: SoundSource, name: str | None = None) -> Iterator[SoundStream]:
    """A path, the bytes of a file, or an open binary file, opened for reading piece by piece.

    Args:
        file: as above; an open file stays open.
        name: what messages call it; its path where absent.

    Raises:
        AudioError: the file is missing, unreadable, empty or no audio.
    """
    source = Source(file, name or name_of(file))
    try:
        stream = SoundStream(source)
        try:
            yield stream
        finally:
            stream.close()
    finally:
        source.close()
