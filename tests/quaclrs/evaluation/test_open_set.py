"""Figures with the class `other`, against figures counted by hand and by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from quaclrs.evaluation.open_set import offset_of_other, open_set_figures, open_set_intervals, without_other
from quaclrs.evaluation.reports.cross_validation import open_set_table

NAMES = ["dog_bark", "siren", "other"]
SCORES = np.array(
    [
        [0.7, 0.2, 0.1],  # a dog, named rightly
        [0.3, 0.1, 0.6],  # a dog, called other; rightly named without it
        [0.2, 0.7, 0.1],  # a dog, called a siren
        [0.1, 0.8, 0.1],  # a siren, named rightly
        [0.6, 0.1, 0.3],  # rain, called a dog with certainty
        [0.1, 0.2, 0.7],  # rain, called other
        [0.2, 0.4, 0.4 - 1e-9],  # a cat, called a siren
    ]
)
LABELS = np.array([0, 0, 0, 1, 2, 2, 2])
KINDS = ["", "", "", "", "rain", "rain", "cat"]


def test_the_figures_are_those_that_one_counts_by_hand() -> None:
    found = open_set_figures(LABELS, SCORES, NAMES, KINDS, seconds=4.0)

    assert (found["clips"], found["background_clips"], found["kinds"]) == (4, 3, 2)
    assert found["accuracy"] == 3 / 4
    assert found["accuracy_with_other"] == 2 / 4
    assert found["kept"] == 2 / 3
    assert found["false_alarms"] == 2 / 3
    assert found["false_certain"] == 1 / 3
    assert found["per_kind"] == {"rain": 0.5, "cat": 1.0}
    best = [0.7, 0.3, 0.7, 0.8, 0.6, 0.2, 0.4]
    assert found["auroc"] == pytest.approx(roc_auc_score([1, 1, 1, 1, 0, 0, 0], best))
    assert found["auroc_other"] == pytest.approx(roc_auc_score([0, 0, 0, 0, 1, 1, 1], SCORES[:, -1]))


def test_so_little_background_does_not_tell_of_one_alarm_an_hour() -> None:
    found = open_set_figures(LABELS, SCORES, NAMES, KINDS, seconds=4.0)["at_alarms_per_hour"]

    assert found["1"] == {"threshold": None, "recall": None}


def test_at_most_the_allowed_share_of_background_reaches_the_threshold() -> None:
    generator = np.random.default_rng(0)
    scores = generator.dirichlet([1, 1, 1], size=2800)
    labels = np.array([0] * 400 + [1] * 600 + [2] * 1800)
    found = open_set_figures(labels, scores, NAMES, ["rain"] * 2800, seconds=4.0)["at_alarms_per_hour"]

    best = scores[:, :2].max(1)
    for count in (1, 10):
        threshold = found[str(count)]["threshold"]
        reaching = int((best[1000:] >= threshold).sum())
        assert reaching == 2 * count  # 1,800 windows of 4 s are two hours
        right = (scores[:1000, :2].argmax(1) == labels[:1000]) & (best[:1000] >= threshold)
        assert found[str(count)]["recall"] == pytest.approx(right.mean())


def test_the_table_counts_one_alarm_as_one() -> None:
    found = open_set_figures(LABELS, SCORES, NAMES, KINDS, seconds=4.0)
    found["at_alarms_per_hour"]["1"] = {"threshold": 0.9, "recall": 0.5}
    assert "| recall at 1 false alarm an hour (score 0.90)" in open_set_table(found)


def test_where_other_is_not_allowed_the_classes_share_its_probability() -> None:
    np.testing.assert_allclose(without_other(SCORES, 2)[1], [0.75, 0.25])
    assert without_other(SCORES, 3) is not None
    np.testing.assert_array_equal(without_other(SCORES, 3), SCORES)


@pytest.mark.parametrize("keep", [0.9, 0.955])
def test_the_offset_of_other_keeps_as_many_right_answers_as_asked(keep: float) -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 5, size=4000)
    logits = generator.normal(size=(4000, 6)) + 3 * np.eye(6)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    logits[:, 5] += offset_of_other(labels, probabilities, keep)

    right = logits[:, :5].argmax(1) == labels
    assert (logits.argmax(1) == labels)[right].mean() == pytest.approx(keep, abs=1e-3)


def test_intervals_hold_the_figures_and_narrow_with_more_recordings() -> None:
    generator = np.random.default_rng(2)

    def width(groups: int) -> float:
        labels = np.repeat([0, 1, 2], 5 * groups)
        scores = generator.dirichlet([1, 1, 1], size=len(labels)) + 0.5 * np.eye(3)[labels]
        scores /= scores.sum(1, keepdims=True)
        names = [f"{label}-{i // 5}" for i, label in enumerate(labels)]
        kinds = [name if label == 2 else "" for name, label in zip(names, labels, strict=True)]
        figures = open_set_figures(labels, scores, NAMES, kinds, 4.0)
        intervals = open_set_intervals(labels, scores, NAMES, kinds, names, 4.0, replicates=100)
        for name, (low, high) in intervals.items():
            assert low <= figures[name] <= high
        return intervals["false_alarms"][1] - intervals["false_alarms"][0]

    assert width(80) < width(8)


@pytest.mark.parametrize(
    ("labels", "names", "words"), [([0, 1], NAMES, "both"), ([2, 2], NAMES, "both"), ([0, 2], ["a", "b", "c"], "other")]
)
def test_one_side_alone_or_a_model_without_other_has_no_such_figures(labels, names, words) -> None:
    with pytest.raises(ValueError, match=words):
        open_set_figures(np.array(labels), SCORES[:2], names, ["", "rain"], 4.0)
