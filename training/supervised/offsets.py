"""Offsets of the classes' logits by held-out clips: bias-corrected temperature scaling.

A network that has few recordings of a class, or hears something in it that speaks against it, calls it too seldom. How
much too seldom shows on clips that it has not heard (Alexandari et al., 2020, "Maximum Likelihood with Bias-Corrected
Calibration is Hard-To-Beat at Label Shift Adaptation", section 3).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from ..runs.sampling import balanced_shares

#: Weight of the sum of squared offsets: without it a few recordings would decide over them.
_RIDGE = 0.01


def fit_offsets(logits: np.ndarray, labels: np.ndarray, recordings: np.ndarray) -> np.ndarray:
    """Find what to add to the logit of each class for the lowest cross-entropy, together with a temperature.

    Classes weigh the same, and recordings as `balanced_shares` has it.

    Args:
        logits: (clips, classes) of clips that the network has not heard.
        labels: (clips,) their classes.
        recordings: (clips,) what they were cut from.

    Returns:
        (classes,) float64, 0 on average; 0 of a class that has no clip.
    """
    weights, rows = balanced_shares(labels, recordings), np.arange(len(labels))
    present = np.bincount(labels, minlength=logits.shape[1]) > 0

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        scale, offsets = np.exp(values[0]), values[1:]
        scaled = (logits + offsets) * scale
        log_scores = log_softmax(scaled, axis=1)
        errors = np.exp(log_scores)
        errors[rows, labels] -= 1
        errors *= weights[:, None]
        of_offsets = errors.sum(axis=0) * scale + 2 * _RIDGE * offsets
        total = -weights @ log_scores[rows, labels] + _RIDGE * (offsets**2).sum()
        return float(total), np.concatenate([[(errors * scaled).sum()], of_offsets])

    bounds = [(-3.0, 3.0), *((None, None) if there else (0.0, 0.0) for there in present)]
    found = minimize(loss, np.zeros(len(bounds)), jac=True, method="L-BFGS-B", bounds=bounds).x[1:]
    return np.where(present, found - found[present].mean(), 0.0)
