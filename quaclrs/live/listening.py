"""Label a stream of samples: the last seconds go through the model at every hop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soxr

from ..errors import QuaclrsError
from ..inference.classifier import AudioClassifier
from ..inference.timeline import SILENCE, best_label
from ..inference.windows import level_of
from ..models.waveforms import check_rate
from .hysteresis import Hysteresis


@dataclass(frozen=True)
class ListeningOptions:
    """Options of hearing a stream.

    Attributes:
        window: seconds that are heard at once; the model's own where absent.
        hop: seconds from one answer to the next.
        min_score, group_sirens: as of `AudioClassifier.predict`.
        patience, clear: as of `Hysteresis`.
    """

    window: float | None = None
    hop: float = 0.5
    min_score: float = 0.0
    group_sirens: bool = False
    patience: int = 2
    clear: float = 0.5


@dataclass(frozen=True)
class LiveLabel:
    """Label of a moment.

    Attributes:
        seconds: from the beginning of the stream to the end of what was heard.
        label: that holds, after hysteresis.
        score: of the best label of this moment's window, in [0, 1].
        level: of the last hop, dBFS.
        begins: seconds at which `label` began, where it takes over now; else None.
    """

    seconds: float
    label: str
    score: float
    level: float
    begins: float | None = None


class Listener:
    """Hears one stream of mono samples, block by block; its memory does not grow.

    Args:
        classifier: that hears.
        sampling_rate: of the stream, in Hz.
        options: how.

    Raises:
        QuaclrsError: the rate, the window or the hop is out of range.
    """

    def __init__(
        self, classifier: AudioClassifier, sampling_rate: int, options: ListeningOptions | None = None
    ) -> None:
        self.classifier, self.options = classifier, options or ListeningOptions()
        self.sampling_rate = sampling_rate
        longest = classifier.log_mel_config.duration
        window = longest if self.options.window is None else self.options.window
        if not 0 < self.options.hop <= window <= longest:
            raise QuaclrsError(
                f"window {window:g} s and hop {self.options.hop:g} s must be above 0, hop at most window, and window "
                f"at most the model's {longest:g} s"
            )
        try:
            check_rate(sampling_rate)
        except ValueError as error:
            raise QuaclrsError(str(error)) from error
        rate = classifier.sampling_rate
        self._resample = soxr.ResampleStream(sampling_rate, rate, 1, dtype="float32") if sampling_rate != rate else None
        self._longest, self._hop = round(window * rate), max(1, round(self.options.hop * rate))
        self._held = np.zeros(0, dtype=np.float32)  # the window, and what came after it
        self._new = 0  # samples in it that were not answered for
        self._hops = 0
        self._state = Hysteresis(self.options.patience, self.options.clear)

    def __call__(self, block: np.ndarray) -> Iterator[LiveLabel]:
        """Take the next samples (n,), float32; an answer for every hop that they complete."""
        ready = block if self._resample is None else self._resample.resample_chunk(block)
        self._held = np.concatenate([self._held, np.nan_to_num(ready, posinf=0.0, neginf=0.0)])
        self._new += len(ready)
        while self._new >= self._hop:
            end = len(self._held) - self._new + self._hop
            window = self._held[max(0, end - self._longest) : end]
            self._new -= self._hop
            yield self._answer(window)
        self._held = self._held[-(self._longest + self._new) :]

    def _answer(self, window: np.ndarray) -> LiveLabel:
        self._hops += 1
        seconds, last = self._hops * self.options.hop, window[-self._hop :]
        level = level_of(float(np.dot(last, last)) / len(last))
        label, score = self._label(window, last)
        begins = None
        if self._state(label, score):
            begins = max(0.0, seconds - self._state.since * self.options.hop)
        assert self._state.label is not None
        return LiveLabel(seconds, self._state.label, score, level, begins)

    def _label(self, window: np.ndarray, last: np.ndarray) -> tuple[str, float]:
        log_mel = self.classifier.log_mel_config
        if log_mel.is_silent(last):
            return SILENCE, 1.0
        scores = self.classifier.classify(log_mel.fit(window)[None])[0]
        return best_label(self.classifier.labels, scores, self.options.min_score, self.options.group_sirens)
