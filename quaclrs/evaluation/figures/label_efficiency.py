"""Label-efficiency curves: accuracy over the number of labelled clips, one line a way of training."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from .style import SERIES, clean_axes, empty_figure, percent_axes


def label_efficiency_figure(
    accuracies: Mapping[str, Mapping[str, Sequence[float]]], clips: Mapping[str, Sequence[int]], title: str
) -> Figure:
    """Draw one curve a way of training: the mean over seeds, with the standard deviation as a band.

    Args:
        accuracies: way of training -> labelled recordings a class, as text -> accuracy of each seed in [0, 1].
        clips: labelled recordings a class -> labelled clips of each seed: the horizontal axis, logarithmic.
        title: above the axes.
    """
    figure = empty_figure(8, 5)
    axes = figure.subplots()
    for place, (curve, points) in enumerate(accuracies.items()):
        colour, marker = SERIES[place % len(SERIES)]
        amounts = [amount for amount in clips if points.get(amount)]
        across = [statistics.mean(clips[amount]) for amount in amounts]
        means = [statistics.mean(points[amount]) for amount in amounts]
        spreads = [statistics.stdev(points[amount]) if len(points[amount]) > 1 else 0.0 for amount in amounts]
        axes.plot(across, means, color=colour, marker=marker, label=curve)
        low, high = ([m + sign * s for m, s in zip(means, spreads, strict=True)] for sign in (-1, 1))
        axes.fill_between(across, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.set_xscale("log")
    ticks = [statistics.mean(numbers) for numbers in clips.values()]
    axes.set_xticks(ticks, [f"{amount}\n({tick:.0f} clips)" for amount, tick in zip(clips, ticks, strict=True)])
    axes.minorticks_off()
    axes.set_xlabel("labelled recordings a class")
    axes.set_ylabel("accuracy on the test fold")
    percent_axes(axes.yaxis)
    clean_axes(axes)
    axes.legend(frameon=False)
    axes.set_title(title, fontsize=11)
    return figure
