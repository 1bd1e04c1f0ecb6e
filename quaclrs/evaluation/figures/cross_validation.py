"""The figure of a cross-validation: accuracy of every fold, of all classes and of each source."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from quaclrs.errors import QuaclrsError

from ..reports.cross_validation import classes_of, interval_name
from .style import GREY, SERIES, clean_axes, empty_figure, percent_axes

#: Characters of small print that fit the width of a column.
_CHARACTERS_PER_COLUMN = 32


def fold_figures_figure(summary: Mapping[str, Any], title: str) -> Figure:
    """Draw the accuracy of every fold as a numbered point, in one column for all classes and one for each source.

    A line marks the mean over folds. Beside the folds stands the accuracy of all test clips together with its interval
    by bootstrap over recordings. Protocol and folds are written below the title.

    Args:
        summary: what `quaclrs.evaluation.cross_validation.summarise` returns, or read back from JSON.
        title: one line above the columns.

    Raises:
        QuaclrsError: the summary has no folds.
    """
    if not summary["per_fold"]:
        raise QuaclrsError("the summary has no folds; sum up at least one before drawing it")
    columns = {"accuracy": f"all {summary['classes_with_support']} classes"}
    if len(summary["classes_of_source"]) > 1:
        columns |= {f"accuracy_{s}": classes_of(s, classes) for s, classes in summary["classes_of_source"].items()}

    figure = empty_figure(2.4 + 2.2 * len(columns), 4.8)
    figure.suptitle(title)
    axes = figure.add_subplot()
    axes.set_title(textwrap.fill(summary["scope"], _CHARACTERS_PER_COLUMN * (1 + len(columns))), fontsize=9)
    for place, name in enumerate(columns):
        colour, marker = SERIES[place % len(SERIES)]
        known = [(fold["fold"], fold[name]) for fold in summary["per_fold"] if fold[name] is not None]
        # Side by side in the order of the folds, so that equal accuracies do not hide each other.
        across = place + np.linspace(-0.36, 0.12, len(known)) if len(known) > 1 else np.array([place - 0.12])
        axes.plot(across, [value for _, value in known], marker, color=colour, markersize=5)
        for x, (fold, value) in zip(across, known, strict=True):
            number = axes.annotate(str(fold), (x, value), (0, 5), textcoords="offset points", ha="center", fontsize=7)
            number.set_path_effects([withStroke(linewidth=3, foreground="white")])  # readable on the line of the mean
        of_figure = summary["figures"][name]
        axes.hlines(of_figure["mean"], place - 0.42, place + 0.18, color=colour, linewidth=1.2, zorder=1)
        low, high = of_figure["interval"]
        axes.vlines(place + 0.32, low, high, color=colour, linewidth=2)
        axes.plot(place + 0.32, of_figure["pooled"], marker, color=colour, markerfacecolor="white", markersize=6)
    axes.set_xticks(range(len(columns)), columns.values())
    axes.set_xlim(-0.6, len(columns) - 0.4)
    axes.set_ylabel("accuracy (share of clips)")
    axes.margins(y=0.12)
    percent_axes(axes.yaxis)
    clean_axes(axes, grid="y")
    axes.tick_params(axis="x", length=0)
    pooled = f"all test clips together, {interval_name(summary)} over recordings"
    marks = [
        Line2D([], [], color=GREY, marker="o", markersize=5, linestyle="none", label="test fold, by its number"),
        Line2D([], [], color=GREY, linewidth=1.2, label="mean over folds"),
        Line2D([], [], color=GREY, marker="o", markerfacecolor="white", linewidth=2, label=pooled),
    ]
    figure.legend(handles=marks, loc="outside lower center", frameon=False, fontsize=8)
    return figure
