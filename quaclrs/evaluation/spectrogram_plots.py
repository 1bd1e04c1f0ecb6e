"""Log-mel spectrograms as pictures, with axes in seconds and hertz."""

from __future__ import annotations

from collections.abc import Mapping

import librosa
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from .plots import empty_figure


def draw_spectrogram(
    axes: Axes, log_mel: np.ndarray, duration: float, f_min: float, f_max: float, top_db: float
) -> AxesImage:
    """Draw a log-mel (n_mels, frames) in [0, 1], lowest band first; bands are equally wide on Slaney's mel scale.

    Args:
        axes: get ticks in Hz; what the caller draws above must use `spectrogram_extent`.
        log_mel: 1 is the loudest cell.
        duration: seconds that the frames span.
        f_min, f_max: edges of the mel bands in Hz.
        top_db: decibels between 0 and 1.
    """
    image = axes.imshow(
        (log_mel - 1) * top_db,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-top_db,
        vmax=0,
        extent=spectrogram_extent(duration, f_min, f_max),
    )
    ticks = [f for f in (100, 500, 1000, 2000, 4000, 8000, 16000) if f_min <= f <= f_max]
    axes.set_yticks([float(librosa.hz_to_mel(f)) for f in ticks], [f"{f:g}" for f in ticks])
    return image


def spectrogram_extent(duration: float, f_min: float, f_max: float) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a spectrogram in its axes: seconds, and mels on Slaney's scale."""
    return 0.0, duration, float(librosa.hz_to_mel(f_min)), float(librosa.hz_to_mel(f_max))


def spectrogram_grid_figure(
    spectrograms: Mapping[str, np.ndarray], duration: float, f_min: float, f_max: float, top_db: float, columns: int = 4
) -> Figure:
    """Draw log-mel spectrograms in a grid, each under its name, with axes in seconds and hertz.

    Args:
        spectrograms: name -> (n_mels, frames) in [0, 1], lowest band first.
        duration: seconds that the frames span.
        f_min, f_max: edges of the mel bands in Hz; the bands are equally wide on Slaney's mel scale.
        top_db: decibels between 0 and 1.
        columns: panels side by side.
    """
    rows = -(-len(spectrograms) // columns)
    figure = empty_figure(3 * columns, 2.1 * rows + 0.3, "constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    image = None
    for place, (panel, (name, spectrogram)) in enumerate(zip(panels.flat, spectrograms.items(), strict=False)):
        image = draw_spectrogram(panel, spectrogram, duration, f_min, f_max, top_db)
        panel.set_title(name.replace("_", " "), fontsize=10)
        panel.tick_params(labelbottom=place + columns >= len(spectrograms))  # the lowest panel of every column
    for panel in list(panels.flat)[len(spectrograms) :]:
        panel.set_visible(False)
    figure.supxlabel("time (s)", fontsize=10)
    figure.supylabel("frequency (Hz)", fontsize=10)
    if image is not None:
        figure.colorbar(image, ax=panels, label="dB below the loudest cell", shrink=0.6, aspect=30)
    return figure
