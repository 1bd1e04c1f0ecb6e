"""The figure over the signal-to-noise ratio shows the numbers it was given; nothing is cut off or overlaps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.figures.robustness import accuracy_over_snr_figure

CONDITIONS = [
    {"snr_db": "clean", "accuracy": 0.8, "accuracy_urbansound8k": 0.75, "accuracy_sirennet": 0.95},
    {"snr_db": 20.0, "accuracy": 0.7, "accuracy_urbansound8k": 0.65, "accuracy_sirennet": 0.9},
    {"snr_db": -5.0, "accuracy": 0.2, "accuracy_urbansound8k": 0.1, "accuracy_sirennet": 0.5},
    {"snr_db": 5.0, "accuracy": 0.5, "accuracy_urbansound8k": 0.4, "accuracy_sirennet": 0.8},
]


def curves(figure: Figure) -> dict[str, tuple[list[float], list[float]]]:
    (axes,) = figure.axes
    named = (line for line in axes.lines if not str(line.get_label()).startswith("_"))
    return {str(line.get_label()): (list(line.get_xdata()), list(line.get_ydata())) for line in named}


def tick_labels(figure: Figure) -> dict[str, float]:
    (axes,) = figure.axes
    return {label.get_text(): at for label, at in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)}


def test_curves_run_over_rising_decibels_with_clean_clips_apart_at_the_right() -> None:
    figure = accuracy_over_snr_figure(CONDITIONS, "fold 1")
    assert curves(figure) == {
        "all clips": ([-5, 5, 20], [0.2, 0.5, 0.7]),
        "UrbanSound8K's classes": ([-5, 5, 20], [0.1, 0.4, 0.65]),
        "new classes": ([-5, 5, 20], [0.5, 0.8, 0.9]),
    }
    (axes,) = figure.axes
    clean_at = tick_labels(figure)["clean"]
    assert clean_at > 20
    ends = [(line.get_xdata()[-1], line.get_ydata()[-1]) for line in axes.lines if line.get_xdata()[-1] == clean_at]
    assert [y for _, y in ends] == [0.8, 0.75, 0.95]
    assert axes.get_ylim() == (0, 1)
    assert "dB" in axes.get_xlabel()
    assert "share of clips" in axes.get_ylabel()


def test_curves_differ_in_line_and_marker_as_well_as_in_colour() -> None:
    (axes,) = accuracy_over_snr_figure(CONDITIONS, "").axes
    named = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    for of_line in ("get_linestyle", "get_marker", "get_color"):
        assert len({getattr(line, of_line)() for line in named}) == 3


def test_clips_of_one_source_make_one_curve() -> None:
    conditions = [condition | {"accuracy_sirennet": None} for condition in CONDITIONS]
    assert list(curves(accuracy_over_snr_figure(conditions, ""))) == ["all clips"]
    bare = [{"snr_db": condition["snr_db"], "accuracy": condition["accuracy"]} for condition in CONDITIONS]
    assert list(curves(accuracy_over_snr_figure(bare, ""))) == ["all clips"]


@pytest.mark.parametrize(
    "snrs",
    [
        ["clean"],
        [7.3],
        [7.3, 7.4],
        ["clean", -5],
        ["clean", 20, 15, 10, 5, 0, -5],
        ["clean", *range(-40, 41)],
        ["clean", 20, 19.9, 19.8],
        ["clean", 100, -100],
    ],
)
def test_nothing_is_cut_off_or_overlaps_whatever_the_ratios(snrs: list) -> None:
    figure = accuracy_over_snr_figure([CONDITIONS[0] | {"snr_db": snr} for snr in snrs], "test split\nnoise: gaussian")
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    boxes = {text: text.get_window_extent() for text in texts}
    for text, box in boxes.items():
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, text.get_text()
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, text.get_text()
    for first, second in itertools.combinations(texts, 2):
        assert not boxes[first].overlaps(boxes[second]), (first.get_text(), second.get_text())
    noisy = [snr for snr in snrs if snr != "clean"]
    marked = [at for label, at in tick_labels(figure).items() if label != "clean"]
    assert bool(marked) == bool(noisy)
    assert all(min(noisy) <= at <= max(noisy) for at in marked)
    assert np.all(np.diff(sorted(marked)) > 0)


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(QuaclrsError, match="no signal-to-noise ratios"):
        accuracy_over_snr_figure([], "")
