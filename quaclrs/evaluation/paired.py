"""Whether one model is better than another on the same clips: a paired bootstrap over recordings."""

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
    replicates: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """The difference of two models' accuracies, with its percentile interval over recordings.

    Both models are scored on the same draws of recordings (as in `bootstrap_intervals`), so what makes a recording easy
    or hard for both of them cancels.

    Args:
        labels: (clips,) integers, the true classes.
        probabilities: (clips, classes), or (runs, clips, classes) of models that differ by seed.
        other_probabilities: of the model that it is compared with, in the same form.
        recording_ids: (clips,) the recording each clip was cut from.
        replicates, confidence, seed: as in `bootstrap_intervals`.

    Returns:
        `accuracy` and `other` in [0, 1], means over runs; their `difference`, and its `interval` (low, high).

    Raises:
        QuaclrsError: arrays that do not fit each other.
    """
    ours, theirs = (_hits(labels, given) for given in (probabilities, other_probabilities))
    clusters, class_of_cluster = cluster_clips(labels, recording_ids)
    weights = draw_recordings(class_of_cluster, replicates, seed)
    gained = np.bincount(clusters, weights=ours - theirs, minlength=len(class_of_cluster)) @ weights
    clips = np.bincount(clusters, minlength=len(class_of_cluster)) @ weights
    low, high = np.quantile(gained / clips, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {
        "accuracy": float(ours.mean()),
        "other": float(theirs.mean()),
        "difference": float((ours - theirs).mean()),
        "interval": (float(low), float(high)),
    }


def _hits(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Share of runs that label each clip rightly: float64 (clips,)."""
    predicted = np.asarray(probabilities).argmax(axis=-1)
    if predicted.shape[-1:] != labels.shape or predicted.ndim > 2:
        raise QuaclrsError(f"probabilities of {predicted.shape} clips do not fit {len(labels)} labels")
    return (np.atleast_2d(predicted) == labels).mean(axis=0)
