"""The head: equal to scikit-learn's, never tested on what it heard, and the same in every runtime."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from quaclrs.inference.head import LinearHead, normalize_parts
from quaclrs.learning.head import HeadFitter, HeadOptions, parts_of, weights_of_parts
from quaclrs.learning.rows import Rows, clip_probabilities, deal_folds, outside
from quaclrs.saved_model import SavedModel

SIZE = 24


def rows_of(clips: int = 60, classes: int = 3, spread: float = 1.0, seed: int = 0, windows: int = 1) -> Rows:
    """Clouds around a centre for each class; two clips are of one recording."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((classes, SIZE)) * 1.5
    labels = np.arange(clips) % classes
    owners = np.repeat(np.arange(clips), windows)
    vectors = centres[labels[owners]] + spread * rng.standard_normal((len(owners), SIZE))
    names = np.array([f"{label}-{i // (2 * classes)}" for i, label in enumerate(labels)], dtype=object)
    weights = np.full(len(owners), 1 / windows)
    return Rows(vectors.astype(np.float32), owners, weights, labels, names, np.ones(clips, dtype=bool))


def fitter(parts: tuple[int, ...] = (), **options) -> HeadFitter:
    return HeadFitter(parts, np.ones(SIZE, dtype=np.float32), HeadOptions(**options))


def test_groups_of_tags_are_a_part_of_the_embedding_that_weighs_nothing(tmp_path):
    yamnet = {"backbone": "yamnet", "pooling": "mean_max", "tag_groups": [[69, 70], [94], [0]]}
    options = {"backbone": "tf_efficientnet_lite0", "pooling": "mean_max", "more_encoders": [yamnet]}
    saved = SavedModel("m", tmp_path, options, {"classifier.weight": ("F32", (2, 4611))})

    parts = parts_of(saved)
    weights = weights_of_parts(saved, parts)

    assert parts == (1280, 1280, 1024, 1024, 3)
    assert weights.shape == (4611,) and not weights[-3:].any() and weights[:-3].all()
    del yamnet["tag_groups"]
    without = SavedModel("m", tmp_path, options, {"classifier.weight": ("F32", (2, 4608))})
    np.testing.assert_array_equal(weights_of_parts(without, parts_of(without)), weights[:-3])


def test_earlier_stages_are_parts_of_the_embedding_that_weigh_most(tmp_path):
    yamnet = {"backbone": "yamnet", "pooling": "mean_max", "tag_groups": [[69], [94]], "earlier_stages": 2}
    options = {"backbone": "tf_efficientnet_lite0", "pooling": "mean_max", "more_encoders": [yamnet]}
    saved = SavedModel("m", tmp_path, options, {"classifier.weight": ("F32", (2, 4608 + 2 * 768 + 2))})

    parts = parts_of(saved)
    weights = weights_of_parts(saved, parts)

    assert parts == (1280, 1280, 1024, 1024, 512, 512, 256, 256, 2)
    assert weights[4608:6144].min() == weights[4608:6144].max() > weights[:4608].max() > 0
    assert not weights[6144:].any()
    del yamnet["backbone"], yamnet["tag_groups"]
    of_others = SavedModel(
        "m", tmp_path, {**options, "more_encoders": [{"backbone": "resnet18", **yamnet}]}, saved.tensors
    )
    assert parts_of(of_others) == (6146,)  # nobody knows where its parts end


def test_it_is_the_logistic_regression_of_scikit_learn():
    rows = rows_of(spread=3.0)
    fitted = fitter(strengths=(0.05,), default_temperature=1.0).fit(rows, 3)
    theirs = LogisticRegression(C=0.05, tol=1e-8, max_iter=5000).fit(rows.vectors, rows.labels)
    unseen = rows_of(30, seed=5, spread=3.0)
    ours = LinearHead(fitted.head.weight * fitted.temperature, fitted.head.bias * fitted.temperature)
    np.testing.assert_allclose(ours.scores(unseen.vectors), theirs.predict_proba(unseen.vectors), atol=5e-3)


def test_parts_are_of_one_length_before_they_are_weighed():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((5, SIZE)).astype(np.float32)
    normalized = normalize_parts(vectors, (4, 20))
    np.testing.assert_allclose(np.linalg.norm(normalized[:, :4], axis=1), 2.0, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(normalized[:, 4:], axis=1), np.sqrt(20), rtol=1e-5)
    loud = vectors * np.repeat([7.0, 0.5], (4, 20)).astype(np.float32)
    fitted = fitter((4, 20)).fit(rows_of(), 3)
    np.testing.assert_allclose(fitted.head.scores(loud), fitted.head.scores(vectors), atol=1e-5)


def test_no_recording_is_in_two_folds_and_a_class_of_one_recording_is_in_none():
    labels = np.array([0] * 8 + [1] * 8 + [2] * 3)
    names = np.array([f"a{i // 2}" for i in range(8)] + [f"b{i // 3}" for i in range(8)] + ["c"] * 3, dtype=object)
    folds = deal_folds(labels, names, 5)
    assert (folds[labels == 2] == -1).all()
    assert (folds[labels != 2] >= 0).all()
    for name in set(names):
        assert len(set(folds[names == name].tolist())) == 1
    for label in (0, 1):  # no fold holds a whole class
        assert len(set(folds[labels == label].tolist())) > 1


def test_figures_of_labels_without_meaning_are_those_of_chance():
    """Had a head heard what it is tested on, 24 dimensions would fit 60 clips by heart."""
    rows = rows_of(120, classes=2, spread=1.0)
    rng = np.random.default_rng(3)
    noise = Rows(
        rng.standard_normal(rows.vectors.shape).astype(np.float32),
        rows.clips, rows.weights, rows.labels, rows.recordings, rows.tested,
    )  # fmt: skip
    held_out = fitter().fit(noise, 2).held_out
    assert 0.3 < (held_out.argmax(axis=1) == noise.labels).mean() < 0.7


def test_held_out_scores_mean_what_they_say():
    rows = rows_of(400, classes=4, spread=4.0, seed=1)
    fitted = fitter().fit(rows, 4)
    unseen = rows_of(2000, classes=4, spread=4.0, seed=2)
    scores = fitted.head.scores(unseen.vectors)
    right = scores.argmax(axis=1) == unseen.labels
    assert abs(scores.max(axis=1).mean() - right.mean()) < 0.05


def test_a_clip_is_the_mean_of_its_windows():
    rows = rows_of(2, classes=2, windows=2)
    logits = np.log(np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.4, 0.6]]))
    np.testing.assert_allclose(clip_probabilities(logits, rows), [[0.7, 0.3], [0.3, 0.7]])


def test_classes_without_clips_keep_the_scores_of_the_head_that_it_departs_from():
    rng = np.random.default_rng(0)
    base = LinearHead(rng.standard_normal((5, SIZE)).astype(np.float32), np.zeros(5, np.float32))
    rows = rows_of(30, classes=2)
    rows = Rows(rows.vectors, rows.clips, rows.weights, rows.labels + 3, rows.recordings, rows.tested)
    fitted = fitter().fit(rows, 5, base)
    np.testing.assert_array_equal(fitted.head.weight[:3], base.weight[:3])
    assert not np.allclose(fitted.head.weight[3:], base.weight[3:])
    assert (fitted.head.scores(rows.vectors).argmax(axis=1) == rows.labels).mean() > 0.9


def test_unlabelled_windows_help_where_they_lie_between_labelled_ones():
    """Two long arcs, one label at an end of each: neighbours lead from it to the other end."""
    rng = np.random.default_rng(0)
    angles = np.linspace(0, np.pi, 120)
    arcs = [np.stack([np.cos(angles), np.sin(angles)], 1), np.stack([1 - np.cos(angles), 0.4 - np.sin(angles)], 1)]
    lift = rng.standard_normal((2, SIZE)).astype(np.float32)
    waves = rng.standard_normal((2, SIZE)).astype(np.float32)
    points = [np.cos(a @ waves * 1.5) + 0.3 * (a @ lift) for a in arcs]
    truth = np.repeat([0, 1], 120)
    every = np.concatenate(points).astype(np.float32)
    chosen = [2, 6, 122, 126]
    rows = Rows(
        every[chosen], np.arange(4), np.ones(4), truth[chosen], np.array(["a", "a", "b", "b"], object), np.ones(4, bool)
    )
    without = fitter().fit(rows, 2)
    with_them = fitter().fit(rows, 2, unlabelled=every)
    assert with_them.unlabelled
    right = [(f.head.scores(every).argmax(axis=1) == truth).mean() for f in (without, with_them)]
    assert right[1] > right[0]


def test_unlabelled_windows_that_do_harm_are_not_heard(monkeypatch):
    rows = rows_of(48, classes=3, spread=2.0)
    more = rows_of(300, classes=3, spread=2.0, seed=4)

    def wrong_labels(features, labelled, heard, scores, options):
        return np.eye(3)[(more.labels + 1) % 3], np.full(len(scores), 1.0)

    assert fitter().fit(rows, 3, unlabelled=more.vectors).unlabelled
    monkeypatch.setattr("quaclrs.learning.fit.spread_labels", wrong_labels)
    plain, warned = fitter().fit(rows, 3), fitter().fit(rows, 3, unlabelled=more.vectors)
    assert not warned.unlabelled
    np.testing.assert_allclose(warned.held_out, plain.held_out, atol=0.03)


def test_unlabelled_windows_are_not_heard_where_ten_recordings_of_a_class_have_labels():
    few, enough = (rows_of(clips, classes=3, spread=2.0) for clips in (54, 60))
    more = rows_of(300, classes=3, spread=2.0, seed=4)
    assert fitter().fit(few, 3, unlabelled=more.vectors).unlabelled
    assert not fitter().fit(enough, 3, unlabelled=more.vectors).unlabelled


def test_a_learning_curve_counts_recordings_and_rises():
    rows = rows_of(240, classes=3, spread=5.0)
    fitted = fitter().fit(rows, 3)
    points = fitter().curve(rows, 3, fitted, (0.1, 0.5, 1.0))
    counts = [count for count, _ in points]
    assert counts == sorted(counts)
    assert counts[-1] == pytest.approx(0.8 * 120, abs=3)
    assert points[-1][1] > points[0][1]
    known = ~np.isnan(fitted.held_out).any(axis=1)
    right = fitted.held_out[known].argmax(axis=1) == rows.labels[known]
    assert points[-1][1] == pytest.approx(right.mean())


def test_a_recording_that_is_tested_under_one_label_is_not_heard_under_another():
    """Clips of `a` have the label 0, and one the label 1, which no other recording has: it is in no fold."""
    labels = np.array([0, 0, 0, 0, 1])
    names = np.array(["a", "b", "c", "d", "a"], dtype=object)
    folds = deal_folds(labels, names, 5)
    rows = Rows(np.eye(5, SIZE), np.arange(5), np.ones(5), labels, names, np.ones(5, dtype=bool))
    assert folds[4] == -1
    assert outside(rows, folds == folds[0]).tolist() == [False, True, True, True, False]
    assert outside(rows, folds == folds[1]).tolist() == [True, False, True, True, True]

    rows = rows_of(60, classes=2)
    vectors = np.concatenate([rows.vectors, rows.vectors[:1]])  # as the first clip, under a label of its own
    labels, names = np.append(rows.labels, 2), np.append(rows.recordings, rows.recordings[0])
    told = Rows(vectors, np.arange(61), np.ones(61), labels, names, np.ones(61, dtype=bool))
    assert fitter().fit(told, 3).held_out[0, 2] < 0.05
