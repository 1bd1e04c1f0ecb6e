"""Calibration of scores: the expected calibration error and the curve behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import QuaclrsError


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, in bins of confidence of equal width.

    Attributes:
        edges: (bins + 1,) from 0 to 1.
        confidence, accuracy: (bins,) means of the clips of a bin in [0, 1]; NaN where it has none.
        clips: (bins,) counts.
        error: expected calibration error (Guo et al., 2017, equation 3), in [0, 1].
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    clips: np.ndarray
    error: float


def measure_reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> Reliability:
    """Bin clips by the probability of the predicted class.

    Args:
        labels: (clips,) integers, the true classes.
        probabilities: (clips, classes) in [0, 1].
        bins: of equal width.

    Raises:
        QuaclrsError: no clips, or shapes that do not fit each other.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, dtype=float)
    if len(labels) == 0 or probabilities.ndim != 2 or len(probabilities) != len(labels):
        raise QuaclrsError(f"probabilities of shape {probabilities.shape} do not fit {len(labels)} labels")
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.digitize(confidence, edges[1:-1], right=True), 0, bins - 1)
    clips = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(places, weights=values, minlength=bins) / clips for values in (confidence, right)]
    gaps = np.abs(means[0] - means[1])
    error = float(np.nansum(gaps * clips) / len(labels))
    return Reliability(edges, means[0], means[1], clips, error)
