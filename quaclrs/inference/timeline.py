"""A long recording as windows that overlap, read piece by piece, and their scores as segments with times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import soxr

from ..audio import Mixer, SoundSource, name_of, open_sound
from ..errors import QuaclrsError
from ..models import LogMelConfig
from ..models.waveforms import Channel

#: What a moment is called in which nothing can be heard.
SILENCE = "silence"

#: What a sound is called of which no class's score reaches what is asked for.
UNSURE = "unsure"

#: Seconds that are decoded at a time.
_BLOCK = 10.0


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
        hop: seconds, at most `window`.
        name: what to call the file in a message; its path where absent.
        channel: which is heard, as of `Mixer`.

    Raises:
        QuaclrsError: window or hop is out of range, or the file cannot be decoded, or holds no usable sample.
    """
    if not 0 < hop <= window < float("inf"):
        raise QuaclrsError(f"window {window:g} s and hop {hop:g} s must be above 0, and hop at most window")
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
        raise QuaclrsError(f"{name or name_of(file)} holds no samples; record it or copy it from its source again")
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
    heard: list[list[np.ndarray]] = []  # of every moment, a stretch of `hop` seconds: the scores of its windows
    silent: list[bool] = []
    end = 0.0
    last: Window | None = None
    for number, (window, probabilities) in enumerate(scored):
        end, last = window.start + window.duration, window
        # A moment that the window holds half of, or more, is heard in it; the first one always is.
        for moment in range(number, number + max(1, round(window.duration / hop))):
            if moment == len(heard):
                begin = (moment - number) * hop
                heard.append([])
                silent.append(window.peak(begin, begin + hop) <= silent_peak)
            heard[moment].append(probabilities)
    if last is not None and silent[-1]:  # the last moment reaches to the end, past its whole hop
        silent[-1] = last.peak((len(heard) - 1) * hop - last.start, last.duration) <= silent_peak
    edges = [*(moment * hop for moment in range(len(heard))), end]
    answers = [_label_of(np.mean(s, axis=0), q, labels, min_score) for s, q in zip(heard, silent, strict=True)]
    segments: list[Segment] = []
    first = 0
    for label, run in groupby(answers, key=itemgetter(0)):
        scores = [score for _, score in run]
        segments.append(Segment(edges[first], edges[first + len(scores)], label, float(np.mean(scores))))
        first += len(scores)
    return segments


def _label_of(scores: np.ndarray, silent: bool, labels: Sequence[str], min_score: float) -> tuple[str, float]:
    if silent:
        return SILENCE, 1.0
    best = int(scores.argmax())
    return labels[best] if scores[best] >= min_score else UNSURE, float(scores[best])


def _mono_blocks(
    file: SoundSource, sampling_rate: int, name: str | None, channel: Channel | None
) -> Iterator[np.ndarray]:
    with open_sound(file, name) as sound:
        mix = Mixer(sound.sampling_rate, channel, sound.name)
        resample = soxr.ResampleStream(sound.sampling_rate, sampling_rate, 1, dtype="float32")
        for block in sound.blocks(max(1, round(_BLOCK * sound.sampling_rate))):
            mono = mix(block.T)
            yield mono if sound.sampling_rate == sampling_rate else resample.resample_chunk(mono)
        if sound.sampling_rate != sampling_rate:
            yield resample.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
