"""Answer `siren` where the vehicle cannot be told: sirens differ by country more than by vehicle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SIREN = "siren"
VEHICLES = ("ambulance", "firetruck", "police")

#: Share of the vehicles' scores that the best of them must have to stand out.
_CLEAR_SHARE = 2 / 3


def siren_score(labels: Sequence[str], scores: np.ndarray) -> float | None:
    """Score of `siren`: the sum of the vehicles' where that is the best answer and none of them stands out.

    Args:
        labels: class names.
        scores: (classes,) in [0, 1].

    Returns:
        None where another class is likelier than a siren, one vehicle has two thirds of the sum, or the model does not
        tell vehicles apart.
    """
    of_vehicles = [float(score) for label, score in zip(labels, scores, strict=True) if label in VEHICLES]
    others = [float(score) for label, score in zip(labels, scores, strict=True) if label not in VEHICLES]
    total = sum(of_vehicles)
    if len(of_vehicles) < 2 or total <= max(others, default=0.0) or max(of_vehicles) >= _CLEAR_SHARE * total:
        return None
    return total
