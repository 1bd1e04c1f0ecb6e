"""`classification_metrics` against a case counted by hand and against scikit-learn on random predictions."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.metrics import classification_metrics
from quaclrs.labels import CLASS_NAMES

# Four classes, the last without clips. True -> predicted, by hand:
#   a: a a a b    b: b a    c: d c
# a: precision 3/4, recall 3/4, F1 3/4; b: 1/2, 1/2, 1/2; c: 1/1, 1/2, 2/3; d: 0/1, no recall.
NAMES = ["a", "b", "c", "d"]
LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
PREDICTED = np.array([0, 0, 0, 1, 1, 0, 3, 2])


def probabilities_of(predicted: np.ndarray, classes: int) -> np.ndarray:
    """(clips, classes) rows summing to 1 whose largest entry is the predicted class."""
    rest = 0.1 / (classes - 1)
    return rest + (0.9 - rest) * np.eye(classes)[predicted]


def test_a_case_counted_by_hand_gives_the_fractions_counted_by_hand() -> None:
    metrics = classification_metrics(LABELS, probabilities_of(PREDICTED, 4), NAMES)

    assert metrics["accuracy"] == pytest.approx(5 / 8)
    assert metrics["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1 / 2) / 3)
    assert metrics["macro_precision"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert metrics["macro_recall"] == pytest.approx((3 / 4 + 1 / 2 + 1 / 2) / 3)
    assert metrics["macro_f1"] == pytest.approx((3 / 4 + 1 / 2 + 2 / 3) / 3)
    assert metrics["weighted_precision"] == pytest.approx((4 * 3 / 4 + 2 * 1 / 2 + 2 * 1) / 8)
    assert metrics["weighted_recall"] == pytest.approx(5 / 8)
    assert metrics["weighted_f1"] == pytest.approx((4 * 3 / 4 + 2 * 1 / 2 + 2 * 2 / 3) / 8)
    assert metrics["clips"] == 8
    assert metrics["classes_with_support"] == 3
    assert metrics["per_class"]["c"] == pytest.approx(
        {"precision": 1, "recall": 1 / 2, "f1": 2 / 3, "roc_auc": 3 / 4, "support": 2}
    )
    assert metrics["per_class"]["d"] == {"precision": 0, "recall": 0, "f1": 0, "roc_auc": None, "support": 0}
    assert metrics["confusion_matrix"] == [[3, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]


def test_the_area_under_the_roc_curve_is_the_share_of_pairs_ranked_rightly_a_tie_being_half() -> None:
    metrics = classification_metrics(LABELS, probabilities_of(PREDICTED, 4), NAMES)
    # a: three clips at 0.9 beat the three others at 0.03 and tie with one at 0.9; one clip at 0.03 ties with three.
    a = (3 * (3 + 1 / 2) + 3 / 2) / (4 * 4)
    b = ((5 + 1 / 2) + 5 / 2) / (2 * 6)
    c = (6 + 6 / 2) / (2 * 6)
    assert [metrics["per_class"][name]["roc_auc"] for name in "abc"] == pytest.approx([a, b, c])
    assert metrics["macro_roc_auc"] == pytest.approx((a + b + c) / 3)
    assert metrics["weighted_roc_auc"] == pytest.approx((4 * a + 2 * b + 2 * c) / 8)


def test_one_class_alone_has_no_area_under_a_roc_curve() -> None:
    metrics = classification_metrics(np.array([1, 1]), np.eye(2)[[0, 1]], ["a", "b"])
    assert metrics["macro_roc_auc"] is metrics["weighted_roc_auc"] is None
    assert metrics["per_class"]["b"]["roc_auc"] is None


def test_probabilities_of_13_classes_have_scikit_learns_multiclass_area() -> None:
    generator = np.random.default_rng(4)
    labels = np.concatenate([np.arange(13), generator.integers(0, 13, 400)])
    probabilities = generator.random((413, 13)) + 0.5 * np.eye(13)[labels]
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # as scikit-learn demands of several classes
    metrics = classification_metrics(labels, probabilities, CLASS_NAMES)
    for average in ("macro", "weighted"):
        expected = roc_auc_score(labels, probabilities, multi_class="ovr", average=average)
        assert metrics[f"{average}_roc_auc"] == pytest.approx(expected)


def test_random_predictions_over_13_classes_score_as_scikit_learn_scores_them() -> None:
    generator = np.random.default_rng(3)
    labels = generator.choice(np.delete(np.arange(13), [2, 7]), size=400)  # two classes without clips
    scores = generator.random((400, 13)) + 0.8 * np.eye(13)[labels]
    predicted = scores.argmax(axis=1)
    supported = sorted(set(labels.tolist()))

    metrics = classification_metrics(labels, scores, CLASS_NAMES)

    assert metrics["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn notes the predicted classes that have no clips
        assert metrics["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        for average in ("macro", "weighted"):
            expected = score(labels, predicted, labels=supported, average=average, zero_division=0)
            assert metrics[f"{average}_{name}"] == pytest.approx(expected), (average, name)
    assert metrics["confusion_matrix"] == confusion_matrix(labels, predicted, labels=range(13)).tolist()
    assert list(metrics["per_class"]) == list(CLASS_NAMES)


def test_each_source_is_scored_on_its_own_clips_with_every_class_open_to_prediction() -> None:
    # sirennet holds both clips of c; one of them is predicted d, a class of neither source.
    sources = ["urbansound8k"] * 6 + ["sirennet"] * 2
    metrics = classification_metrics(LABELS, probabilities_of(PREDICTED, 4), NAMES, sources)

    assert metrics["accuracy_urbansound8k"] == pytest.approx(4 / 6)
    assert metrics["balanced_accuracy_urbansound8k"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert metrics["macro_f1_urbansound8k"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert metrics["accuracy_sirennet"] == pytest.approx(1 / 2)
    assert metrics["balanced_accuracy_sirennet"] == pytest.approx(1 / 2)
    assert metrics["macro_f1_sirennet"] == pytest.approx(2 / 3)


def test_a_standard_source_without_clips_is_none_and_another_source_has_keys_of_its_own() -> None:
    sources = np.array(["urbansound8k"] * 4 + ["my_street"] * 4)
    metrics = classification_metrics(LABELS, probabilities_of(PREDICTED, 4), NAMES, sources)

    assert metrics["accuracy_sirennet"] is None
    assert metrics["balanced_accuracy_sirennet"] is None
    assert metrics["macro_f1_sirennet"] is None
    assert metrics["accuracy_urbansound8k"] == pytest.approx(3 / 4)
    assert metrics["accuracy_my_street"] == pytest.approx(2 / 4)


def test_without_sources_no_key_names_a_source() -> None:
    metrics = classification_metrics(LABELS, probabilities_of(PREDICTED, 4), NAMES)
    assert not [key for key in metrics if "urbansound8k" in key or "sirennet" in key]


def test_the_result_survives_json_unchanged() -> None:
    probabilities = probabilities_of(PREDICTED, 4).astype(np.float32)
    metrics = classification_metrics(LABELS.astype(np.int32), probabilities, NAMES, ["urbansound8k"] * 8)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_missing_classes_cause_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = classification_metrics(np.array([1]), np.array([[0.9, 0.1, 0.0]]), ["a", "b", "c"], ["sirennet"])
    assert found["classes_with_support"] == 1
    assert found["macro_roc_auc"] is None and found["accuracy_urbansound8k"] is None


GOOD = {"labels": LABELS, "probabilities": probabilities_of(PREDICTED, 4), "class_names": NAMES}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": LABELS[:0], "probabilities": np.zeros((0, 4))}, "at least one clip"),
        ({"labels": LABELS[:, None]}, "one integer a clip"),
        ({"labels": LABELS.astype(float)}, "must be integers"),
        ({"labels": LABELS[:-1]}, r"\(7, 4\), not \(8, 4\)"),
        ({"class_names": NAMES[:-1]}, r"\(8, 3\), not \(8, 4\)"),
        ({"class_names": ["a", "a", "b", "c"]}, "a name twice"),
        ({"labels": LABELS + 2}, r"0\.\.3"),
        ({"labels": LABELS - 1}, r"0\.\.3"),
        ({"probabilities": np.full((8, 4), np.nan)}, "NaN"),
        ({"sources": ["sirennet"] * 7}, "7 sources for 8 clips"),
    ],
)
def test_input_that_does_not_fit_is_refused_in_one_line(change: dict, message: str) -> None:
    with pytest.raises(QuaclrsError, match=message) as caught:
        classification_metrics(**(GOOD | change))
    assert "\n" not in str(caught.value)
