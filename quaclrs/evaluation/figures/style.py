"""The look of every figure: one palette, axes without clutter, and files that appear whole or not at all.

Figures are built with matplotlib's object-oriented API and the Agg canvas: no display, no global pyplot state, nothing
to close, safe in any thread.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from quaclrs.errors import QuaclrsError
from quaclrs.files import name_unwritable, refuse_unwritable, written

from .letters import all_letters

# Okabe and Ito's palette (2008), told apart with any colour vision. Its yellow is left out: too pale on white.
BLACK, ORANGE, SKY_BLUE, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#999999"

#: Colours of classes, in turn.
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, SKY_BLUE, PURPLE, BLACK)

#: Colour and marker of results side by side, in turn; markers tell them apart in a print in grey.
SERIES = ((BLACK, "o"), (BLUE, "s"), (VERMILION, "^"), (GREEN, "D"), (PURPLE, "v"), (ORANGE, "P"))


def empty_figure(
    width: float, height: float, layout: Literal["constrained", "compressed"] | None = "constrained"
) -> Figure:
    """A figure of that size in inches that needs no display."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def clean_axes(axes: Axes, grid: Literal["both", "x", "y"] = "both") -> None:
    """Draw a faint grid and leave out the frame at the top and on the right."""
    axes.grid(axis=grid, alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def percent_axes(*axes: Axis) -> None:
    """Label axes of shares in [0, 1] in per cent."""
    for axis in axes:
        axis.set_major_formatter(PercentFormatter(xmax=1))


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure at 150 dpi in the format of the path's suffix (png, pdf, svg, ...) and return the path.

    Missing folders are made. The file appears whole or not at all. Letters that matplotlib's font lacks are drawn by an
    installed font that has them; a `QuaclrsWarning` names those that none has.

    Raises:
        QuaclrsError: matplotlib cannot write a file of that suffix.
    """
    path = Path(path)
    file_format = _format_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QuaclrsError(f"{path} cannot be written ({error.strerror}); choose another place") from error
    with name_unwritable(path), written(path) as unfinished, all_letters(figure):
        figure.savefig(unfinished, dpi=150, format=file_format, bbox_inches="tight")
    return path


def refuse_figure(path: str | os.PathLike[str]) -> None:
    """Raise a `QuaclrsError`, before the work, where `save_figure` could not write this file."""
    _format_of(Path(path))
    if os.path.isdir(path):
        raise QuaclrsError(f"{path} is a folder; give --output a file in it")
    refuse_unwritable(path, "--output")


def _format_of(path: Path) -> str:
    file_format = path.suffix.lstrip(".").lower()
    supported = FigureCanvasAgg.get_supported_filetypes()
    if file_format not in supported:
        raise QuaclrsError(f"{path}: cannot write a figure of this suffix; use one of {', '.join(sorted(supported))}")
    return file_format
