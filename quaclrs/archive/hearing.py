"""Turn a file of any length into segments, on all cores. A second is heard again only where the label changes.

A model hears 4 s at once. Windows one after the other cost least, but do not tell where in them one sound ends. So
where two neighbours differ, windows between them are heard too. A moment has the mean of the windows that hold it, as
in `quaclrs timeline`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import QuaclrsError
from ..inference.batches import batches, in_order
from ..inference.classifier import AudioClassifier
from ..inference.head import LinearHead
from ..inference.timeline import Moment, label_moments
from ..inference.windows import Window, level_of, read_windows
from ..models.waveforms import Channel
from .embeddings import EmbeddingWriter, embeddings_at
from .rows import LevelSegment, inside


@dataclass(frozen=True)
class HearingOptions:
    """Options of hearing files.

    Attributes:
        hop: seconds from one window to the next; the model's whole window where absent.
        refine: windows that are heard between two neighbours whose best labels differ.
        min_score, group_sirens, channel: as of `AudioClassifier.predict_timeline`.
        batch_size: windows that go through the model at once; on a CPU one at a time is fastest, as what the networks
            compute stays in its cache.
        embeddings: folder in which those of each file's windows are kept, or None.
    """

    hop: float | None = None
    refine: int = 1
    min_score: float = 0.0
    group_sirens: bool = False
    channel: Channel | None = None
    batch_size: int = 1
    embeddings: Path | None = None


class Ear:
    """Hears files with one classifier on the threads of an executor; several threads may ask it at once.

    Args:
        classifier: whose `score` may run in several threads, as ONNX Runtime's does.
        executor: what runs it.
        ahead: batches of one file that are decoded before their turn comes.
        options: how.

    Raises:
        QuaclrsError: the hop or the number of refinements is out of range.
    """

    def __init__(
        self, classifier: AudioClassifier, executor: Executor, ahead: int, options: HearingOptions | None = None
    ) -> None:
        self.classifier, self.executor, self.ahead = classifier, executor, max(1, ahead)
        self.options = options or HearingOptions()
        self.window = classifier.log_mel_config.duration
        self.hop = self.window if self.options.hop is None else self.options.hop
        if not 0 < self.hop <= self.window:
            raise QuaclrsError(f"hop is {self.hop:g} s; it must be above 0, and at most the model's {self.window:g} s")
        if not 0 <= self.options.refine <= 16:
            raise QuaclrsError(f"refine is {self.options.refine}; it must be from 0 to 16")
        self.moment = self.hop / (self.options.refine + 1)
        self._head: LinearHead | None = getattr(classifier, "head", None)
        if self.options.embeddings and self._head is None:
            raise QuaclrsError("--embeddings needs a model with a graph for ONNX Runtime; give another --model")

    def segments(self, file: Path, heard: Callable[[float], object] = lambda seconds: None) -> list[LevelSegment]:
        """Hear a file.

        Args:
            file: of any length; some windows of it are in memory.
            heard: is called with the seconds of each moment when it is done.

        Raises:
            AudioError: it cannot be decoded, or holds no usable sample.
        """
        folder, rate = self.options.embeddings, self.classifier.sampling_rate
        windows = read_windows(str(file), rate, self.window, self.hop, channel=self.options.channel)
        with embeddings_at(folder and folder / f"{inside(file)}.npy") as kept:
            moments = label_moments(
                self._refined(self._scored(windows, kept)),
                self.classifier.labels,
                self.moment,
                self.options.min_score,
                self.classifier.log_mel_config.silent_peak,
                self.options.group_sirens,
            )
            return [_joined(_counted(run, heard)) for _, run in groupby(moments, key=attrgetter("label"))]

    def _scored(self, windows: Iterable[Window], kept: EmbeddingWriter | None) -> Iterator[tuple[Window, np.ndarray]]:
        many = batches(windows, self.options.batch_size)
        call: Callable[[Sequence[Window]], Any] = self.classifier.score if kept is None else self._embed
        for batch, found in in_order(self.executor, call, many, self.ahead):
            scores = found
            if kept is not None:
                scores, embeddings = found
                kept.add(embeddings)
            yield from zip(batch, scores, strict=True)

    def _embed(self, windows: Sequence[Window]) -> tuple[np.ndarray, np.ndarray]:
        """Scores and embeddings of windows."""
        log_mel = self.classifier.log_mel_config
        waveforms = np.stack([log_mel.fit(window.heard) for window in windows])
        embeddings = self.classifier.embed_waveforms(waveforms)
        assert self._head is not None
        return self._head.scores(embeddings, log_mel.is_silent(waveforms)), embeddings

    def _refined(self, scored: Iterable[tuple[Window, np.ndarray]]) -> Iterator[tuple[Window, np.ndarray]]:
        """Yield windows and those between neighbours that differ, in the order of their starts."""
        if not self.options.refine:
            yield from scored
            return
        between = in_order(self.executor, self._score_any, self._with_between(scored), self.ahead)
        for (window, scores, more), of_more in between:
            yield window, scores
            yield from zip(more, of_more, strict=True)

    def _score_any(self, item: tuple[Window, np.ndarray, list[Window]]) -> np.ndarray | list[np.ndarray]:
        return self.classifier.score(item[2]) if item[2] else []

    def _with_between(
        self, scored: Iterable[tuple[Window, np.ndarray]]
    ) -> Iterator[tuple[Window, np.ndarray, list[Window]]]:
        before: tuple[Window, np.ndarray] | None = None
        for window, scores in scored:
            if before is not None:
                differs = before[1].argmax() != scores.argmax()
                yield *before, self._between(before[0], window) if differs else []
            before = window, scores
        if before is not None:
            yield *before, []

    def _between(self, before: Window, after: Window) -> list[Window]:
        """Windows that begin between two neighbours, evenly spread."""
        rate = before.sampling_rate
        overlap = round((before.end - after.start) * rate)
        both = np.concatenate([before.waveform, after.waveform[overlap:]])
        firsts = [round(number * self.moment * rate) for number in range(1, self.options.refine + 1)]
        starts = [before.start + number * self.moment for number in range(1, self.options.refine + 1)]
        length = len(before.waveform)
        last = len(both) - length  # what begins later is heard with what lies before it
        return [
            Window(start, both[first : first + length], rate, before=both[min(first, last) : first])
            for start, first in zip(starts, firsts, strict=True)
        ]


def _counted(run: Iterable[Moment], heard: Callable[[float], object]) -> Iterator[Moment]:
    for moment in run:
        heard(moment.end - moment.start)
        yield moment


def _joined(run: Iterator[Moment]) -> LevelSegment:
    """Join the moments of one label into one segment."""
    first = last = next(run)
    power, samples, scores, moments = first.power, first.samples, first.score, 1
    for last in run:
        power, samples = power + last.power, samples + last.samples
        scores, moments = scores + last.score, moments + 1
    level = level_of(power / samples if power else 0.0)
    return LevelSegment(first.start, last.end, first.label, scores / moments, level)
