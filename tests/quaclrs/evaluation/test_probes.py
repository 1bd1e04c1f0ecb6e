"""k-NN and linear probes against plain loops, scikit-learn and cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation import probes
from quaclrs.evaluation.probes import (
    knn_accuracy,
    knn_predict,
    knn_probabilities,
    linear_probe_probabilities,
)


def overlapping_clusters(seed: int, clips: int, classes: int = 4, dimensions: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """(clips, dimensions) embeddings around one centre a class, noisy enough that some are confused."""
    centres = np.random.default_rng(0).normal(size=(classes, dimensions))
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=clips)
    return centres[labels] + 1.2 * generator.normal(size=(clips, dimensions)), labels


def test_the_majority_vote_equals_scikit_learns_cosine_neighbours_where_no_vote_is_tied() -> None:
    train, train_labels = overlapping_clusters(1, 300)
    train_labels = train_labels % 2  # two classes and an odd k leave no ties
    test, _ = overlapping_clusters(2, 200)
    reference = KNeighborsClassifier(n_neighbors=7, metric="cosine", algorithm="brute").fit(train, train_labels)

    predicted = knn_predict(train, train_labels, test, k=7)

    assert 0 < predicted.mean() < 1
    np.testing.assert_array_equal(predicted, reference.predict(test))


def test_a_tied_vote_goes_to_the_more_similar_class_whatever_its_number() -> None:
    train = np.array([[1.0, 0.1], [1.0, 0.9]])
    test = np.array([[1.0, 0.0]])
    assert knn_predict(train, np.array([1, 0]), test, k=2).tolist() == [1]
    assert knn_predict(train, np.array([0, 1]), test, k=2).tolist() == [0]


def test_similarity_never_outweighs_a_majority() -> None:
    # Two neighbours of class 0 point straight away from the test clip, one of class 1 straight at it.
    train = np.array([[-1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert knn_predict(train, np.array([0, 0, 1]), np.array([[1.0, 0.0]]), k=3).tolist() == [0]


def test_the_length_of_an_embedding_does_not_matter_and_a_zero_embedding_is_no_error() -> None:
    train, train_labels = overlapping_clusters(7, 80)
    test, _ = overlapping_clusters(8, 40)
    lengths = np.random.default_rng(9).uniform(0.01, 100, size=(80, 1))
    expected = knn_predict(train, train_labels, test)
    np.testing.assert_array_equal(knn_predict(train * lengths, train_labels, test * 1000), expected)
    with np.errstate(all="raise"):
        knn_predict(np.vstack([train, np.zeros(8)]), np.append(train_labels, 0), np.zeros((1, 8)))


def test_chunks_of_one_clip_predict_what_one_chunk_predicts(monkeypatch: pytest.MonkeyPatch) -> None:
    train, train_labels = overlapping_clusters(10, 90)
    test, _ = overlapping_clusters(11, 31)
    whole = knn_predict(train, train_labels, test)
    for similarities in (1, 90 * 4):
        monkeypatch.setattr(probes, "_SIMILARITIES_PER_CHUNK", similarities)
        np.testing.assert_array_equal(knn_predict(train, train_labels, test), whole)


def test_knn_accuracy_counts_the_clips_labelled_rightly() -> None:
    train = np.array([[1.0, 0.0], [0.0, 1.0]])
    test = np.array([[3.0, 1.0], [1.0, 3.0], [2.0, 0.1], [0.1, 2.0]])
    # Nearest axes: x, y, x, y, so labels 4, 9, 4, 9; the third is said to be 9.
    assert knn_accuracy(train, np.array([4, 9]), test, np.array([4, 9, 9, 9]), k=1) == 3 / 4


def test_the_linear_probe_equals_scikit_learn_on_embeddings_standardised_by_hand() -> None:
    train, train_labels = overlapping_clusters(12, 300)
    test, test_labels = overlapping_clusters(13, 200)
    scale = np.array([1e-3, 1, 1, 10, 1, 1, 1e3, 1])
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    reference = LogisticRegression(max_iter=1000).fit((train - mean) / deviation, train_labels)
    expected = np.mean(reference.predict((test - mean) / deviation) == test_labels)

    probabilities = linear_probe_probabilities(train * scale + 5, train_labels, test * scale + 5, num_classes=4)
    accuracy = np.mean(probabilities.argmax(axis=1) == test_labels)

    assert 0.4 < expected < 1
    assert accuracy == pytest.approx(expected, abs=0.011)  # float32 may move a clip or two across the boundary


def test_classes_without_training_clips_count_as_errors_of_both_probes() -> None:
    train = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    train_labels = np.array([0, 0, 1, 1])
    test, test_labels = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 2])
    assert knn_accuracy(train, train_labels, test, test_labels, k=1) == 0.5
    probabilities = linear_probe_probabilities(train, train_labels, test, num_classes=3)
    assert (probabilities.argmax(axis=1) == test_labels).tolist() == [True, False]


TRAIN, TRAIN_LABELS = overlapping_clusters(14, 20)
TEST, TEST_LABELS = overlapping_clusters(15, 10)
BROKEN = np.where(np.eye(10, 8) > 0, np.nan, TEST)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((TRAIN, TRAIN_LABELS, TEST[:, :5], TEST_LABELS), {}, "8 and 5"),
        ((TRAIN, TRAIN_LABELS[:-1], TEST, TEST_LABELS), {}, "train_labels"),
        ((TRAIN, TRAIN_LABELS, TEST, TEST_LABELS[:1]), {}, "test_labels"),
        ((TRAIN, TRAIN_LABELS, TEST[0], TEST_LABELS), {}, "test_embeddings must be of shape"),
        ((TRAIN[:0], TRAIN_LABELS[:0], TEST, TEST_LABELS), {}, "train_embeddings must be of shape"),
        ((TRAIN, TRAIN_LABELS, BROKEN, TEST_LABELS), {}, "NaN"),
        ((TRAIN, TRAIN_LABELS, TEST, TEST_LABELS), {"k": 21}, "training clips, 20; it is 21"),
        ((TRAIN, TRAIN_LABELS, TEST, TEST_LABELS), {"k": 0}, "it is 0"),
    ],
)
def test_input_a_probe_cannot_judge_is_refused_in_one_line(arguments: tuple, options: dict, message: str) -> None:
    with pytest.raises(QuaclrsError, match=message) as caught:
        knn_accuracy(*arguments, **options)
    assert "\n" not in str(caught.value)
    if not options and message != "test_labels":
        with pytest.raises(QuaclrsError, match=message):
            linear_probe_probabilities(*arguments[:3], num_classes=4)


def test_a_linear_probe_of_one_class_is_refused() -> None:
    with pytest.raises(QuaclrsError, match="two classes"):
        linear_probe_probabilities(TRAIN, np.zeros(20, dtype=int), TEST, num_classes=4)


def test_votes_are_shares_whose_highest_is_the_predicted_class():
    generator = np.random.default_rng(3)
    bank, labels, test = (
        generator.standard_normal((40, 6)),
        np.repeat([0, 2, 5, 7], 10),
        generator.standard_normal((30, 6)),
    )
    probabilities = knn_probabilities(bank, labels, test, num_classes=9, k=7)
    assert probabilities.shape == (30, 9)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities[:, [1, 3, 4, 6, 8]] == 0).all()
    np.testing.assert_array_equal(probabilities.argmax(axis=1), knn_predict(bank, labels, test, k=7))


def test_the_linear_probe_gives_scikit_learns_probabilities_in_the_columns_of_the_classes():
    generator = np.random.default_rng(4)
    bank, labels, test = (
        generator.standard_normal((60, 5)),
        np.repeat([1, 3, 4], 20),
        generator.standard_normal((10, 5)),
    )
    bank[np.arange(60), labels] += 2
    mean, deviation = bank.mean(axis=0), bank.std(axis=0)
    regression = LogisticRegression(max_iter=1000).fit((bank - mean) / deviation, labels)
    probabilities = linear_probe_probabilities(bank, labels, test, num_classes=6)
    np.testing.assert_allclose(
        probabilities[:, [1, 3, 4]], regression.predict_proba((test - mean) / deviation), atol=1e-3
    )
    assert (probabilities[:, [0, 2, 5]] == 0).all()
