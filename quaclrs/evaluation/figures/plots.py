"""Figures of a training run and of a data set: confusion matrix, training curves, spectrograms.

Figures are built with matplotlib's object-oriented API and the Agg canvas: no display, no global pyplot state, nothing
to close, safe in any thread.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from quaclrs.errors import QuaclrsError

# Blue and vermilion of Okabe and Ito's palette, told apart with any colour vision; the line style differs as well.
_STYLES: dict[str, dict[str, Any]] = {
    "train": {"color": "#0072B2", "linestyle": "--", "marker": "o"},
    "validation": {"color": "#D55E00", "linestyle": "-", "marker": "s"},
}


def confusion_matrix_figure(
    confusion_matrix: Sequence[Sequence[int]] | np.ndarray, class_names: Sequence[str], title: str
) -> Figure:
    """Draw a confusion matrix: colour is the share of the true class, text the number of clips.

    Args:
        confusion_matrix: (classes, classes) counts, row = true class, column = predicted class. A class without test
            clips is a row of rate 0. Cells without clips carry no text.
        class_names: the classes' names in the order of the rows.
        title: one line above the matrix.

    Raises:
        QuaclrsError: the matrix is not square or has not as many rows as there are names.
    """
    counts = np.asarray(confusion_matrix)
    classes = len(class_names)
    if classes == 0 or counts.shape != (classes, classes):
        raise QuaclrsError(
            f"confusion_matrix must be of shape {(classes, classes)} for {classes} class names, not {counts.shape}"
        )
    support = counts.sum(axis=1, keepdims=True)
    rates = counts / np.maximum(support, 1)

    side = 2.4 + 0.5 * classes  # inches: 0.5 a cell holds a count of four digits
    # "compressed" makes the colour bar as high as the square matrix.
    figure = empty_figure(width=side + 1.0, height=side, layout="compressed")
    axes = figure.add_subplot()
    colours = colormaps["Blues"]
    image = axes.imshow(rates, cmap=colours, vmin=0, vmax=1)
    names = [name.replace("_", " ") for name in class_names]
    rows = [f"{name} ({total:,})" for name, total in zip(names, support[:, 0].tolist(), strict=True)]
    axes.set_xticks(range(classes), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(classes), rows)
    # White lines between the cells keep neighbours of equal colour countable.
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (clips)")
    figure.suptitle(title)
    for row, column in np.argwhere(counts > 0).tolist():
        axes.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            fontsize=9,
            color=_text_colour_on(colours(rates[row, column])),
        )
    bar = figure.colorbar(image, ax=axes, format=PercentFormatter(xmax=1))
    bar.set_label("share of the true class")
    return figure


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

    figure = empty_figure(width=5.2 * len(quantities), height=4, layout="constrained")
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
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        if quantity == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
            axes.set_ylabel("accuracy (share of clips)")
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure at 150 dpi in the format of the path's suffix (png, pdf, svg, ...) and return the path.

    Missing folders are made. The file appears whole or not at all: it is written beside its place, then renamed.

    Raises:
        QuaclrsError: matplotlib cannot write a file of that suffix.
    """
    path = Path(path)
    file_format = path.suffix.lstrip(".").lower()
    supported = figure.canvas.get_supported_filetypes()
    if file_format not in supported:
        raise QuaclrsError(f"{path}: cannot write a figure of this suffix; use one of {', '.join(sorted(supported))}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QuaclrsError(f"{path} cannot be written ({error.strerror}); choose another place") from error
    # A folder of its own in the same file system: the rename is atomic and the file gets the usual permissions.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".figure-") as folder:
        unfinished = Path(folder) / path.name
        figure.savefig(unfinished, dpi=150, format=file_format, bbox_inches="tight")
        os.replace(unfinished, path)
    return path


def empty_figure(width: float, height: float, layout: Literal["constrained", "compressed"]) -> Figure:
    """A figure of that size in inches that needs no display."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _text_colour_on(background: tuple[float, float, float, float]) -> str:
    """Black or white, whichever has the higher contrast ratio on an sRGB background (WCAG 2, relative luminance)."""
    srgb = np.array(background[:3])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    return "black" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "white"


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
        label += f" ({value:.1%})" if quantity == "accuracy" else f" ({value:.3f})"
        axes.plot(epoch, value, marker="*", markersize=13, color="black", linestyle="none", zorder=3)
    axes.axvline(epoch, color="black", linewidth=1, linestyle=":", label=label)
