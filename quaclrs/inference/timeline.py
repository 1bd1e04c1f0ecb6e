"""A long recording as windows that overlap, read piece by piece, and their scores as segments with times."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import soxr

from ..audio import BLOCK, AudioError, Mixer, SoundSource, name_of, open_sound
from ..errors import QuaclrsError
from ..models import LogMelConfig
from ..models.waveforms import Channel

#: What a moment is called in which nothing can be heard.
SILENCE = "silence"

#: What a sound is called of which no class's score reaches what is asked for.
UNSURE = "unsure"

#: Seconds that are decoded at a time, fewer where they are more than `BLOCK` samples.
_SECONDS = 10.0

#: Seconds between two windows at least, about a frame of the front end: nothing changes in less.
SHORTEST_HOP = 0.01


@dataclass(frozen=True)
class Segment:
    """A stretch of one label: `start` and `end` in seconds, and the label's mean score in [0, 1]."""

    start: float
    end: float
    label: str
    score: float


@dataclass(frozen=True)
class Window:
    """A part of a recording that is classified at once.

    Attributes:
        start: seconds from the beginning of the recording.
        waveform: float32 mono (samples,), shorter where the recording ends.
        sampling_rate: Hz.
    """

    start: float
    waveform: np.ndarray
    sampling_rate: int

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.waveform) / self.sampling_rate

    def peak(self, begin: float, end: float) -> float:
        """Largest absolute sample between two times, in seconds from the window's start."""
        heard = self.waveform[round(begin * self.sampling_rate) : round(end * self.sampling_rate)]
        return float(np.abs(heard).max(initial=0))


def read_windows(
    file: SoundSource,
    sampling_rate: int,
    window: float,
    hop: float,
    name: str | None = None,
    channel: Channel | None = None,
) -> Iterator[Window]:
    """Windows of a sound file at another rate, one every `hop` seconds until the end is in one.

    At most a window and some seconds are in memory, whatever the length of the file.

    Args:
        file: anything that libsndfile reads.
        sampling_rate: of the windows, in Hz.
        window: seconds; the file's last window may be shorter.
        hop: seconds, from `SHORTEST_HOP` to `window`.
        name: what to call the file in a message; its path where absent.
        channel: which is heard, as of `Mixer`.

    Raises:
        QuaclrsError: window or hop is out of range, or the file cannot be decoded, or holds no usable sample.
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
    for block in _mono_blocks(file, sampling_rate, name, channel):
        held = np.concatenate([held, block])
        # A window that reaches the end exactly is the last, so one sample more must be there.
        while first + len(held) > round(number * step) + samples:
            start = round(number * step) - first
            yield Window(number * hop, held[start : start + samples].copy(), sampling_rate)
            number += 1
        used = round(number * step) - first
        if used > 0:
            held, first = held[used:], first + used
    if first + len(held) == 0:
        raise AudioError(f"{name or name_of(file)} holds no samples; record it or copy it from its source again")
    yield Window(number * hop, held, sampling_rate)


def label_windows(
    scored: Iterable[tuple[Window, np.ndarray]],
    labels: Sequence[str],
    hop: float,
    min_score: float = 0.0,
    silent_peak: float = LogMelConfig().silent_peak,
) -> list[Segment]:
    """Segments of one label from the scores of overlapping windows.

    Args:
        scored: windows in order, each with its probabilities (classes,).
        labels: class names.
        hop: as for `read_windows`.
        min_score: a moment whose best mean score is below it is `unsure`.
        silent_peak: a moment without a larger sample is `silence`.

    Returns:
        Segments without gaps from 0 to the end of the recording; edges between them are multiples of `hop`.
    """
    if not 0 <= min_score <= 1:
        raise QuaclrsError(f"min_score is {min_score}; it must be from 0 to 1")
    answers: list[tuple[str, float]] = []  # of the moments, stretches of `hop` seconds, that no window to come holds
    heard: deque[_Moment] = deque()  # the moments after them
    end = 0.0
    last: Window | None = None
    for number, (window, probabilities) in enumerate(scored):
        end, last = window.start + window.duration, window
        while len(answers) < number:
            answers.append(heard.popleft().answer(labels, min_score))
        # A moment that the window holds half of, or more, is heard in it; the first one always is.
        for place in range(max(1, round(window.duration / hop))):
            if place == len(heard):
                heard.append(_Moment(window.peak(place * hop, (place + 1) * hop) <= silent_peak))
            heard[place].add(probabilities)
    if last is not None and heard[-1].silent:  # the last moment reaches to the end, past its whole hop
        begin = (len(answers) + len(heard) - 1) * hop - last.start
        heard[-1].silent = last.peak(begin, last.duration) <= silent_peak
    answers += [moment.answer(labels, min_score) for moment in heard]
    edges = [*(moment * hop for moment in range(len(answers))), end]
    segments: list[Segment] = []
    first = 0
    for label, run in groupby(answers, key=itemgetter(0)):
        scores = [score for _, score in run]
        segments.append(Segment(edges[first], edges[first + len(scores)], label, float(np.mean(scores))))
        first += len(scores)
    return segments


@dataclass
class _Moment:
    """The sum of the scores (classes,) of the windows that hold a moment, and how many they are."""

    silent: bool
    scores: np.ndarray | float = 0.0
    windows: int = 0

    def add(self, scores: np.ndarray) -> None:
        self.scores, self.windows = self.scores + scores, self.windows + 1

    def answer(self, labels: Sequence[str], min_score: float) -> tuple[str, float]:
        """The best label by the mean score, and that score."""
        if self.silent:
            return SILENCE, 1.0
        scores = np.asarray(self.scores) / self.windows
        best = int(scores.argmax())
        return labels[best] if scores[best] >= min_score else UNSURE, float(scores[best])


def _mono_blocks(
    file: SoundSource, sampling_rate: int, name: str | None, channel: Channel | None
) -> Iterator[np.ndarray]:
    with open_sound(file, name) as sound:
        mix = Mixer(sound.sampling_rate, channel, sound.name)
        resample = soxr.ResampleStream(sound.sampling_rate, sampling_rate, 1, dtype="float32")
        for block in sound.blocks(max(1, min(round(_SECONDS * sound.sampling_rate), BLOCK // sound.channels))):
            mono = mix(block.T)
            yield mono if sound.sampling_rate == sampling_rate else resample.resample_chunk(mono)
        if sound.sampling_rate != sampling_rate:
            yield resample.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
