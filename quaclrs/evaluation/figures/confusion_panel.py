"""Confusion matrices of several models side by side (the paper's figure 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from quaclrs.errors import QuaclrsError

from .plots import empty_figure


def confusion_matrices_figure(
    matrices: Mapping[str, Sequence[Sequence[int]] | np.ndarray],
    class_names: Sequence[str],
    title: str,
    columns: int = 4,
) -> Figure:
    """Draw confusion matrices in a grid: colour is the share of the true class, as `confusion_matrix_figure` has it.

    Numbers of clips would be too small to read, so there are none.

    Args:
        matrices: name of a model -> (classes, classes) counts, row = true class, column = predicted class.
        class_names: the classes' names in the order of the rows.
        title: above the matrices.
        columns: matrices side by side.

    Raises:
        QuaclrsError: there is no matrix, or one has not as many rows and columns as there are names.
    """
    if not matrices:
        raise QuaclrsError("there is no confusion matrix to draw; give one at least")
    classes = len(class_names)
    columns = min(columns, len(matrices))
    rows = -(-len(matrices) // columns)
    side = 1.0 + 0.2 * classes  # inches: 0.2 a cell is as high as its name
    figure = empty_figure(columns * side + 2.5, rows * side + 2.0, "compressed")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    names = [name.replace("_", " ") for name in class_names]
    image: Any = None
    for place, (axes, (name, matrix)) in enumerate(zip(panels.flat, matrices.items(), strict=False)):
        counts = np.asarray(matrix)
        if counts.shape != (classes, classes):
            raise QuaclrsError(f"the confusion matrix of {name} must be of shape {(classes, classes)}")
        support = counts.sum(axis=1, keepdims=True)
        image = axes.imshow(counts / np.maximum(support, 1), cmap=colormaps["Blues"], vmin=0, vmax=1)
        share = np.trace(counts) / max(counts.sum(), 1)
        axes.set_title(f"{name}: {share:.0%} right", fontsize=11)
        axes.set_xticks(range(classes), names, rotation=90, fontsize=8)
        axes.set_yticks(range(classes), names, fontsize=8)
        # White lines between the cells keep neighbours of equal colour countable.
        axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=0.5)
        axes.tick_params(which="both", length=0)
        axes.tick_params(labelbottom=place + columns >= len(matrices))  # the lowest matrix of every column
    for axes in list(panels.flat)[len(matrices) :]:
        axes.set_visible(False)
    figure.suptitle(f"{title}\n")  # an empty line keeps it off the titles of the matrices
    figure.supxlabel("predicted class")
    figure.supylabel("true class")
    bar = figure.colorbar(image, ax=panels, format=PercentFormatter(xmax=1), shrink=0.6, aspect=30)
    bar.set_label("share of the true class")
    return figure
