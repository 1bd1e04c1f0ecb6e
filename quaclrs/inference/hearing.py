"""Sum up the windows of a sound to one answer, and tell how much of the sound was heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import QuaclrsError
from .sirens import SIREN, siren_score
from .timeline import SILENCE, UNSURE
from .windows import Window

Prediction = list[dict[str, Any]]


@dataclass(frozen=True)
class Heard:
    """Result of hearing one sound.

    Attributes:
        place: of the sound among those that were given, from 0.
        labels: class names.
        probabilities: (classes,) float64, in the order of `labels`: the mean over the windows in which something is
            heard, or over all where nothing is heard in any.
        seconds: of the sound that these windows span; 0 for silence.
        duration: of the whole sound, in seconds.
    """

    place: int
    labels: Sequence[str]
    probabilities: np.ndarray
    seconds: float
    duration: float

    def ranking(self, top_k: int | None = None, min_score: float = 0.0, group_sirens: bool = False) -> Prediction:
        """Labels and scores as `AudioClassifier.predict` returns them; arguments and errors as there."""
        refuse_ranking(top_k, min_score)
        if not self.seconds:
            return [{"label": SILENCE, "score": 1.0}]
        best = np.argsort(-self.probabilities, kind="stable")[:top_k]
        ranking = [{"label": self.labels[i], "score": float(self.probabilities[i])} for i in best]
        if group_sirens and (score := siren_score(self.labels, self.probabilities)) is not None:
            ranking = [{"label": SIREN, "score": score}, *ranking][:top_k]
        unsure = [{"label": UNSURE, "score": ranking[0]["score"]}] if ranking[0]["score"] < min_score else []
        return unsure + ranking


def refuse_ranking(top_k: int | None, min_score: float) -> None:
    """Raise a `QuaclrsError` for a number of classes or a score that is out of range."""
    if top_k is not None and top_k < 1:
        raise QuaclrsError(f"top-k is {top_k}; it must be 1 or more")
    if not 0 <= min_score <= 1:
        raise QuaclrsError(f"min_score is {min_score}; it must be from 0 to 1")


def refuse_non_finite(scores: np.ndarray) -> None:
    """Raise a `QuaclrsError` where a score is NaN or infinite."""
    if not np.isfinite(scores).all():
        raise QuaclrsError("scores of the model are NaN or infinite: its weights are damaged; give another --model")


class Tally:
    """Classifies windows batch by batch and sums them up, one sound after the other.

    Args:
        score: class probabilities (windows, classes) of a batch of windows.
        labels: class names.
        silent_peak: a window without a larger sample is silent.
    """

    def __init__(
        self, score: Callable[[Sequence[Window]], np.ndarray], labels: Sequence[str], silent_peak: float
    ) -> None:
        self.score, self.labels, self.silent_peak = score, labels, silent_peak
        self._begin(-1)

    def __call__(self, batch: Sequence[tuple[int, Window]]) -> Iterator[Heard]:
        """Add windows in order, each with the place of its sound; yields the sounds that are complete then.

        A sound whose windows break off is left out.
        """
        scores = self.score([window for _, window in batch])
        for (place, window), probabilities in zip(batch, scores, strict=True):
            if heard := self._add(place, window, probabilities):
                yield heard

    def _begin(self, place: int) -> None:
        self._place, self._seconds, self._end = place, 0.0, 0.0
        # Of windows in which something is heard, and of silent ones.
        self._sums, self._windows = [np.zeros(len(self.labels)), np.zeros(len(self.labels))], [0, 0]

    def _add(self, place: int, window: Window, probabilities: np.ndarray) -> Heard | None:
        if place != self._place:
            self._begin(place)
        silent = window.peak(0, window.duration) <= self.silent_peak
        self._sums[silent] += probabilities
        self._windows[silent] += 1
        if not silent:
            self._seconds += window.end - max(window.start, self._end)
            self._end = window.end
        if window.total is None:
            return None
        counted = self._windows[0] == 0
        mean = self._sums[counted] / self._windows[counted]
        return Heard(place, self.labels, mean, min(self._seconds, window.total), window.total)
