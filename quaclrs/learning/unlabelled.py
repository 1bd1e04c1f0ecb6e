"""Quasi-supervision: recordings without labels help to tell labelled ones apart.

Labels spread from labelled windows to unlabelled ones over their nearest neighbours (D. Zhou and others, "Learning with
Local and Global Consistency", 2004). The result is multiplied by the classifier's own scores: a window counts where
both agree. `docs/learn.md` says where that helps and by how much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .rows import Rows, balanced_weights


@dataclass(frozen=True)
class SpreadOptions:
    """Options of spreading labels.

    Args:
        neighbours: of each window.
        width: of the kernel on their cosines.
        share: of a label that comes from neighbours in each step; the rest stays as it was.
        steps: of spreading.
        most: unlabelled windows that are used, spread evenly over all.
        weight: of all unlabelled windows together, in that of the labelled ones.
    """

    neighbours: int = 10
    width: float = 0.1
    share: float = 0.7
    steps: int = 50
    most: int = 4000
    weight: float = 1.0


def spread_labels(
    features: np.ndarray, rows: Rows, heard: np.ndarray, scores: np.ndarray, options: SpreadOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Guess the targets of unlabelled windows (windows, classes), and the weight of each.

    Args:
        features: of the labelled windows, then of the unlabelled ones.
        rows: of the labelled windows.
        heard: (labelled windows,) which of them may be looked at.
        scores: (unlabelled windows, classes) of a classifier that heard the same.
        options: see there.
    """
    classes, count = scores.shape[1], int(heard.sum())
    weights = balanced_weights(rows, heard)[heard]
    known = np.eye(classes)[rows.labels[rows.clips[heard]]]
    nodes = np.concatenate([features[: len(heard)][heard], features[len(heard) :]])
    nodes = nodes - nodes.mean(axis=0)
    nodes /= np.maximum(np.linalg.norm(nodes, axis=1, keepdims=True), 1e-9)
    graph = _graph(nodes, min(options.neighbours, len(nodes) - 1), options.width)
    start = np.zeros((len(nodes), classes))
    start[:count] = known * weights[:, None]
    state = start
    for _ in range(options.steps):
        state = options.share * (graph @ state) + (1 - options.share) * start
    state = state / np.maximum(state.sum(axis=0), 1e-12)  # a class does not win by being everywhere
    spread = state[count:] / np.maximum(state[count:].sum(axis=1, keepdims=True), 1e-12)
    both = np.sqrt(spread * scores + 1e-12)
    both /= both.sum(axis=1, keepdims=True)
    return both, both.max(axis=1) * options.weight * weights.sum() / max(1, len(scores))


def _graph(nodes: np.ndarray, neighbours: int, width: float) -> Any:
    """The symmetric, normalised graph of nearest neighbours, sparse (nodes, nodes)."""
    from scipy.sparse import coo_array, diags_array

    rows, columns, values = [], [], []
    step = max(1, (1 << 22) // max(1, len(nodes)))
    for first in range(0, len(nodes), step):
        cosines = nodes[first : first + step] @ nodes.T
        own = np.arange(first, first + len(cosines))
        cosines[np.arange(len(cosines)), own] = -np.inf
        near = np.argpartition(-cosines, neighbours - 1, axis=1)[:, :neighbours]
        rows.append(np.repeat(own, neighbours))
        columns.append(near.ravel())
        values.append(np.exp((np.take_along_axis(cosines, near, 1).ravel() - 1) / width))
    ends = np.concatenate(rows), np.concatenate(columns)
    one_way = coo_array((np.concatenate(values), ends), shape=(len(nodes), len(nodes))).tocsr()
    both_ways = one_way.maximum(one_way.T)
    roots = diags_array(1 / np.sqrt(np.maximum(both_ways.sum(axis=1), 1e-12)))
    return roots @ both_ways @ roots
