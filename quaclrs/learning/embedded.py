"""Sounds on their way through an encoder: windows come in, embeddings go out, and few windows are held meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from ..audio import AudioError, Recording, read_part
from ..inference.windows import Window, read_windows
from ..models import LogMelConfig

#: A sound of at most this many windows is heard in one window, the loudest.
_IN_ONE = 1.5


@dataclass(frozen=True)
class Part:
    """A sound to embed: a file, or the seconds from `start` to `end` of it."""

    file: Path
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Embedded:
    """The windows of one sound.

    Attributes:
        starts: (windows,) seconds from the beginning of the file.
        levels: (windows,) root of the mean power, full scale 1; 0 where nothing is heard.
        vectors: (windows, hidden_size) float32 that half precision holds.
        duration: of the sound, in seconds.
        key: file of the cache that holds it; None without one.
    """

    starts: np.ndarray
    levels: np.ndarray
    vectors: np.ndarray
    duration: float
    key: Path | None = None


class Sound:
    """A sound on its way through the network: known already, or windows of which the first are decoded.

    Args:
        part: what it is.
        key: file of the cache.
        known: its embeddings, or what is wrong with it.
        first, rest: its windows.
    """

    def __init__(
        self,
        part: Part,
        key: Path | None,
        known: Embedded | AudioError | None = None,
        first: Sequence[Window] = (),
        rest: Iterable[Window] = (),
    ) -> None:
        self.part, self.key, self._known = part, key, known
        self.is_new = known is None
        self._to_come = chain(first, rest)
        self._windows, self._is_whole = 0, False  # how many are decoded, and whether these are all
        self._starts: list[float] = []
        self._levels: list[float] = []
        self._vectors: list[np.ndarray] = []
        self._duration = 0.0

    def windows(self) -> Iterator[Window]:
        """Decode it to its end; where that fails, the error takes the place of its embeddings."""
        try:
            for window in self._to_come:
                self._windows += 1
                self._duration = window.total or window.end
                yield window
        except (AudioError, OSError) as error:
            self._known = audio_error(self.part, error)
        self._is_whole = True

    def add(self, window: Window, vector: np.ndarray, silent_peak: float) -> None:
        """Take the embedding of the next window."""
        heard = window.peak(0, window.duration) > silent_peak
        self._starts.append(window.start)
        self._levels.append(float(np.sqrt(np.mean(np.square(window.waveform)))) if heard else 0.0)
        self._vectors.append(vector)

    def found(self) -> Embedded | AudioError | None:
        """Its embeddings, or what is wrong with it; None before all of its windows are embedded."""
        if self._known is not None or not self._is_whole or len(self._vectors) < self._windows:
            return self._known
        part = self.part
        seconds = part.end - part.start if part.start is not None and part.end is not None else self._duration
        return Embedded(np.array(self._starts), np.array(self._levels), np.stack(self._vectors), seconds, self.key)


def audio_error(part: Part, error: AudioError | OSError) -> AudioError:
    """The error of reading a sound, as one that names it."""
    if isinstance(error, AudioError):
        return error
    return AudioError(f"{part.file} cannot be read ({error.strerror}); check the file")


def windows_of_part(part: Part, front_end: LogMelConfig) -> Iterator[Window]:
    """Windows of a sound one after the other, the last ending with it; the loudest alone of one hardly longer.

    Raises:
        AudioError, OSError: it cannot be read to its end.
    """
    duration, rate = front_end.duration, front_end.sampling_rate
    if part.start is not None and part.end is not None:
        for window in read_windows(_cut(part), rate, duration, duration, full=True):
            yield Window(window.start + part.start, window.waveform, rate, window.total)
        return
    every = read_windows(part.file, rate, duration, duration, full=True)
    first = list(islice(every, 2))
    length = first[-1].total
    if len(first) > 1 and length is not None and length <= _IN_ONE * duration:
        first = [_loudest(first, duration, length)]
    yield from first
    yield from every


def _cut(part: Part) -> Recording:
    """The seconds of a part, mono."""
    assert part.start is not None and part.end is not None
    sound = read_part(part.file, part.start, part.end)
    if not sound.duration:
        raise AudioError(f"{part.file} ends before a label of it begins at {part.start:g} s; correct the table")
    return sound


def _loudest(found: list[Window], duration: float, length: float) -> Window:
    """The window of greatest power in a sound that is a little longer than one; the first of equals."""
    first, last, rate = found[0], found[-1], found[0].sampling_rate
    whole = np.concatenate([first.waveform, last.waveform[len(last.waveform) - round((length - first.end) * rate) :]])
    powers = np.concatenate([[0.0], np.cumsum(np.square(whole, dtype=np.float64))])
    size = round(duration * rate)
    heard = powers[size:] - powers[:-size]
    begin = int(np.argmax(heard > heard.max() * (1 - 1e-9)))
    return Window(begin / rate, whole[begin : begin + size], rate, length)
