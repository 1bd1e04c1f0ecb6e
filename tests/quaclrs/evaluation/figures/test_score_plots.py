"""Figures of scores, by what they draw: curves of scikit-learn, bars of the metrics, bins by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from quaclrs import QuaclrsError
from quaclrs.evaluation.calibration import measure_reliability
from quaclrs.evaluation.figures.scores import (
    per_class_figure,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
)
from quaclrs.evaluation.metrics import classification_metrics

NAMES = ["air_conditioner", "dog_bark", "siren"]


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 60)
    logits = generator.normal(0, 1, (60, 3)) + 1.5 * np.eye(3)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def legend_of(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def area_below(line) -> float:
    return float(np.trapezoid(line.get_ydata(), line.get_xdata()))


def test_roc_curves_enclose_the_area_that_scikit_learn_has_for_the_class(scores):
    labels, probabilities = scores
    figure = roc_figure(labels, probabilities, NAMES, "title")
    lines = figure.axes[0].lines
    for place, name in enumerate(NAMES):
        area = roc_auc_score(labels == place, probabilities[:, place])
        assert area_below(lines[place]) == pytest.approx(area, abs=1e-9)
        assert legend_of(figure)[place] == f"{name.replace('_', ' ')} ({area:.2f})"


def test_precision_recall_curves_are_named_with_scikit_learns_average_precision(scores):
    labels, probabilities = scores
    found = legend_of(precision_recall_figure(labels, probabilities, NAMES, "title"))
    areas = [average_precision_score(labels == place, probabilities[:, place]) for place in range(3)]
    assert found == [f"{n.replace('_', ' ')} ({a:.2f})" for n, a in zip(NAMES, areas, strict=True)]


@pytest.mark.parametrize("draw", [roc_figure, precision_recall_figure])
def test_a_class_without_clips_has_no_curve(draw, scores):
    labels, probabilities = scores
    kept = labels != 2
    assert len(legend_of(draw(labels[kept], probabilities[kept], NAMES, "title"))) == 2


def test_bars_are_the_figures_of_every_class_best_f1_first(scores):
    labels, probabilities = scores
    per_class = classification_metrics(labels, probabilities, NAMES)["per_class"]
    (axes,) = per_class_figure(per_class, "title").axes
    ordered = sorted(per_class, key=lambda name: -per_class[name]["f1"])
    assert [t.get_text() for t in axes.get_yticklabels()] == [
        f"{n.replace('_', ' ')} ({per_class[n]['support']})" for n in ordered
    ]
    for bars, key in zip(axes.containers, ("recall", "precision", "f1"), strict=True):
        assert [bar.get_width() for bar in bars] == pytest.approx([per_class[name][key] for name in ordered])


def test_calibration_error_is_the_gap_of_confidence_and_accuracy_weighted_by_clips():
    probabilities = np.array([[0.95, 0.05], [0.85, 0.15], [0.55, 0.45], [0.6, 0.4]])
    found = measure_reliability(np.array([0, 1, 0, 1]), probabilities)
    # bins: (0.5, 0.6] holds 0.55 and 0.6, one of two right; (0.8, 0.9] 0.85, wrong; (0.9, 1] 0.95, right
    expected = (2 * abs(0.575 - 0.5) + 1 * abs(0.85 - 0) + 1 * abs(0.95 - 1)) / 4
    assert found.error == pytest.approx(expected)
    assert found.clips.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 1, 1]
    assert np.isnan(found.accuracy[0]) and found.accuracy[5] == 0.5


def test_scores_drawn_from_themselves_have_next_to_no_calibration_error():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([1, 1, 1], 50_000)
    labels = (probabilities.cumsum(1) > generator.random((50_000, 1))).argmax(1)
    assert measure_reliability(labels, probabilities).error < 0.01


def test_the_reliability_figure_says_the_error_and_draws_a_bar_a_bin_with_clips(scores):
    labels, probabilities = scores
    figure = reliability_figure(labels, probabilities, "title")
    found = measure_reliability(labels, probabilities)
    above, below = figure.axes
    assert f"calibration error {found.error:.1%}" in above.get_title()
    assert len(above.patches) == (found.clips > 0).sum()
    assert [bar.get_height() for bar in below.patches] == found.clips.tolist()


def test_scores_that_do_not_fit_the_labels_are_one_line():
    with pytest.raises(QuaclrsError, match="do not fit 3 labels"):
        measure_reliability(np.zeros(3, dtype=int), np.ones((2, 2)) / 2)
