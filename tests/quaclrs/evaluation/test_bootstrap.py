"""Bootstrap intervals against scikit-learn on clips that are really repeated, and against what theory says of width."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.bootstrap import bootstrap_intervals, cluster_clips, draw_recordings
from quaclrs.evaluation.metrics import classification_metrics

NAMES = ["a", "b", "c", "d"]


def four_class_folds(clips: int = 240, recordings: int = 40) -> dict:
    """Scores with ties; class c has no clips; a recording may hold clips of several classes and of both sources."""
    generator = np.random.default_rng(5)
    labels = generator.choice([0, 1, 3], size=clips, p=[0.5, 0.3, 0.2])
    scores = np.round(generator.random((2, clips, 4)) + 0.5 * np.eye(4)[labels], 1)
    return {
        "labels": labels,
        "probabilities": scores,
        "recording_ids": [f"r{i}" for i in generator.integers(0, recordings, clips)],
        "class_names": NAMES,
        "sources": generator.choice(["urbansound8k", "sirennet"], clips),
    }


def by_scikit_learn(labels: np.ndarray, scores: np.ndarray, sources: np.ndarray) -> dict[str, float]:
    """The same figures of one set of clips, each from the function scikit-learn has for it."""
    predicted, present = scores.argmax(axis=1), sorted(set(labels.tolist()))
    areas = [roc_auc_score(labels == index, scores[:, index]) for index in present]
    figures = {
        "accuracy": accuracy_score(labels, predicted),
        "balanced_accuracy": recall_score(labels, predicted, labels=present, average="macro"),
        "macro_roc_auc": np.mean(areas),
        "weighted_roc_auc": np.average(areas, weights=[np.sum(labels == index) for index in present]),
    }
    for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        for average in ("macro", "weighted"):
            figures[f"{average}_{name}"] = score(labels, predicted, labels=present, average=average, zero_division=0)
    for source in ("urbansound8k", "sirennet"):
        true, guess = labels[sources == source], predicted[sources == source]
        figures[f"accuracy_{source}"] = accuracy_score(true, guess)
        figures[f"balanced_accuracy_{source}"] = recall_score(true, guess, labels=sorted(set(true)), average="macro")
        figures[f"macro_f1_{source}"] = f1_score(true, guess, labels=sorted(set(true)), average="macro")
    for index in present:
        figures[f"recall of {NAMES[index]}"] = recall_score(labels == index, predicted == index)
        figures[f"f1 of {NAMES[index]}"] = f1_score(labels == index, predicted == index)
    return figures


def flattened(intervals: dict) -> dict[str, tuple[float, float] | None]:
    flat = {name: interval for name, interval in intervals.items() if name != "per_class"}
    for class_name, of_class in intervals["per_class"].items():
        flat |= {f"{name} of {class_name}": interval for name, interval in of_class.items()}
    return flat


def test_intervals_are_quantiles_of_scikit_learns_figures_of_clips_really_repeated() -> None:
    case = four_class_folds()
    labels, runs, sources = case["labels"], case["probabilities"], case["sources"]
    clusters, class_of_cluster = cluster_clips(labels, case["recording_ids"])
    drawn = draw_recordings(class_of_cluster, replicates=20, seed=11)
    replicates = []
    for replicate in range(20):
        rows = np.repeat(np.arange(len(labels)), drawn[clusters, replicate])
        of_runs = [by_scikit_learn(labels[rows], run[rows], sources[rows]) for run in runs]
        replicates.append({name: np.mean([figures[name] for figures in of_runs]) for name in of_runs[0]})

    found = flattened(bootstrap_intervals(**case, replicates=20, confidence=0.8, seed=11))

    for name in replicates[0]:
        expected = np.quantile([figures[name] for figures in replicates], [0.1, 0.9])
        assert found.pop(name) == pytest.approx(tuple(expected), abs=1e-9), name
    assert found == {"recall of c": None, "f1 of c": None}


def test_many_replicates_are_computed_in_chunks_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    case = four_class_folds()
    whole = bootstrap_intervals(**case, replicates=50)
    monkeypatch.setattr("quaclrs.evaluation.bootstrap._WEIGHTS_PER_CHUNK", 7 * len(case["labels"]))
    assert bootstrap_intervals(**case, replicates=50) == whole


def test_a_cluster_is_a_recording_within_a_class() -> None:
    labels = np.array([1, 0, 1, 0, 0, 1])
    clusters, classes = cluster_clips(labels, ["x", "x", "x", "y", "x", "z"])
    # By hand: x as class 0, y as class 0, x as class 1, z as class 1.
    np.testing.assert_array_equal(classes, [0, 0, 1, 1])
    np.testing.assert_array_equal(clusters, [2, 0, 2, 1, 0, 3])


def test_every_replicate_draws_as_many_recordings_of_a_class_as_it_has_each_with_the_same_chance() -> None:
    classes = np.repeat([0, 2, 5], [4, 1, 10])
    drawn = draw_recordings(classes, replicates=20_000, seed=0)
    for index, members in ((0, 4), (2, 1), (5, 10)):
        of_class = drawn[classes == index]
        assert (of_class.sum(axis=0) == members).all()
        # A multinomial count of n draws from n recordings: mean 1, variance 1 - 1/n; 5 standard errors of either.
        np.testing.assert_allclose(of_class.mean(axis=1), 1, atol=0.036)
        np.testing.assert_allclose(of_class.var(axis=1), 1 - 1 / members, atol=0.08)


def correlated_clips(clips_per_recording: int) -> dict:
    """Two classes of 50 recordings, 30 of each class recognised; the clips of a recording are copies of each other."""
    labels = np.repeat([0, 1], 50)
    wrong = np.tile(np.arange(50) >= 30, 2)
    scores = np.eye(2)[np.where(wrong, 1 - labels, labels)]
    recordings = [f"recording {i}" for i in range(100)]
    return {
        "labels": np.repeat(labels, clips_per_recording),
        "probabilities": np.repeat(scores, clips_per_recording, axis=0),
        "recording_ids": np.repeat(recordings, clips_per_recording).tolist(),
        "class_names": ["a", "b"],
    }


def test_copies_of_a_clip_within_its_recording_add_no_certainty() -> None:
    one, twenty = bootstrap_intervals(**correlated_clips(1)), bootstrap_intervals(**correlated_clips(20))
    for name, interval in flattened(one).items():
        assert flattened(twenty)[name] == pytest.approx(interval), name
    low, high = twenty["accuracy"]
    # The binomial's standard error of 60 % of 100 recordings, 4.9 %, at 1.96 to either side.
    assert (low, high) == (pytest.approx(0.6 - 1.96 * 0.049, abs=0.015), pytest.approx(0.6 + 1.96 * 0.049, abs=0.015))


def test_drawing_clips_as_if_they_were_recordings_would_claim_a_far_narrower_interval() -> None:
    case = correlated_clips(20)
    low, high = bootstrap_intervals(**case)["accuracy"]
    as_clips = case | {"recording_ids": [f"clip {i}" for i in range(len(case["labels"]))]}
    narrow_low, narrow_high = bootstrap_intervals(**as_clips)["accuracy"]
    # 20 perfectly correlated clips a recording: wider by the root of 20.
    assert (high - low) / (narrow_high - narrow_low) == pytest.approx(np.sqrt(20), rel=0.15)


def test_with_every_recording_drawn_once_each_figure_is_that_of_the_clips_themselves() -> None:
    # A single recording of a class can only be drawn once: intervals are points at the figures of all clips.
    case = four_class_folds() | {"probabilities": four_class_folds()["probabilities"][0]}
    case["recording_ids"] = ["the only one"] * len(case["labels"])
    intervals = bootstrap_intervals(**case, replicates=3)
    metrics = classification_metrics(**{key: value for key, value in case.items() if key != "recording_ids"})
    scalars = {name: value for name, value in metrics.items() if isinstance(value, float)}
    assert scalars.keys() == intervals.keys() - {"per_class"}
    for name, value in scalars.items():
        assert intervals[name] == pytest.approx((value, value)), name
    for name in ("recall", "f1"):
        assert intervals["per_class"]["a"][name] == pytest.approx([metrics["per_class"]["a"][name]] * 2)


def test_the_mean_of_two_opposite_runs_does_not_vary_with_the_recordings() -> None:
    case = correlated_clips(3)
    right = case["probabilities"]
    intervals = bootstrap_intervals(**case | {"probabilities": np.stack([right, 1 - right])})
    # A clip that one run misses, the other recognises: the mean accuracy is 1/2 whatever is drawn.
    assert intervals["accuracy"] == pytest.approx((0.5, 0.5))


def test_a_single_class_has_accuracy_but_no_roc_curve_and_an_absent_source_no_interval() -> None:
    intervals = bootstrap_intervals(
        np.array([1, 1, 1]), np.eye(3)[[1, 1, 0]], ["x", "y", "z"], ["a", "b", "c"], ["urbansound8k"] * 3
    )
    assert intervals["macro_roc_auc"] is intervals["weighted_roc_auc"] is None
    assert intervals["accuracy_sirennet"] is intervals["per_class"]["a"]["recall"] is None
    assert intervals["accuracy"] == intervals["accuracy_urbansound8k"]
    json.dumps(intervals, allow_nan=False)


def test_the_seed_alone_decides_what_is_drawn() -> None:
    case = four_class_folds()
    first = bootstrap_intervals(**case, replicates=100, seed=1)
    assert bootstrap_intervals(**case, replicates=100, seed=1) == first
    assert bootstrap_intervals(**case, replicates=100, seed=2) != first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recording_ids": ["x"]}, "one a clip: 1 of them for 240 clips"),
        ({"probabilities": np.zeros(240)}, r"\(runs, clips, classes\)"),
        ({"probabilities": np.zeros((0, 240, 4))}, r"\(runs, clips, classes\)"),
        ({"probabilities": np.zeros((2, 239, 4))}, r"\(240, 4\), not \(239, 4\)"),
        ({"sources": ["sirennet"]}, "1 sources for 240 clips"),
        ({"replicates": 0}, r"replicates \(0\)"),
        ({"confidence": 1.0}, r"confidence \(1.0\)"),
        ({"confidence": float("nan")}, "confidence"),
    ],
)
def test_what_cannot_be_resampled_is_refused_in_one_line(change: dict, message: str) -> None:
    with pytest.raises(QuaclrsError, match=message) as caught:
        bootstrap_intervals(**four_class_folds() | change)
    assert "\n" not in str(caught.value)
