"""Few labels, honestly counted: recordings, not clips, are what somebody would have to label (paper, RQ1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from quaclrs.data import load_urbansound13, plan_folds

from ..runs.config import ALL_RECORDINGS


def keep_labelled(
    rows: np.ndarray,
    labels: np.ndarray,
    recording_ids: Sequence[str],
    recordings: str = ALL_RECORDINGS,
    fraction: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """Rows whose labels are known when only some recordings of each class were labelled.

    All clips of a chosen recording are kept. Recordings are drawn by seed in an order of their own for each class, so
    those of a smaller number are among those of a larger one.

    Args:
        rows: training rows of the data set, ascending.
        labels: class of every row of the data set.
        recording_ids: recording of every row of the data set.
        recordings: how many of each class, as text, or `all`; a class with fewer keeps what it has.
        fraction: share of each class's recordings in (0, 1], rounded, at least one.
        seed: of the draw.

    Returns:
        The kept rows, ascending.
    """
    if recordings == ALL_RECORDINGS and fraction == 1:
        return rows
    kept = []
    recording_of_row = np.asarray(recording_ids)[rows]
    for label in np.unique(labels[rows]):
        of_class = labels[rows] == label
        order = np.random.default_rng([seed, int(label)]).permutation(np.unique(recording_of_row[of_class]))
        wanted = max(1, round(fraction * len(order))) if recordings == ALL_RECORDINGS else int(recordings)
        kept.append(rows[of_class & np.isin(recording_of_row, order[:wanted])])
    return np.sort(np.concatenate(kept))


def count_labelled_clips(
    dataset: str, test_fold: int, amounts: Iterable[str], seeds: Iterable[int]
) -> dict[tuple[str, int], int]:
    """Count the training clips with labels, by labelled recordings a class and seed."""
    rows = load_urbansound13(dataset)
    train = plan_folds(rows, test_fold, "strict").train
    labels, recordings = np.asarray(rows["label"][:]), rows["recording_id"][:]
    return {
        (amount, seed): len(keep_labelled(train, labels, recordings, amount, seed=seed))
        for amount in amounts
        for seed in seeds
    }
