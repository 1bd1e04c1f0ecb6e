"""Values with their intervals, one under another: what gains, what costs, and what cannot be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from .style import SERIES, clean_axes, empty_figure

#: (value, low, high)
Estimate = tuple[float, float, float]


def intervals_figure(
    rows: Mapping[str, Sequence[Estimate | None]], series: Sequence[str], title: str, axis: str, zero: bool = True
) -> Figure:
    """Draw a line of points with bars for each row, the first at the top.

    Args:
        rows: name -> an estimate for each of the series, None where there is none.
        series: names of the estimates, in the legend where there are several.
        title: above the axes.
        axis: label of the values, with their unit.
        zero: whether a line marks 0, where differences are drawn.
    """
    figure = empty_figure(8, 1.4 + 0.34 * len(rows))
    axes = figure.subplots()
    step = 0.6 / len(series)
    for place, name in enumerate(series):
        colour, marker = SERIES[place % len(SERIES)]
        found = [(row, of_row[place]) for row, of_row in enumerate(rows.values())]
        points = [(row, estimate) for row, estimate in found if estimate is not None]
        at = [row + step * (place - (len(series) - 1) / 2) for row, _ in points]
        values = [value for _, (value, _, _) in points]
        below = [value - low for _, (value, low, _) in points]
        above = [high - value for _, (value, _, high) in points]
        axes.errorbar(values, at, xerr=[below, above], fmt=marker, color=colour, capsize=2, markersize=4, label=name)
    if zero:
        axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlabel(axis)
    clean_axes(axes, grid="x")
    if len(series) > 1:  # above the axes, where it covers no bar
        axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(series))
    axes.set_title(title, fontsize=11, pad=24 if len(series) > 1 else 6)
    return figure
