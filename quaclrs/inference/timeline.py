"""The scores of a recording's windows, which may overlap, as segments with times."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np

from ..errors import QuaclrsError
from ..models import LogMelConfig
from .sirens import SIREN, siren_score
from .windows import Window

#: What a moment is called in which nothing can be heard.
SILENCE = "silence"

#: What a sound is called of which no class's score reaches what is asked for.
UNSURE = "unsure"


@dataclass(frozen=True)
class Segment:
    """A stretch of one label: `start` and `end` in seconds, and the label's mean score in [0, 1]."""

    start: float
    end: float
    label: str
    score: float


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
        scored: windows in order, each with its probabilities (classes,).
        labels: class names.
        hop: as for `read_windows`.
        min_score: a moment whose best mean score is below it is `unsure`.
        silent_peak: a moment without a larger sample is `silence`.
        group_sirens: answer `siren` where no vehicle stands out (see `siren_score`).

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
        end, last = window.end, window
        while len(answers) < number:
            answers.append(heard.popleft().answer(labels, min_score, group_sirens))
        # A moment that the window holds half of, or more, is heard in it; the first one always is.
        for place in range(max(1, round(window.duration / hop))):
            if place == len(heard):
                heard.append(_Moment(window.peak(place * hop, (place + 1) * hop) <= silent_peak))
            heard[place].add(probabilities)
    if last is not None and heard[-1].silent:  # the last moment reaches to the end, past its whole hop
        begin = (len(answers) + len(heard) - 1) * hop - last.start
        heard[-1].silent = last.peak(begin, last.duration) <= silent_peak
    answers += [moment.answer(labels, min_score, group_sirens) for moment in heard]
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

    def answer(self, labels: Sequence[str], min_score: float, group_sirens: bool) -> tuple[str, float]:
        """The best label by the mean score, and that score."""
        if self.silent:
            return SILENCE, 1.0
        scores = np.asarray(self.scores) / self.windows
        best = int(scores.argmax())
        label, score = labels[best], float(scores[best])
        if group_sirens and (siren := siren_score(labels, scores)) is not None:
            label, score = SIREN, siren
        return label if score >= min_score else UNSURE, score
