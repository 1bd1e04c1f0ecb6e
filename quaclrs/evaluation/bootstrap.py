"""Confidence intervals of test figures by bootstrap over recordings instead of clips.

Slices of one recording are recognised or missed together, so a test fold holds far fewer independent observations than
clips, and a bootstrap over clips claims more certainty than there is. Whole recordings are drawn instead: the cluster
bootstrap (Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8), stratified by class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quaclrs.errors import QuaclrsError

from .metrics import STANDARD_SOURCES, check_predictions

#: Weights of clips held at once for a ROC curve: 2 Mi float32 values are 8 MiB, whatever the number of replicates.
_WEIGHTS_PER_CHUNK = 1 << 21

#: Figures that `classification_metrics` gives of each source as well.
_FIGURES_OF_SOURCE = ("accuracy", "balanced_accuracy", "macro_f1")


def bootstrap_intervals(
    labels: np.ndarray,
    probabilities: np.ndarray,
    recording_ids: Sequence[str],
    class_names: Sequence[str],
    sources: Sequence[str] | None = None,
    replicates: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Percentile intervals of the figures of `classification_metrics`, by bootstrap over recordings.

    A replicate draws, in every class, as many recordings as the class has, with replacement, and takes all clips of a
    recording as often as it was drawn; every class thus keeps its clips. A recording with clips of several classes is
    a recording of each of them. The interval spans the middle `confidence` of the replicates' figures (Efron and
    Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13).

    The models stay as they are: the interval says how far a figure depends on the recordings that were tested, not on
    those trained on. Of a class with few recordings it is too narrow, of one with a single recording it is a point.

    Args:
        labels: (clips,) integers in [0, classes), the true classes.
        probabilities: (clips, classes), or (runs, clips, classes) of models that differ by seed: a replicate's figure
            is then the mean over the runs, all of them with the same recordings drawn.
        recording_ids: (clips,) the recording each clip was cut from.
        class_names: the classes' names in the order of the columns.
        sources: (clips,) the data set each clip comes from, as in `classification_metrics`.
        replicates: how often recordings are drawn, 1 or more.
        confidence: share of the replicates inside the interval, above 0 and below 1.
        seed: of the draws.

    Returns:
        (low, high) in [0, 1] by the names of `classification_metrics`: accuracy, balanced accuracy, macro and weighted
        averages, three figures of each source, and `per_class`: name -> `recall` and `f1`. None for what has no clips
        (or, of ROC curves, no clips of other classes).

    Raises:
        QuaclrsError: arguments that do not fit each other or are out of range.
    """
    labels, runs = np.asarray(labels), np.asarray(probabilities)
    runs = runs[None] if runs.ndim == 2 else runs
    if runs.ndim != 3 or len(runs) == 0:
        raise QuaclrsError(f"probabilities must be (clips, classes) or (runs, clips, classes), not {runs.shape}")
    for run in runs:
        check_predictions(labels, run, class_names, sources)
    if replicates < 1 or not 0 < confidence < 1:
        raise QuaclrsError(f"replicates ({replicates}) must be 1 or more, confidence ({confidence}) between 0 and 1")
    clusters, class_of_cluster = cluster_clips(labels, recording_ids)
    weights = draw_recordings(class_of_cluster, replicates, seed).astype(np.float32)
    of_source = np.array([] if sources is None else sources, dtype=str)
    names = [] if sources is None else [*STANDARD_SOURCES, *sorted(set(of_source.tolist()) - set(STANDARD_SOURCES))]
    subsets = {name: of_source == name for name in names}

    per_run = [_figures(labels, run, clusters, class_of_cluster, weights, subsets) for run in runs]
    figures = {name: np.mean([of_run[name] for of_run in per_run], axis=0) for name in per_run[0]}
    intervals: dict[str, Any] = {
        name: _interval(values, confidence) for name, values in figures.items() if values.ndim == 1
    }
    intervals["per_class"] = {
        class_name: {name: _interval(figures[name][:, index], confidence) for name in ("recall", "f1")}
        for index, class_name in enumerate(class_names)
    }
    return intervals


def cluster_clips(labels: np.ndarray, recording_ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Group clips by class and recording.

    Returns:
        The cluster of every clip, (clips,), and the class of every cluster, (clusters,), ascending.

    Raises:
        QuaclrsError: not one recording a clip.
    """
    if len(recording_ids) != len(labels):
        raise QuaclrsError(f"recording_ids must name one a clip: {len(recording_ids)} of them for {len(labels)} clips")
    names, recording_of_clip = np.unique(np.asarray(recording_ids, dtype=str), return_inverse=True)
    pairs, cluster_of_clip = np.unique(labels.astype(np.int64) * len(names) + recording_of_clip, return_inverse=True)
    return cluster_of_clip, pairs // len(names)


def draw_recordings(class_of_cluster: np.ndarray, replicates: int, seed: int) -> np.ndarray:
    """Counts of each cluster in each replicate: int32 (clusters, replicates); each class adds up to its clusters.

    Args:
        class_of_cluster: (clusters,), of `cluster_clips`.
        replicates: columns of the result.
        seed: of the generator.
    """
    generator = np.random.default_rng(seed)
    weights = np.empty((len(class_of_cluster), replicates), dtype=np.int32)
    for index in np.unique(class_of_cluster):
        members = np.flatnonzero(class_of_cluster == index)
        weights[members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), replicates).T
    return weights


def _figures(
    labels: np.ndarray,
    probabilities: np.ndarray,
    clusters: np.ndarray,
    class_of_cluster: np.ndarray,
    weights: np.ndarray,
    subsets: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Every figure of one run in every replicate: (replicates,), or (replicates, classes) of a figure per class."""
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)

    def figures_of(clips: np.ndarray) -> dict[str, np.ndarray]:
        cells = clusters[clips] * classes + predicted[clips]
        guesses = np.bincount(cells, minlength=len(class_of_cluster) * classes).reshape(-1, classes)
        return _figures_of_counts(_confusion_matrices(guesses.astype(np.float32), class_of_cluster, weights))

    figures = figures_of(np.ones(len(labels), dtype=bool))
    support = figures.pop("support")
    ranked = np.flatnonzero(support[0])  # a class has clips in every replicate or in none
    if len(ranked) > 1:
        columns = [_roc_auc(probabilities[:, index], labels == index, clusters, weights) for index in ranked]
        areas = np.stack(columns, axis=1)
        figures["macro_roc_auc"] = areas.mean(axis=1)
        figures["weighted_roc_auc"] = (areas * support[:, ranked]).sum(axis=1) / support.sum(axis=1)
    else:
        figures["macro_roc_auc"] = figures["weighted_roc_auc"] = np.full(len(support), np.nan)
    for source, clips in subsets.items():
        of_source = figures_of(clips)
        figures |= {f"{name}_{source}": of_source[name] for name in _FIGURES_OF_SOURCE}
    return figures


def _confusion_matrices(guesses: np.ndarray, class_of_cluster: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Each replicate's confusion matrix: float64 (replicates, classes, classes) of whole numbers.

    All clips of a cluster are of one class, so its confusion matrix is the one row (classes,) that `guesses` holds.
    """
    classes = guesses.shape[1]
    matrices = np.zeros((weights.shape[1], classes, classes))
    for index in np.unique(class_of_cluster):
        members = class_of_cluster == index
        matrices[:, index] = weights[members].T @ guesses[members]  # exact: float32 counts to 16 million
    return matrices


def _figures_of_counts(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """Figures of confusion matrices (replicates, classes, classes); NaN where a replicate has no clips."""
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    support, predicted = matrices.sum(axis=2), matrices.sum(axis=1)
    clips, supported = support.sum(axis=1), support > 0
    per_class = {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, support + predicted),
    }
    averages = {}
    for average, weights in (("macro", supported), ("weighted", support)):
        for name, values in per_class.items():
            weighted = (values * weights).sum(axis=1)
            averages[f"{average}_{name}"] = _ratio(weighted, weights.sum(axis=1), empty=np.nan)
    figures = {
        "support": support,
        "accuracy": _ratio(hits.sum(axis=1), clips, empty=np.nan),
        "balanced_accuracy": averages["macro_recall"],
        **averages,
    }
    return figures | {name: np.where(supported, per_class[name], np.nan) for name in ("recall", "f1")}


def _roc_auc(scores: np.ndarray, positive: np.ndarray, clusters: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted area under the ROC curve in every replicate, (replicates,): the Mann-Whitney statistic with mid-ranks.

    A clip of the class beats the drawn clips of other classes that score lower, and half of those that score the same.
    """
    others = np.flatnonzero(~positive)
    others = others[np.argsort(scores[others])]
    below = np.searchsorted(scores[others], scores[positive], side="left")
    up_to = np.searchsorted(scores[others], scores[positive], side="right")
    replicates = weights.shape[1]
    areas = np.empty(replicates)
    step = max(1, _WEIGHTS_PER_CHUNK // len(scores))
    for chunk in (slice(start, start + step) for start in range(0, replicates, step)):
        drawn = weights[:, chunk]
        beaten = np.zeros((len(others) + 1, drawn.shape[1]), dtype=np.float32)
        np.cumsum(drawn[clusters[others]], axis=0, out=beaten[1:])
        own = drawn[clusters[positive]]
        won = np.einsum("cr,cr->r", own, (beaten[below] + beaten[up_to]) / 2, dtype=np.float64)
        areas[chunk] = won / (own.sum(axis=0, dtype=np.float64) * beaten[-1])
    return areas


def _ratio(numerator: np.ndarray, denominator: np.ndarray, empty: float = 0.0) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(numerator.shape, empty), where=denominator > 0)


def _interval(values: np.ndarray, confidence: float) -> tuple[float, float] | None:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
