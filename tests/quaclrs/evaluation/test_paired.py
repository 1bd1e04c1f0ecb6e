"""The paired bootstrap against the same draws written out, and against what must come out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.paired import paired_difference


def one_hot(predicted, classes=3) -> np.ndarray:
    return np.eye(classes)[np.asarray(predicted)]


@pytest.fixture
def clips():
    """Labels, recordings and two models' predictions of 300 clips of 60 recordings."""
    generator = np.random.default_rng(0)
    recordings = generator.integers(0, 60, 300)
    labels = recordings % 3
    models = [np.where(generator.random(300) < p, labels, (labels + 1) % 3) for p in (0.7, 0.5)]
    return labels, [f"r{r}" for r in recordings], models


def test_the_difference_is_that_of_the_accuracies_and_lies_in_its_interval(clips):
    labels, recordings, (better, worse) = clips
    result = paired_difference(labels, one_hot(better), one_hot(worse), recordings)
    accuracies = [(predicted == labels).mean() for predicted in (better, worse)]
    assert (result["accuracy"], result["other"]) == pytest.approx(tuple(accuracies))
    assert result["difference"] == pytest.approx(accuracies[0] - accuracies[1])
    assert 0 < result["interval"][0] < result["difference"] < result["interval"][1]


def test_the_interval_is_that_of_recordings_drawn_by_class_and_scored_by_both_models(clips):
    labels, recordings, (better, worse) = clips
    generator = np.random.default_rng(1)
    names = np.array(recordings)
    by_class = [np.unique(names[labels == label]) for label in range(3)]
    differences = []
    for _ in range(3000):
        chosen = np.concatenate([generator.choice(of_class, len(of_class)) for of_class in by_class])
        drawn = np.concatenate([np.flatnonzero(names == recording) for recording in chosen])
        differences.append(np.mean((better == labels)[drawn].astype(float) - (worse == labels)[drawn]))
    low, high = paired_difference(labels, one_hot(better), one_hot(worse), recordings, replicates=3000)["interval"]
    assert (low, high) == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])), abs=0.01)


def test_balanced_it_is_the_difference_of_balanced_accuracies_and_draws_are_scored_so_too(clips):
    labels, recordings, (better, worse) = clips
    kept = np.flatnonzero((labels != 0) | (np.arange(300) % 5 == 0))  # class 0 has a fifth of its clips
    labels, names = labels[kept], np.array(recordings)[kept]
    better, worse = better[kept], np.where(labels == 0, (labels + 1) % 3, worse[kept])
    result = paired_difference(labels, one_hot(better), one_hot(worse), names.tolist(), balanced=True, replicates=3000)
    accuracies = [balanced_accuracy_score(labels, predicted) for predicted in (better, worse)]
    assert (result["accuracy"], result["other"]) == pytest.approx(tuple(accuracies))
    assert result["difference"] == pytest.approx(accuracies[0] - accuracies[1])
    generator = np.random.default_rng(1)
    by_class = [np.unique(names[labels == label]) for label in range(3)]
    differences = []
    for _ in range(1000):
        chosen = np.concatenate([generator.choice(of_class, len(of_class)) for of_class in by_class])
        drawn = np.concatenate([np.flatnonzero(names == recording) for recording in chosen])
        gains = (better == labels)[drawn].astype(float) - (worse == labels)[drawn]
        differences.append(np.mean([gains[labels[drawn] == label].mean() for label in range(3)]))
    assert result["interval"] == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])), abs=0.015)


@pytest.mark.parametrize("balanced", [False, True])
def test_a_model_is_exactly_as_good_as_itself(balanced, clips):
    labels, recordings, (better, _) = clips
    result = paired_difference(labels, one_hot(better), one_hot(better), recordings, balanced)
    assert result["difference"] == 0
    assert result["interval"] == (0, 0)


def test_clips_of_few_recordings_say_less_than_clips_of_many(clips):
    labels, _, (better, worse) = clips
    wide = paired_difference(labels, one_hot(better), one_hot(worse), [f"r{r}" for r in labels])["interval"]
    assert wide[0] == wide[1], "one recording a class: every draw is the same"
    alone = paired_difference(labels, one_hot(better), one_hot(worse), [str(r) for r in range(300)])["interval"]
    assert alone[1] > alone[0]


def test_several_runs_count_by_their_mean(clips):
    labels, recordings, (better, worse) = clips
    both = paired_difference(labels, np.stack([one_hot(better), one_hot(worse)]), one_hot(worse), recordings)
    alone = paired_difference(labels, one_hot(better), one_hot(worse), recordings)
    assert both["difference"] == pytest.approx(alone["difference"] / 2)


def test_other_clips_are_one_line(clips):
    labels, recordings, (better, worse) = clips
    with pytest.raises(QuaclrsError, match="do not fit 300 labels"):
        paired_difference(labels, one_hot(better)[:-1], one_hot(worse), recordings)
