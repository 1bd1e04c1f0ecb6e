"""The figure of a cross-validation shows the folds it was given, and nothing in it is cut off."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.figures.cross_validation import fold_figures_figure

SUMMARY = {
    "scope": "Protocol strict, folds 1, 3 of 10 only: the other folds lack clips, so this is no 10-fold figure",
    "confidence": 0.95,
    "classes_with_support": 13,
    "classes_of_source": {"urbansound8k": 9, "sirennet": 4},
    "per_fold": [
        {"fold": 1, "accuracy": 0.80, "accuracy_urbansound8k": 0.75, "accuracy_sirennet": 0.95},
        {"fold": 3, "accuracy": 0.84, "accuracy_urbansound8k": 0.81, "accuracy_sirennet": None},
    ],
    "figures": {
        "accuracy": {"mean": 0.82, "pooled": 0.83, "interval": [0.78, 0.87]},
        "accuracy_urbansound8k": {"mean": 0.78, "pooled": 0.79, "interval": [0.74, 0.83]},
        "accuracy_sirennet": {"mean": 0.95, "pooled": 0.95, "interval": [0.89, 1.0]},
    },
}


def ten_folds(same: bool) -> dict:
    """Ten folds of every accuracy alike, or of accuracies from 50 to 100 %."""
    generator = np.random.default_rng(0)
    summary = copy.deepcopy(SUMMARY)
    names = list(SUMMARY["figures"])
    summary["per_fold"] = [
        {"fold": fold, **{name: 0.9 if same else generator.uniform(0.5, 1) for name in names}} for fold in range(1, 11)
    ]
    return summary


def spans(figure: Figure) -> list[tuple[float, ...]]:
    """(first x, first y, last x, last y) of the lines that `hlines` and `vlines` draw, in the order of drawing."""
    segments = [segment for lines in figure.axes[0].collections for segment in lines.get_segments()]
    return [tuple(np.asarray(segment).ravel().tolist()) for segment in segments]


def test_each_column_holds_its_folds_their_mean_and_the_pooled_figure_with_its_interval() -> None:
    figure = fold_figures_figure(SUMMARY, "a model")
    axes = figure.axes[0]
    heights = [line.get_ydata().tolist() for line in axes.lines]
    assert heights == [[0.80, 0.84], [0.83], [0.75, 0.81], [0.79], [0.95], [0.95]]
    drawn = spans(figure)
    assert [(low, high) for _, low, _, high in drawn[0::2]] == [(0.82, 0.82), (0.78, 0.78), (0.95, 0.95)]
    assert [(low, high) for _, low, _, high in drawn[1::2]] == [(0.78, 0.87), (0.74, 0.83), (0.89, 1.0)]
    assert [text.get_text() for text in axes.texts] == ["1", "3", "1", "3", "1"]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    assert columns == ["all 13 classes", "9 UrbanSound8K classes", "4 new classes"]


def test_protocol_and_folds_stand_on_the_figure_with_the_width_of_the_interval() -> None:
    texts = " ".join(text.get_text() for text in fold_figures_figure(SUMMARY, "a model").findobj(Text))
    assert SUMMARY["scope"] in " ".join(texts.split())
    assert "95 % interval" in texts and "a model" in texts


def test_columns_differ_in_marker_and_in_brightness_not_in_hue_alone() -> None:
    lines = fold_figures_figure(SUMMARY, "a model").axes[0].lines[::2]
    assert len({line.get_marker() for line in lines}) == 3
    # Relative luminance (WCAG 2), which a print in grey keeps: black, blue and vermilion lie far apart.
    luminances = []
    for line in lines:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(line.get_color())]
        luminances.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    assert np.diff(sorted(luminances)).min() > 0.05


@pytest.mark.parametrize("same", [True, False])
def test_ten_folds_keep_apart_even_where_all_are_equal_and_nothing_is_cut_off(same: bool) -> None:
    figure = fold_figures_figure(ten_folds(same), "efficientnet_b0, finetune, augment default")
    figure.canvas.draw()
    for text in [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]:
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, text.get_text()
        assert box.y0 >= 0 and box.y1 <= figure.bbox.y1, text.get_text()
    for line in figure.axes[0].lines[::2]:
        points = figure.axes[0].transData.transform(np.column_stack([line.get_xdata(), line.get_ydata()]))
        apart = np.diff(points[:, 0]) * 72 / figure.dpi
        assert (apart >= line.get_markersize()).all()
    numbers = figure.axes[0].texts
    boxes = [number.get_window_extent() for number in numbers]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_a_single_source_gets_no_column_beside_all_classes() -> None:
    summary = SUMMARY | {"classes_of_source": {"urbansound8k": 9}, "classes_with_support": 9}
    axes = fold_figures_figure(summary, "a model").axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["all 9 classes"]


def test_a_summary_without_folds_is_refused() -> None:
    with pytest.raises(QuaclrsError, match="no folds"):
        fold_figures_figure(SUMMARY | {"per_fold": []}, "")
