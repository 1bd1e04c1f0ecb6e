"""Figures of class scores: ROC and precision-recall curves of one class against the rest, bars a class, reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from ..calibration import measure_reliability
from ..metrics import check_predictions
from ..reports.tables import percent
from .style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    SKY_BLUE,
    VERMILION,
    clean_axes,
    empty_figure,
    percent_axes,
)

#: Line styles that take turns with the seven colours: 28 classes differ in one of both.
_DASHES = ("-", "--", ":", "-.")


def roc_figure(labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    """Draw the ROC curve of every class against the rest, with the area under it in the legend.

    Args:
        labels: (clips,) integers, the true classes.
        probabilities: (clips, classes).
        class_names: in the order of the columns. A class without clips, or with all of them, has no curve.
        title: above the axes.
    """
    curves = {}
    for name, true, scores in _one_against_the_rest(labels, probabilities, class_names):
        false_positives, true_positives, _ = roc_curve(true, scores)
        curves[f"{name} ({roc_auc_score(true, scores):.2f})"] = (false_positives, true_positives)
    figure, axes = _curves_figure(curves, title, "area under the curve")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    axes.set_xlabel("share of other clips taken for the class")
    axes.set_ylabel("share of the class's clips found")
    return figure


def precision_recall_figure(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], title: str
) -> Figure:
    """Draw precision over recall of every class, average precision in the legend; arguments as `roc_figure`'s."""
    curves = {}
    for name, true, scores in _one_against_the_rest(labels, probabilities, class_names):
        precision, recall, _ = precision_recall_curve(true, scores)
        curves[f"{name} ({average_precision_score(true, scores):.2f})"] = (recall, precision)
    figure, axes = _curves_figure(curves, title, "average precision")
    axes.set_xlabel("recall: share of the class's clips found")
    axes.set_ylabel("precision: share of clips found that are of the class")
    return figure


def per_class_figure(per_class: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Draw recall, precision and F1 of every class as bars, best F1 first.

    Args:
        per_class: as `classification_metrics` has it.
        title: above the axes.
    """
    names = sorted(per_class, key=lambda name: -(per_class[name]["f1"] or 0))
    figure = empty_figure(9, 1.6 + 0.42 * len(names))
    axes = figure.subplots()
    rows = np.arange(len(names))
    for place, (key, colour, hatch) in enumerate(
        (("recall", BLUE, ""), ("precision", ORANGE, "//"), ("f1", GREEN, ".."))
    ):
        values = [per_class[name][key] or 0 for name in names]
        label = "F1" if key == "f1" else key
        axes.barh(rows + 0.27 * (place - 1), values, 0.25, color=colour, hatch=hatch, edgecolor="white", label=label)
    axes.set_yticks(rows, [f"{name.replace('_', ' ')} ({per_class[name]['support']:,})" for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    percent_axes(axes.xaxis)
    clean_axes(axes, grid="x")
    axes.set_ylabel("class (clips)")
    axes.set_title(title, fontsize=11)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def reliability_figure(labels: np.ndarray, probabilities: np.ndarray, title: str) -> Figure:
    """Draw accuracy over confidence, and below it how many clips have which confidence.

    Args:
        labels: (clips,) integers, the true classes.
        probabilities: (clips, classes).
        title: above the axes; the expected calibration error is added.
    """
    found = measure_reliability(labels, probabilities)
    middle, width = (found.edges[1:] + found.edges[:-1]) / 2, found.edges[1] - found.edges[0]
    figure = empty_figure(6, 6.5)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    known = found.clips > 0
    above.bar(middle[known], found.accuracy[known], 0.92 * width, color=SKY_BLUE, label="accuracy of the bin")
    above.plot([0, 1], [0, 1], color=BLACK, linestyle="--", label="score taken at its word")
    above.plot(
        found.confidence[known], found.accuracy[known], color=VERMILION, marker="o", linestyle="none",
        label="mean score of the bin",
    )  # fmt: skip
    above.set_ylim(0, 1)
    above.set_ylabel("share of clips that are right")
    above.legend(frameon=False, loc="upper left")
    below.bar(middle, found.clips, 0.92 * width, color=GREY)
    below.set_ylabel("clips")
    below.set_xlim(0, 1)
    below.set_xlabel("score of the predicted class")
    for axes in (above, below):
        clean_axes(axes)
    percent_axes(above.xaxis, above.yaxis, below.xaxis)
    above.set_title(f"{title}\nexpected calibration error {percent(found.error)}", fontsize=11)
    return figure


def _one_against_the_rest(labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]) -> Any:
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    check_predictions(labels, probabilities, class_names, None)
    for place, name in enumerate(class_names):
        true = labels == place
        if true.any() and not true.all():
            yield name.replace("_", " "), true, probabilities[:, place]


def _curves_figure(curves: Mapping[str, Any], title: str, legend: str) -> tuple[Figure, Axes]:
    figure = empty_figure(9, 5.5)
    axes = figure.subplots()
    for place, (name, (across, up)) in enumerate(curves.items()):
        axes.plot(across, up, color=PALETTE[place % len(PALETTE)], linestyle=_DASHES[place % len(_DASHES)], label=name)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_aspect("equal")
    percent_axes(axes.xaxis, axes.yaxis)
    clean_axes(axes)
    axes.set_title(title, fontsize=11)
    figure.legend(loc="outside right center", title=legend, frameon=False, fontsize=9)
    return figure, axes
