"""Turn the scores of a recording's windows, which may overlap, into segments with times."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import numpy as np

from ..errors import QuaclrsError
from ..models import LogMelConfig
from .sirens import SIREN, siren_score
from .windows import Window

#: What a moment is called in which nothing can be heard.
SILENCE = "silence"

#: Label of a sound where no class's score reaches what is asked for.
UNSURE = "unsure"


@dataclass(frozen=True)
class Segment:
    """A stretch of one label: `start` and `end` in seconds, and the label's mean score in [0, 1]."""

    start: float
    end: float
    label: str
    score: float


@dataclass(frozen=True)
class Moment:
    """The shortest stretch that is labelled.

    Attributes:
        start, end: seconds.
        label: best one, or `SILENCE` or `UNSURE`.
        score: in [0, 1].
        power: sum of the squared samples that were heard of it.
        samples: how many they are.
    """

    start: float
    end: float
    label: str
    score: float
    power: float
    samples: int


def label_windows(
    scored: Iterable[tuple[Window, np.ndarray]],
    labels: Sequence[str],
    hop: float,
    min_score: float = 0.0,
    silent_peak: float = LogMelConfig().silent_peak,
    group_sirens: bool = False,
) -> list[Segment]:
    """Segments of one label from the scores of overlapping windows.

    Args:
        scored, labels, hop, min_score, silent_peak, group_sirens: as of `label_moments`.

    Returns:
        Segments without gaps from 0 to the end of the recording; edges between them are multiples of `hop`.
    """
    moments = label_moments(scored, labels, hop, min_score, silent_peak, group_sirens)
    return [
        Segment(run[0].start, run[-1].end, label, float(np.mean([moment.score for moment in run])))
        for label, run in ((label, list(run)) for label, run in groupby(moments, key=attrgetter("label")))
    ]


def label_moments(
    scored: Iterable[tuple[Window, np.ndarray]],
    labels: Sequence[str],
    hop: float,
    min_score: float = 0.0,
    silent_peak: float = LogMelConfig().silent_peak,
    group_sirens: bool = False,
) -> Iterator[Moment]:
    """Stretches of `hop` seconds one by one, each labelled once no window to come can hold it.

    Args:
        scored: windows in the order of their starts, which are multiples of `hop`, each with its probabilities
            (classes,). A moment is heard in at least one of them.
        labels: class names.
        hop: seconds of a moment; the last one reaches to the recording's end.
        min_score: a moment whose best mean score is below it is `unsure`.
        silent_peak: a moment without a larger sample is `silence`.
        group_sirens: answer `siren` where no vehicle stands out (see `siren_score`).
    """
    if not 0 <= min_score <= 1:
        raise QuaclrsError(f"min_score is {min_score}; it must be from 0 to 1")
    heard: deque[_Heard] = deque()  # moments that a window to come may hold
    first = 0  # number of the first of them
    last: Window | None = None
    for window, probabilities in scored:
        last = window
        number = round(window.start / hop)
        for _ in range(number - first):
            moment = heard.popleft()
            yield moment.labelled(first * hop, (first + 1) * hop, labels, min_score, group_sirens)
            first += 1
        # A moment that the window holds half of, or more, is heard in it; the first one always is.
        for place in range(max(1, round(window.duration / hop))):
            if place == len(heard):
                heard.append(_Heard(window.part(place * hop, (place + 1) * hop), silent_peak))
            heard[place].add(probabilities)
    if last is None:
        return
    begin = (first + len(heard) - 1) * hop - last.start
    heard[-1].hear(last.part(begin, last.duration))  # the last moment reaches to the end, past its whole hop
    for moment in heard:
        end = last.end if moment is heard[-1] else (first + 1) * hop
        yield moment.labelled(first * hop, end, labels, min_score, group_sirens)
        first += 1


def best_label(labels: Sequence[str], scores: np.ndarray, min_score: float, group_sirens: bool) -> tuple[str, float]:
    """The answer for scores (classes,), and its score: the best class, `siren`, or `UNSURE` below `min_score`."""
    best = int(scores.argmax())
    label, score = labels[best], float(scores[best])
    if group_sirens and (siren := siren_score(labels, scores)) is not None:
        label, score = SIREN, siren
    return (label if score >= min_score else UNSURE), score


class _Heard:
    """Scores of a moment: how loud it is, and the sum of the scores (classes,) of the windows that hold it."""

    def __init__(self, samples: np.ndarray, silent_peak: float) -> None:
        self.silent_peak = silent_peak
        self.scores: np.ndarray | float = 0.0
        self.windows = 0
        self.hear(samples)

    def hear(self, samples: np.ndarray) -> None:
        self.silent = np.abs(samples).max(initial=0) <= self.silent_peak
        self.power, self.samples = float(np.dot(samples, samples)), len(samples)

    def add(self, scores: np.ndarray) -> None:
        self.scores, self.windows = self.scores + scores, self.windows + 1

    def labelled(self, start: float, end: float, labels: Sequence[str], min_score: float, group_sirens: bool) -> Moment:
        """The best label by the mean score, and that score."""
        label, score = SILENCE, 1.0
        if not self.silent:
            label, score = best_label(labels, np.asarray(self.scores) / self.windows, min_score, group_sirens)
        return Moment(start, end, label, score, self.power, self.samples)
