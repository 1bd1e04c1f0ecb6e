"""Worth of a head learned from few labels, by clips whose recordings it had not heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.bootstrap import cluster_clips, draw_recordings
from ..evaluation.calibration import measure_reliability

#: Recordings of a class below which its recall is told to be a guess.
FEW_RECORDINGS = 5

#: Clips that are named as perhaps mislabelled, at most, and the score of another class that makes one such.
_MOST_SUSPECTS, _SUSPECT_SCORE = 20, 0.6

_REPLICATES, _CONFIDENCE = 2000, 0.95


@dataclass(frozen=True)
class ClassWorth:
    """One class: its clips and recordings, and the share of the clips that is recognised; None where none was tested.

    `interval` is that of the recall, as of `Worth`.
    """

    label: str
    clips: int
    recordings: int
    recall: float | None
    interval: tuple[float, float] | None

    @property
    def judged(self) -> str:
        """Say why its figure cannot be trusted; empty where it can."""
        if self.recall is None:
            return "one recording: cannot be judged"
        return f"{self.recordings} recordings: a guess" if self.recordings < FEW_RECORDINGS else ""


@dataclass(frozen=True)
class Suspect:
    """A clip that is perhaps mislabelled: what it is labelled as, what it was heard as, and both scores."""

    name: str
    label: str
    heard: str
    score: float
    score_of_label: float


@dataclass(frozen=True)
class Worth:
    """Figures of held-out clips; all shares in [0, 1], None where nothing could be held out.

    Attributes:
        accuracy, interval: of all tested clips, and its interval by bootstrap over recordings; where all are right, or
            all wrong, that of Clopper and Pearson (1934) for as many recordings.
        balanced_accuracy: mean recall of the tested classes.
        calibration_error: expected calibration error of the scores.
        clips, recordings: that were tested.
        classes: every class.
        confusion: (classes, columns) counts of tested clips; a column more where `other` may be answered.
        columns: names of the columns.
        suspects: see `Suspect`, the most suspicious first.
    """

    accuracy: float | None
    interval: tuple[float, float] | None
    balanced_accuracy: float | None
    calibration_error: float | None
    clips: int
    recordings: int
    classes: list[ClassWorth]
    confusion: np.ndarray
    columns: list[str]
    suspects: list[Suspect]


def judge(
    probabilities: np.ndarray,
    labels: np.ndarray,
    recordings: np.ndarray,
    names: Sequence[str],
    columns: Sequence[str],
    classes: Sequence[int],
) -> Worth:
    """Compute the figures of held-out clips.

    Args:
        probabilities: (clips, columns) of heads that had not heard the clip's recording; NaN of clips that always
            train.
        labels: (clips,) indices into the columns.
        recordings: (clips,) names.
        names: of the clips.
        columns: names of all classes that may be answered.
        classes: indices of those that clips are labelled as.
    """
    tested = ~np.isnan(probabilities).any(axis=1)
    truth, scores = labels[tested], probabilities[tested]
    answers = scores.argmax(axis=1) if len(scores) else np.zeros(0, dtype=int)
    right = (answers == truth).astype(float)
    confusion = np.zeros((len(columns), len(columns)), dtype=int)
    np.add.at(confusion, (truth, answers), 1)
    accuracy = interval = balanced = error = None
    recall: dict[int, tuple[float, tuple[float, float]]] = {}
    if len(truth):
        cluster, class_of_cluster = cluster_clips(truth, [str(name) for name in recordings[tested]])
        drawn = draw_recordings(class_of_cluster, _REPLICATES, seed=0)
        hits, sizes = (np.bincount(cluster, weights, len(class_of_cluster)) for weights in (right, None))
        accuracy = float(right.mean())
        interval = _interval(accuracy, hits @ drawn / (sizes @ drawn), len(hits))
        for label in np.unique(truth):
            own = class_of_cluster == label
            shares = hits[own] @ drawn[own] / (sizes[own] @ drawn[own])
            found = float(right[truth == label].mean())
            recall[int(label)] = found, _interval(found, shares, int(own.sum()))
        balanced = float(np.mean([value for value, _ in recall.values()]))
        error = measure_reliability(truth, scores).error
    told = []
    for label in classes:
        own = labels == label
        value, ends = recall.get(label, (None, None))
        told.append(ClassWorth(columns[label], int(own.sum()), len(set(recordings[own])), value, ends))
    return Worth(
        accuracy=accuracy,
        interval=interval,
        balanced_accuracy=balanced,
        calibration_error=error,
        clips=int(tested.sum()),
        recordings=len(set(recordings[tested])),
        classes=told,
        confusion=confusion[list(classes)],
        columns=list(columns),
        suspects=_suspects(scores, truth, [name for name, t in zip(names, tested, strict=True) if t], columns),
    )


def _interval(share: float, drawn: np.ndarray, recordings: int) -> tuple[float, float]:
    """Ends of the interval of a share, by its values in draws of so many recordings."""
    tail = (1 - _CONFIDENCE) / 2
    if share in (0.0, 1.0):  # every draw says the same
        width = 1 - tail ** (1 / recordings)
        return (1 - width, 1.0) if share else (0.0, width)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def _suspects(scores: np.ndarray, truth: np.ndarray, names: Sequence[str], columns: Sequence[str]) -> list[Suspect]:
    found = []
    for row, label, name in zip(scores, truth, names, strict=True):
        best = int(row.argmax())
        if best != label and row[best] >= _SUSPECT_SCORE:
            found.append(Suspect(name, columns[label], columns[best], float(row[best]), float(row[label])))
    return sorted(found, key=lambda s: s.score_of_label - s.score)[:_MOST_SUSPECTS]


@dataclass(frozen=True)
class Curve:
    """Held-out accuracy by how many recordings were heard: points (recordings, accuracy), and what twice as many give.

    Attributes:
        points: from a quarter of the recordings to all of those that a fold leaves, ascending.
        twice: expected accuracy with twice as many labels, by the error's fall from half of them to all; None where
            there are too few to say.
    """

    points: list[tuple[int, float]]
    twice: float | None


def extrapolate(points: Sequence[tuple[int, float]]) -> Curve:
    """Extrapolate a curve: errors fall by the same share with every doubling, at most by half, and never rise."""
    if len(points) < 2:
        return Curve(list(points), None)
    (_, before), (_, now) = points[-2:]
    errors = max(1 - before, 1e-9), max(1 - now, 0.0)
    return Curve(list(points), 1 - errors[1] * min(1.0, max(0.5, errors[1] / errors[0])))
