"""Log-mel spectrograms as pictures, with axes in seconds and hertz."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from transformers.audio_utils import hertz_to_mel

from .style import empty_figure

if TYPE_CHECKING:
    from ...models import LogMelConfig


def draw_spectrogram(axes: Axes, log_mel: np.ndarray, duration: float, front_end: LogMelConfig) -> AxesImage:
    """Draw a log-mel (n_mels, frames) in [0, 1], lowest band first; bands are equally wide on its mel scale.

    Args:
        axes: get ticks in Hz; what the caller draws above must use `spectrogram_extent`.
        log_mel: 1 is the loudest cell.
        duration: seconds that the frames span.
        front_end: that made it.
    """
    image = axes.imshow(
        (log_mel - 1) * front_end.top_db,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-front_end.top_db,
        vmax=0,
        extent=spectrogram_extent(duration, front_end),
    )
    ticks = [f for f in (100, 500, 1000, 2000, 4000, 8000, 16000) if front_end.f_min <= f <= front_end.f_max]
    axes.set_yticks([_to_mel(f, front_end) for f in ticks], [f"{f:g}" for f in ticks])
    return image


def spectrogram_extent(duration: float, front_end: LogMelConfig) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a spectrogram in its axes: seconds, and mels on the front end's scale."""
    return 0.0, duration, _to_mel(front_end.f_min, front_end), _to_mel(front_end.f_max, front_end)


def _to_mel(hertz: float, front_end: LogMelConfig) -> float:
    return float(hertz_to_mel(hertz, front_end.mel_scale))


def spectrogram_grid_figure(
    spectrograms: Mapping[str, np.ndarray], duration: float, front_end: LogMelConfig, columns: int = 4
) -> Figure:
    """Draw log-mel spectrograms in a grid, each under its name, with axes in seconds and hertz.

    Args:
        spectrograms: name -> (n_mels, frames) in [0, 1], lowest band first.
        duration: seconds that the frames span.
        front_end: that made them.
        columns: panels side by side.
    """
    rows = -(-len(spectrograms) // columns)
    figure = empty_figure(3 * columns, 2.1 * rows + 0.3)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    image = None
    for place, (panel, (name, spectrogram)) in enumerate(zip(panels.flat, spectrograms.items(), strict=False)):
        image = draw_spectrogram(panel, spectrogram, duration, front_end)
        panel.set_title(name.replace("_", " "), fontsize=10)
        panel.tick_params(labelbottom=place + columns >= len(spectrograms))  # the lowest panel of every column
    for panel in list(panels.flat)[len(spectrograms) :]:
        panel.set_visible(False)
    figure.supxlabel("time (s)", fontsize=10)
    figure.supylabel("frequency (Hz)", fontsize=10)
    if image is not None:
        figure.colorbar(image, ax=panels, label="dB below the loudest cell", shrink=0.6, aspect=30)
    return figure
