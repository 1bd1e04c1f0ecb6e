"""Confusion matrices: of one model with its numbers of clips, and of several side by side (the paper's figure 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from quaclrs.errors import QuaclrsError

from .style import empty_figure, percent_axes

Counts = Sequence[Sequence[int]] | np.ndarray


def confusion_matrix_figure(confusion_matrix: Counts, class_names: Sequence[str], title: str) -> Figure:
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
    side = 2.4 + 0.5 * classes  # inches: 0.5 a cell holds a count of four digits
    # "compressed" makes the colour bar as high as the square matrix.
    figure = empty_figure(side + 1.0, side, "compressed")
    axes = figure.add_subplot()
    image = _draw_matrix(axes, counts, class_names, "confusion_matrix", line_width=1)
    names = [name.replace("_", " ") for name in class_names]
    rows = [f"{name} ({total:,})" for name, total in zip(names, counts.sum(axis=1).tolist(), strict=True)]
    axes.set_xticks(range(classes), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(classes), rows)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (clips)")
    figure.suptitle(title)
    for row, column in np.argwhere(counts > 0).tolist():
        colour = _text_colour_on(image.cmap(image.norm(counts[row, column] / counts[row].sum())))
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=9, color=colour)
    _add_bar(figure, image, axes)
    return figure


def confusion_matrices_figure(
    matrices: Mapping[str, Counts], class_names: Sequence[str], title: str, columns: int = 4
) -> Figure:
    """Draw confusion matrices in a grid, in the colours of `confusion_matrix_figure`.

    Numbers of clips would be too small to read, so there are none.

    Args:
        matrices: name of a model -> (classes, classes) counts, row = true class, column = predicted class.
        class_names: the classes' names in the order of the rows.
        title: above the matrices.
        columns: matrices side by side.

    Raises:
        QuaclrsError: no matrix is given, or one lacks a row and column for each name.
    """
    if not matrices:
        raise QuaclrsError("no confusion matrix to draw; give one at least")
    classes = len(class_names)
    columns = min(columns, len(matrices))
    rows = -(-len(matrices) // columns)
    side = 1.0 + 0.2 * classes  # inches: 0.2 a cell is as high as its name
    figure = empty_figure(columns * side + 2.5, rows * side + 2.0, "compressed")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    names = [name.replace("_", " ") for name in class_names]
    for place, (axes, (name, matrix)) in enumerate(zip(panels.flat, matrices.items(), strict=False)):
        counts = np.asarray(matrix)
        image = _draw_matrix(axes, counts, class_names, f"the confusion matrix of {name}", line_width=0.5)
        axes.set_title(f"{name}: {np.trace(counts) / max(counts.sum(), 1):.0%} right", fontsize=11)
        axes.set_xticks(range(classes), names, rotation=90, fontsize=8)
        axes.set_yticks(range(classes), names, fontsize=8)
        axes.tick_params(labelbottom=place + columns >= len(matrices))  # the lowest matrix of every column
    for axes in list(panels.flat)[len(matrices) :]:
        axes.set_visible(False)
    figure.suptitle(f"{title}\n")  # an empty line keeps it off the titles of the matrices
    figure.supxlabel("predicted class")
    figure.supylabel("true class")
    _add_bar(figure, image, panels, shrink=0.6, aspect=30)
    return figure


def _draw_matrix(axes: Axes, counts: np.ndarray, class_names: Sequence[str], what: str, line_width: float) -> AxesImage:
    classes = len(class_names)
    if classes == 0 or counts.shape != (classes, classes):
        raise QuaclrsError(
            f"{what} must be of shape {(classes, classes)} for {classes} class names, not {counts.shape}"
        )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    # White lines between the cells keep neighbours of equal colour countable.
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=line_width)
    axes.tick_params(which="both", length=0)
    return image


def _add_bar(figure: Figure, image: AxesImage, axes: Any, **options: Any) -> None:
    bar = figure.colorbar(image, ax=axes, label="share of the true class", **options)
    percent_axes(bar.ax.yaxis)


def _text_colour_on(background: Sequence[float] | np.ndarray) -> str:
    """Black or white, whichever has the higher contrast ratio on an sRGB background (WCAG 2, relative luminance)."""
    srgb = np.array(background[:3])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    return "black" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "white"
