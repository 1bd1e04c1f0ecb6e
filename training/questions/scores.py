"""Accuracies of runs and differences between them, with intervals over recordings."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from quaclrs.evaluation.paired import paired_difference
from quaclrs.evaluation.result_files import PREDICTIONS, read_predictions

from ..runs.run import Run

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Tested:
    """What a network called its test clips.

    Attributes:
        clip_ids: of the clips.
        labels: (clips,) their classes.
        called: (clips,), or (conditions, clips), the classes that it named.
    """

    clip_ids: Sequence[str]
    labels: np.ndarray
    called: np.ndarray

    def of(self, classes: Sequence[int]) -> Tested:
        """The same for the clips of some classes."""
        kept = np.isin(self.labels, classes)
        clip_ids = [clip for clip, keep in zip(self.clip_ids, kept, strict=True) if keep]
        return Tested(clip_ids, self.labels[kept], self.called[..., kept])


def tested(run: Run, among: Sequence[int] | None = None, file: str = PREDICTIONS) -> Tested:
    """What a finished run called its test clips by one of its files, `among` some of the classes if not all."""
    found = read_predictions(run.path / file)
    columns = np.arange(len(found.class_names)) if among is None else np.asarray(among)
    return Tested(found.clip_ids, found.labels, columns[found.probabilities[:, columns].argmax(axis=1)])


class Scores:
    """Compares what networks called the same clips.

    Args:
        recording_of: clip_id -> recording_id.
        classes: of the data set.
    """

    def __init__(self, recording_of: Mapping[str, str], classes: int) -> None:
        self._recording_of, self._classes = recording_of, classes

    def accuracy(self, of_seeds: Sequence[Tested]) -> dict[str, Any]:
        """`accuracy`, the mean over seeds in [0, 1], its `deviation` (n - 1) over them, `interval`, and `seeds`."""
        never = [Tested(one.clip_ids, one.labels, np.broadcast_to((one.labels + 1) % self._classes, one.called.shape))
                 for one in of_seeds]  # fmt: skip
        found = self.gain(of_seeds, never)
        of_each = [float(np.mean(one.called == one.labels)) for one in of_seeds]
        deviation = statistics.stdev(of_each) if len(of_each) > 1 else None
        return {
            "accuracy": statistics.mean(of_each),
            "deviation": deviation,
            "interval": found["interval"],
            "seeds": len(of_each),
            "of_each": of_each,
        }

    def gain(self, of_seeds: Sequence[Tested], others: Sequence[Tested]) -> dict[str, Any]:
        """`difference` in accuracy from others, seed by seed on the same clips, with its 95 % `interval`."""
        first = of_seeds[0]
        ours, theirs = (np.concatenate([np.atleast_2d(one.called) for one in each]) for each in (of_seeds, others))
        recordings = [self._recording_of[clip] for clip in first.clip_ids]
        found = paired_difference(first.labels, self._scores(ours), self._scores(theirs), recordings)
        return {"difference": found["difference"], "interval": list(found["interval"])}

    def _scores(self, called: np.ndarray) -> np.ndarray:
        return np.eye(self._classes, dtype=np.float32)[called]


def folds_together(of_folds: Sequence[Tested]) -> Tested:
    """The test clips of several folds as one."""
    return Tested(
        [clip for one in of_folds for clip in one.clip_ids],
        np.concatenate([one.labels for one in of_folds]),
        np.concatenate([one.called for one in of_folds], axis=-1),
    )


def finished(runs: Mapping[Key, Run], read: Callable[[Run], Any] = tested) -> dict[Key, Any]:
    """What `read` gives of each run that is finished."""
    return {key: read(run) for key, run in runs.items() if run.is_finished()}


def in_common(*of_seeds: Mapping[Key, Tested]) -> list[list[Tested]]:
    """Each of the mappings as a list over the keys that all have."""
    keys = [key for key in of_seeds[0] if all(key in other for other in of_seeds[1:])]
    return [[one[key] for key in keys] for one in of_seeds]
