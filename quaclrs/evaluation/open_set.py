"""Figures of a classifier with the class `other`: sounds of its classes, and sounds that are none of them.

A false alarm is a stretch of background that is called one of the classes. With windows of 4 s there are 900 an hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..labels import OTHER
from .reports.tables import percent

#: False alarms an hour at which recall is told.
ALARMS_PER_HOUR = (1, 10)

_WITH_INTERVALS = ("accuracy", "accuracy_with_other", "kept", "false_alarms", "false_certain", "auroc", "auroc_other")

#: A score that people take for certain.
_CERTAIN = 0.5


def open_set_figures(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], kinds: Sequence[str], seconds: float
) -> dict[str, Any]:
    """Figures of known sounds and of background together.

    Args:
        labels: (clips,) indices into `class_names`; those of background are that of `other`.
        probabilities: (clips, classes) over the classes and `other`.
        class_names: names of the columns, `other` last.
        kinds: (clips,) kind of each background clip; not looked at of the others.
        seconds: that a clip lasts.

    Returns:
        Shares in [0, 1]:

        - `clips`, `background_clips`, `kinds`: counts
        - `accuracy`: of the known clips where `other` is not allowed; `accuracy_with_other` where it is
        - `kept`: of the clips that are named rightly without `other`, those that still are with it
        - `false_alarms`: background clips that are named one of the classes; `false_certain`: by more than 0.5
        - `auroc`: of the best class's score, known clips against background; `auroc_other`: of the score of `other`
        - `per_kind`: kind -> its share of false alarms
        - `at_alarms_per_hour`: `1`, `10` -> `threshold` of the best class's score, and `recall`, the known clips that
          are named rightly by at least that; both None where there is too little background to tell

    Raises:
        ValueError: the last class is not `other`, or one of both groups is empty.
    """
    from sklearn.metrics import roc_auc_score  # takes a second

    labels, other = np.asarray(labels), len(class_names) - 1
    if class_names[other] != OTHER:
        raise ValueError(f"the last class is {class_names[other]!r}, not {OTHER!r}")
    known = labels != other
    if known.all() or not known.any():
        raise ValueError("both sounds of the classes and background are needed")
    best = probabilities[:, :other].max(axis=1)
    right = (probabilities[:, :other].argmax(axis=1) == labels)[known]
    named = probabilities.argmax(axis=1) != other
    alarms = named[~known]
    of_background = np.asarray(kinds, dtype=object)[~known]
    return {
        "clips": int(known.sum()),
        "background_clips": int((~known).sum()),
        "kinds": len(set(of_background.tolist())),
        "accuracy": float(right.mean()),
        "accuracy_with_other": float((right & named[known]).mean()),
        "kept": float(named[known][right].mean()) if right.any() else None,
        "false_alarms": float(alarms.mean()),
        "false_certain": float((best[~known] > _CERTAIN).mean()),
        "auroc": float(roc_auc_score(known, best)),
        "auroc_other": float(roc_auc_score(~known, probabilities[:, other])),
        "per_kind": {kind: float(alarms[of_background == kind].mean()) for kind in sorted(set(of_background.tolist()))},
        "at_alarms_per_hour": {
            str(count): _recall_at(count * seconds / 3600, best[~known], best[known], right)
            for count in ALARMS_PER_HOUR
        },
    }


def open_set_intervals(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    kinds: Sequence[str],
    groups: Sequence[str],
    seconds: float,
    replicates: int = 500,
    confidence: float = 0.95,
) -> dict[str, list[float]]:
    """Intervals of `accuracy`, `accuracy_with_other`, `kept`, `false_alarms`, `false_certain` and both AUROCs.

    Args:
        labels, probabilities, class_names, kinds, seconds: as of `open_set_figures`.
        groups: (clips,) what is drawn as a whole: the recording of a known clip, the kind of background.
        replicates: of the bootstrap, by a fixed seed.
        confidence: of the interval.

    Returns:
        Name -> its ends.
    """
    generator = np.random.default_rng(0)
    of_group = {name: np.flatnonzero(np.asarray(groups, dtype=object) == name) for name in dict.fromkeys(groups)}
    other = len(class_names) - 1
    sides = [
        [rows for rows in of_group.values() if (labels[rows[0]] == other) == is_background]
        for is_background in (False, True)
    ]
    drawn: dict[str, list[float]] = {}
    for _ in range(replicates):
        rows = np.concatenate([side[i] for side in sides for i in generator.integers(len(side), size=len(side))])
        found = open_set_figures(labels[rows], probabilities[rows], class_names, [kinds[row] for row in rows], seconds)
        for name in _WITH_INTERVALS:
            drawn.setdefault(name, []).append(found[name])
    ends = ((1 - confidence) / 2, (1 + confidence) / 2)
    return {name: [float(end) for end in np.quantile(values, ends)] for name, values in drawn.items()}


def without_other(probabilities: np.ndarray, known: int) -> np.ndarray:
    """Probabilities (clips, classes) of the first `known` classes where `other` is not allowed: they add up to 1."""
    of_known = probabilities[:, :known]
    return of_known if known == probabilities.shape[1] else of_known / of_known.sum(axis=1, keepdims=True)


def describe_open_set(figures: dict[str, Any]) -> str:
    """The figures in a line."""
    return (
        f"with `other` allowed: accuracy {percent(figures['accuracy_with_other'])} "
        f"(of what was right {percent(figures['kept'])} stays); of {figures['background_clips']} clips of "
        f"{figures['kinds']} kinds that did not train {percent(figures['false_alarms'])} are named a class; "
        f"AUROC {figures['auroc']:.3f}, by `other` {figures['auroc_other']:.3f}"
    )


def _recall_at(share: float, background: np.ndarray, scores: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """The lowest threshold that at most this share of the background reaches, and the recall at it."""
    allowed = int(share * len(background))
    if allowed < 1 and share * len(background) < 0.5:  # not even one clip of that many would be allowed
        return {"threshold": None, "recall": None}
    highest = np.sort(background)[::-1][allowed]  # the first that must stay below
    threshold = float(np.nextafter(highest, 2.0))
    return {"threshold": threshold, "recall": float((right & (scores >= threshold)).mean())}


def offset_of_other(labels: np.ndarray, probabilities: np.ndarray, keep: float = 0.955) -> float:
    """Find the shift of the logit of `other`, the last class, at which a share of the right answers stays right.

    Args:
        labels: (clips,) indices; those of background are ignored.
        probabilities: (clips, classes), `other` last, of networks that had not heard these clips.
        keep: the share, in (0, 1).
    """
    other = probabilities.shape[1] - 1
    known = np.asarray(labels) != other
    logs = np.log(np.clip(probabilities[known], 1e-12, None))
    right = logs[:, :other].argmax(axis=1) == np.asarray(labels)[known]
    margins = (logs[:, :other].max(axis=1) - logs[:, other])[right]
    return float(np.quantile(margins, 1 - keep))
