"""The picture of an explanation: a spectrogram, and over it what spoke for a class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from ..reports.tables import percent, seconds
from .spectrograms import draw_spectrogram, spectrogram_extent
from .style import empty_figure

if TYPE_CHECKING:
    from ...inference.explain import Explanation
    from ...models import LogMelConfig

#: Opacity where the heat is 1: the spectrogram stays visible below.
_OPACITY = 0.75


def explanation_figure(explanation: Explanation, front_end: LogMelConfig) -> Figure:
    """Draw the log-mel alone and, below it, under the heat of the explained class.

    Args:
        explanation: of `quaclrs.inference.explain.explain`.
        front_end: of the classifier that was explained.
    """
    figure = empty_figure(8, 6)
    alone, explained = figure.subplots(2, 1, sharex=True)
    for axes in (alone, explained):
        image = draw_spectrogram(axes, explanation.log_mel, explanation.duration, front_end)
        axes.set_ylabel("frequency (Hz)")
    heat = explained.imshow(
        explanation.heat,
        origin="lower",
        aspect="auto",
        cmap="viridis",
        vmin=0,
        vmax=1,
        alpha=_OPACITY * np.clip(explanation.heat, 0, 1),
        extent=spectrogram_extent(explanation.duration, front_end),
    )
    alone.set_title("spectrogram", fontsize=11)
    scores = explanation.faithfulness.scores
    hottest, random = (percent(scores[name]) for name in ("without_most_heat", "without_random"))
    explained.set_title(
        f"what speaks for {explanation.label.replace('_', ' ')} (score {percent(explanation.score)})\n"
        f"without the hottest tenth {hottest}, without a tenth at random {random}",
        fontsize=11,
    )
    is_middle = explanation.total > explanation.duration
    explained.set_xlabel(f"time (s), in the middle of {seconds(explanation.total)}" if is_middle else "time (s)")
    figure.colorbar(image, ax=alone, label="dB below the loudest cell")
    # Of colours alone: the image's own opacity differs from cell to cell.
    figure.colorbar(ScalarMappable(heat.norm, heat.cmap), ax=explained, label="share of the strongest")
    return figure
