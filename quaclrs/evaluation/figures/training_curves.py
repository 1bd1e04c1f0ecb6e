"""Training curves: loss and accuracy over the epochs of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from quaclrs.errors import QuaclrsError

from ..reports.tables import percent
from .style import BLACK, BLUE, VERMILION, clean_axes, empty_figure, percent_axes

_STYLES: dict[str, dict[str, Any]] = {
    "train": {"color": BLUE, "linestyle": "--", "marker": "o"},
    "validation": {"color": VERMILION, "linestyle": "-", "marker": "s"},
}


def training_curves_figure(history: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw loss and accuracy over the epochs in two panels, the best validation epoch marked in both.

    Args:
        history: one row an epoch, as in a run's `history.csv`: `epoch` and any of `train_loss`, `validation_loss`,
            `train_accuracy`, `validation_accuracy` (fractions in [0, 1]). A row may lack a key, or hold None or NaN
            for it; an infinite value is left out like a missing one. Rows without `epoch` count from 1.
        title: one line above the panels.

    A quantity no row holds gets no panel. The best epoch is the first of highest validation accuracy, or of lowest
    validation loss where no row has a validation accuracy; without either no epoch is marked.

    Raises:
        QuaclrsError: no rows, or neither a loss nor an accuracy in any of them.
    """
    if not history:
        raise QuaclrsError("history has no rows: train at least one epoch before drawing its curves")
    epochs = np.array([row.get("epoch", index) for index, row in enumerate(history, start=1)], dtype=float)
    curves = {
        (split, quantity): _column(history, f"{split}_{quantity}")
        for split in _STYLES
        for quantity in ("loss", "accuracy")
    }
    quantities = [q for q in ("loss", "accuracy") if any(np.isfinite(curves[split, q]).any() for split in _STYLES)]
    if not quantities:
        raise QuaclrsError("history holds neither a loss nor an accuracy: there is nothing to draw")
    best = _best_row(curves["validation", "accuracy"], curves["validation", "loss"])

    figure = empty_figure(5.2 * len(quantities), 4)
    figure.suptitle(title)
    panels: list[Axes] = figure.subplots(1, len(quantities), squeeze=False, gridspec_kw={"wspace": 0.06})[0].tolist()
    for axes, quantity in zip(panels, quantities, strict=True):
        for split, style in _STYLES.items():
            known = np.isfinite(curves[split, quantity])
            if known.any():
                axes.plot(epochs[known], curves[split, quantity][known], markersize=3, label=split, **style)
        if best is not None:
            _mark_best(axes, epochs[best], curves["validation", quantity][best], quantity)
        axes.set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlabel("epoch")
        axes.set_ylabel(quantity)
        clean_axes(axes)
        axes.legend(frameon=False)
        if quantity == "accuracy":
            percent_axes(axes.yaxis)
            axes.set_ylabel("accuracy (share of clips)")
    return figure


def _column(history: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    values = (row.get(key) for row in history)
    column = np.array([np.nan if value in (None, "") else float(value) for value in values])
    return np.where(np.isfinite(column), column, np.nan)


def _best_row(accuracy: np.ndarray, loss: np.ndarray) -> int | None:
    if np.isfinite(accuracy).any():
        return int(np.nanargmax(accuracy))
    if np.isfinite(loss).any():
        return int(np.nanargmin(loss))
    return None


def _mark_best(axes: Axes, epoch: float, value: float, quantity: str) -> None:
    label = f"best epoch {epoch:g}"
    if np.isfinite(value):
        label += f" ({percent(value)})" if quantity == "accuracy" else f" ({value:.3f})"
        axes.plot(epoch, value, marker="*", markersize=13, color=BLACK, linestyle="none", zorder=3)
    axes.axvline(epoch, color=BLACK, linewidth=1, linestyle=":", label=label)
