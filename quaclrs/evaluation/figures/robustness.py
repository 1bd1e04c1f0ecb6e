"""The figure of a robustness test: accuracy over the signal-to-noise ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...errors import QuaclrsError
from .style import SERIES, clean_axes, empty_figure, percent_axes

_CURVES: dict[str, dict[str, Any]] = {
    key: {"label": label, "color": colour, "marker": marker, "linestyle": line}
    for (key, label, line), (colour, marker) in zip(
        (
            ("accuracy", "all clips", "-"),
            ("accuracy_urbansound8k", "UrbanSound8K's classes", "--"),
            ("accuracy_sirennet", "new classes", "-."),
        ),
        SERIES,
        strict=False,
    )
}

_ROUND = MaxNLocator(9, steps=[1, 2, 5, 10])


def accuracy_over_snr_figure(conditions: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw accuracy over the signal-to-noise ratio, clean clips apart at the right.

    Args:
        conditions: as `metrics_over_snr` gives them: `snr_db` (dB, or `"clean"`), `accuracy`, and where known
            `accuracy_urbansound8k` and `accuracy_sirennet`, in [0, 1]. These two are drawn only where both are known:
            one alone would lie on that of all clips.
        title: one line above the curves.

    Raises:
        QuaclrsError: no conditions.
    """
    if not conditions:
        raise QuaclrsError("no signal-to-noise ratios to draw; give one or more")
    noisy = sorted((c for c in conditions if c["snr_db"] != "clean"), key=lambda c: c["snr_db"])
    clean = [c for c in conditions if c["snr_db"] == "clean"]
    snrs = [float(c["snr_db"]) for c in noisy]
    clean_at = snrs[-1] + max(5.0, (snrs[-1] - snrs[0]) / 5) if snrs else 0.0

    figure = empty_figure(6.4, 4)
    figure.suptitle(title)
    axes = figure.add_subplot()
    by_source = [key for key in _CURVES if key != "accuracy" and conditions[0].get(key) is not None]
    for key in ["accuracy", *(by_source if len(by_source) > 1 else [])]:
        style = _CURVES[key]
        line = [c[key] for c in noisy]
        axes.plot(snrs, line, **style)
        if clean:
            end = clean[0][key]
            axes.plot([*snrs[-1:], clean_at], [*line[-1:], end], **{**style, "linestyle": ":", "label": "_"})
    # Whole decibels; a clean clip's ratio is infinite and has a place of its own beyond the scale.
    marks = _ROUND.tick_values(snrs[0], snrs[-1]) if snrs else ()
    whole = [mark for mark in marks if snrs[0] <= mark <= snrs[-1] and float(mark).is_integer()]
    ticks = {mark: f"{mark:g}" for mark in whole or snrs[:1]} | ({clean_at: "clean"} if clean else {})
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_ylim(0, 1)
    percent_axes(axes.yaxis)
    axes.set_xlabel("signal-to-noise ratio (dB)")
    axes.set_ylabel("accuracy (share of clips)")
    clean_axes(axes)
    axes.legend(frameon=False)
    return figure
