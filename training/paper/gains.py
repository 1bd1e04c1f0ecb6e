"""Gain of pre-training over the encoder before training, with an interval."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quaclrs.augment.variants import parent_and_variant
from quaclrs.data import load_urbansound13
from quaclrs.evaluation.paired import paired_difference
from quaclrs.evaluation.result_files import read_predictions
from quaclrs.evaluation.run_metrics import KNN, RANDOM_KNN

from ..runs.run import Run
from ..ssl.results import PREDICTIONS
from .plan import Key, Plan
from .tables import Training

Interval = tuple[float, float]

#: Columns that have an interval.
KNN_GAIN, BALANCED_KNN_GAIN = "Gain, k-NN (points)", "Gain, k-NN, balanced (points)"


def knn_gain_intervals(finished: Plan, dataset: str) -> dict[Training, dict[str, Interval]]:
    """The intervals of the gains of each method, by column; those that `knn_gain_interval` cannot give are absent."""
    rows = load_urbansound13(dataset)
    recording_of_clip = dict(zip(rows["clip_id"][:], rows["recording_id"][:], strict=True))
    intervals: dict[Training, dict[str, Interval]] = {}
    for training in (training for training in finished if training.recipe == "ssl"):
        for column, balanced in ((KNN_GAIN, False), (BALANCED_KNN_GAIN, True)):
            if interval := knn_gain_interval(finished[training], recording_of_clip, balanced):
                intervals.setdefault(training, {})[column] = interval
    return intervals


def knn_gain_interval(
    runs: Mapping[Key, Run], recording_of_clip: Mapping[str, str], balanced: bool = False
) -> Interval | None:
    """The 95 % interval of the k-NN gain, in points, over recordings of the test folds; seeds are averaged.

    Args:
        runs: of one method, by (fold, seed).
        recording_of_clip: clip_id -> recording_id.
        balanced: every class counts alike, as in `paired_difference`.

    Returns:
        (low, high); None without runs, or where folds have different seeds.
    """
    folds = sorted({fold for fold, _ in runs})
    seeds = sorted({seed for _, seed in runs})
    if not runs or any((fold, seed) not in runs for fold in folds for seed in seeds):
        return None
    trained, untrained = (
        [[read_predictions(runs[fold, seed].path / PREDICTIONS[name]) for seed in seeds] for fold in folds]
        for name in (KNN, RANDOM_KNN)
    )
    clip_ids = [clip for of_seeds in trained for clip in of_seeds[0].clip_ids]
    labels = np.concatenate([of_seeds[0].labels for of_seeds in trained])
    ours, theirs = (
        np.concatenate([np.stack([run.probabilities for run in of_seeds]) for of_seeds in of_folds], axis=1)
        for of_folds in (trained, untrained)
    )
    recordings = [recording_of_clip[parent_and_variant(clip)[0]] for clip in clip_ids]
    low, high = paired_difference(labels, ours, theirs, recordings, balanced)["interval"]
    return 100 * low, 100 * high
