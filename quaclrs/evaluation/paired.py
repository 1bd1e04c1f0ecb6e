"""Compare two models on the same clips by a paired bootstrap over recordings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quaclrs.errors import QuaclrsError

from .bootstrap import cluster_clips, draw_recordings


def paired_difference(
    labels: np.ndarray,
    probabilities: np.ndarray,
    other_probabilities: np.ndarray,
    recording_ids: Sequence[str],
    balanced: bool = False,
    replicates: int = 2000,
) -> dict[str, Any]:
    """The difference of two models' accuracies, plain or balanced, with its 95 % interval over recordings.

    Both models are scored on the same draws of recordings (as in `bootstrap_intervals`), so what makes a recording easy
    or hard for both of them cancels.

    Args:
        labels: (clips,) integers, the true classes.
        probabilities: (clips, classes), or (runs, clips, classes) of models that differ by seed.
        other_probabilities: of the model that it is compared with, in the same form.
        recording_ids: (clips,) the recording each clip was cut from.
        balanced: every class counts alike, in place of every clip: a class of many clips of few recordings, of which
            each may tip the figure, weighs no more than others.
        replicates: as in `bootstrap_intervals`.

    Returns:
        `accuracy` and `other`, the other model's, in [0, 1], means over runs; their `difference`, and its `interval`
        (low, high).

    Raises:
        QuaclrsError: arrays that do not fit each other.
    """
    ours, theirs = (_hits(labels, given) for given in (probabilities, other_probabilities))
    clusters, class_of_cluster = cluster_clips(labels, recording_ids)
    weights = draw_recordings(class_of_cluster, replicates, seed=0)
    gained = np.bincount(clusters, weights=ours - theirs)
    clips = np.bincount(clusters)
    group_of_cluster = class_of_cluster if balanced else np.zeros_like(class_of_cluster)
    groups = [group_of_cluster == group for group in np.unique(group_of_cluster)]
    drawn = np.mean([gained[group] @ weights[group] / (clips[group] @ weights[group]) for group in groups], axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    group_of_clip = group_of_cluster[clusters]
    share = 1 / (len(groups) * np.bincount(group_of_clip)[group_of_clip])  # of each clip in the mean of groups' means
    return {
        "accuracy": float(ours @ share),
        "other": float(theirs @ share),
        "difference": float((ours - theirs) @ share),
        "interval": (float(low), float(high)),
    }


def _hits(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Share of runs that label each clip rightly: float64 (clips,)."""
    predicted = np.asarray(probabilities).argmax(axis=-1)
    if predicted.shape[-1:] != labels.shape or predicted.ndim > 2:
        raise QuaclrsError(f"probabilities of {predicted.shape} clips do not fit {len(labels)} labels")
    return (np.atleast_2d(predicted) == labels).mean(axis=0)
