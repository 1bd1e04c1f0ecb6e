"""Windows to fit a head to, and folds of their clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..inference.head import softmax


@dataclass(frozen=True)
class Rows:
    """Windows to fit a head to.

    Attributes:
        vectors: (windows, hidden_size) embeddings.
        clips: (windows,) the clip that each is of, from 0 on.
        weights: (windows,) what each counts.
        labels: (clips,) the class of each clip.
        recordings: (clips,) names of what must not be split.
        tested: (clips,) False for clips that help to fit and count in no figure, as those of background.
    """

    vectors: np.ndarray
    clips: np.ndarray
    weights: np.ndarray
    labels: np.ndarray
    recordings: np.ndarray
    tested: np.ndarray


def deal_folds(labels: np.ndarray, recordings: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """Deal clips to folds, (clips,), no recording in two; -1 for the only recording of a class, which always trains.

    Recordings of a class are dealt in turn, the largest first; one that holds clips of several classes is dealt with
    the first of them.
    """
    found = np.full(len(labels), -1)
    generator = np.random.default_rng(seed)
    place_of: dict[str, int] = {}
    sizes = np.zeros(folds)
    for label in np.unique(labels):
        names, counts = np.unique(recordings[labels == label], return_counts=True)
        if len(names) < 2:
            continue
        order = generator.permutation(len(names))
        of_class = np.zeros(folds)
        for i in order[np.argsort(-counts[order], kind="stable")]:
            name = str(names[i])
            # Emptiest of the class, then of all.
            place = place_of.setdefault(name, int(np.lexsort((sizes, of_class))[0]))
            of_class[place] += counts[i]
            sizes[place] += counts[i]
        found[labels == label] = [place_of[str(name)] for name in recordings[labels == label]]
    return found


def outside(rows: Rows, tested: np.ndarray) -> np.ndarray:
    """True for windows (windows,) of other recordings than the tested clips (clips,) are of.

    A clip that is in no fold, as the only recording of its class, may be of a recording that one tests.
    """
    return ~np.isin(rows.recordings.astype(str), rows.recordings[tested].astype(str))[rows.clips]


def clip_probabilities(logits: np.ndarray, rows: Rows) -> np.ndarray:
    """Probabilities (clips, classes): the mean over a clip's windows, by their weights, as `predict` has it."""
    of_windows = softmax(logits) * rows.weights[:, None]
    found = np.zeros((len(rows.labels), logits.shape[1]))
    np.add.at(found, rows.clips, of_windows)
    return found / np.maximum(np.bincount(rows.clips, rows.weights, len(rows.labels)), 1e-12)[:, None]


def balanced_weights(rows: Rows, heard: np.ndarray) -> np.ndarray:
    """Weigh windows so that every class counts alike and all add up to the number of clips.

    What is not tested counts as one class where it is background alone, and half of all where it reminds of classes.
    """
    weights = np.where(heard, rows.weights, 0.0)
    groups = np.where(rows.tested, rows.labels, -1)[rows.clips] + 1
    of_group = np.bincount(groups, weights)
    worth = (of_group > 0).astype(float)
    if len(np.unique(rows.labels[~rows.tested])) > 1:
        worth[0] = max(1.0, worth[1:].sum())
    share = np.divide(of_group.sum() / worth.sum() * worth, of_group, out=np.zeros_like(of_group), where=of_group > 0)
    return weights * share[groups]


def recordings_a_class(rows: Rows) -> float:
    """The median number of recordings of a class."""
    tested = np.unique(rows.labels[rows.tested])
    return float(np.median([len(set(rows.recordings[rows.tested & (rows.labels == label)])) for label in tested]))
