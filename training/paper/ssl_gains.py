"""How sure it is that pre-training helped: the gain over the encoder before training, with an interval."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from quaclrs.evaluation.paired import paired_difference

from ..ssl_results import KNN, PREDICTIONS, RANDOM_KNN
from .ssl_runs import SSLRun


def knn_gain_interval(
    runs: Mapping[tuple[int, int], SSLRun], recording_of_clip: Mapping[str, str]
) -> tuple[float, float] | None:
    """The 95 % interval of the k-NN gain, in points, over recordings of the test folds; seeds are averaged.

    Args:
        runs: of one method, by (fold, seed).
        recording_of_clip: clip_id -> recording_id.

    Returns:
        (low, high); None where there are no runs, or not the same seeds of every fold.
    """
    folds = sorted({fold for fold, _ in runs})
    seeds = sorted({seed for _, seed in runs})
    if not runs or any((fold, seed) not in runs for fold in folds for seed in seeds):
        return None
    of_folds = [[_read(runs[fold, seed].path) for seed in seeds] for fold in folds]
    clip_ids = [clip for of_seeds in of_folds for clip in of_seeds[0][0]]
    labels = np.concatenate([of_seeds[0][1] for of_seeds in of_folds])
    trained, untrained = (
        np.concatenate([np.stack([of_seed[place] for of_seed in of_seeds]) for of_seeds in of_folds], axis=1)
        for place in (2, 3)
    )
    recordings = [recording_of_clip[clip] for clip in clip_ids]
    low, high = paired_difference(labels, trained, untrained, recordings)["interval"]
    return 100 * low, 100 * high


def _read(run: Path) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Clip ids, labels, and the probabilities after and before training, in the order of the test fold."""
    ids, labels, probabilities = [], np.zeros(0), []
    for name in (KNN, RANDOM_KNN):
        with (run / PREDICTIONS[name]).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = [column for column in rows[0] if column not in ("clip_id", "fold", "label")]
        ids = [row["clip_id"] for row in rows]
        labels = np.array([names.index(row["label"]) for row in rows])
        probabilities.append(np.array([[float(row[n]) for n in names] for row in rows]))
    return ids, labels, probabilities[0], probabilities[1]
