"""Probes of frozen embeddings: cosine k-nearest neighbours and logistic regression.

Both ask how well classes separate in a representation that is not trained further.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from quaclrs.errors import QuaclrsError

#: Similarities held at once: 4 Mi float32 values are 16 MiB, whatever the number of clips.
_SIMILARITIES_PER_CHUNK = 1 << 22


def knn_predict(
    train_embeddings: np.ndarray,
    train_labels: np.ndarray,
    test_embeddings: np.ndarray,
    k: int = 5,
) -> np.ndarray:
    """Label every test clip by a vote of its k training clips of highest cosine similarity.

    A tie goes to the class whose neighbours are more similar in sum.

    Args:
        train_embeddings: (train clips, dimensions) floats of any length; an all-zero row is similar (0) to nothing.
        train_labels: (train clips,) integers.
        test_embeddings: (test clips, dimensions) floats.
        k: number of neighbours, 1 to the number of training clips.

    Returns:
        (test clips,) predicted labels, of the dtype of `train_labels`.

    Raises:
        QuaclrsError: shapes that do not fit each other, values that are not finite, k out of range.
    """
    classes, votes = _knn_votes(train_embeddings, train_labels, test_embeddings, k)
    return classes[votes.argmax(axis=1)]


def knn_probabilities(
    train_embeddings: np.ndarray,
    train_labels: np.ndarray,
    test_embeddings: np.ndarray,
    num_classes: int,
    k: int = 5,
) -> np.ndarray:
    """The share of the votes that every class gets, float64 (test clips, num_classes); its arguments are
    `knn_predict`'s, with labels in [0, num_classes), and its highest share is that function's answer."""
    classes, votes = _knn_votes(train_embeddings, train_labels, test_embeddings, k)
    probabilities = np.zeros((len(votes), num_classes))
    probabilities[:, classes] = votes / votes.sum(axis=1, keepdims=True)
    return probabilities


def _knn_votes(
    train_embeddings: np.ndarray,
    train_labels: np.ndarray,
    test_embeddings: np.ndarray,
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The classes of the training clips, and the votes (test clips, these classes) for each."""
    train, train_labels = _checked_embeddings("train", train_embeddings, train_labels)
    test, _ = _checked_embeddings("test", test_embeddings)
    _check_same_dimensions(train, test)
    if not 1 <= k <= len(train):
        raise QuaclrsError(f"k must be between 1 and the number of training clips, {len(train)}; it is {k}")
    train, test = _unit_length(train), _unit_length(test)
    classes, class_of_train = np.unique(train_labels, return_inverse=True)

    rows_per_chunk = max(1, _SIMILARITIES_PER_CHUNK // len(train))
    votes = np.zeros((len(test), len(classes)))
    for start in range(0, len(test), rows_per_chunk):
        similarities = test[start : start + rows_per_chunk] @ train.T
        neighbours = np.argpartition(similarities, -k, axis=1)[:, -k:]
        nearest = np.take_along_axis(similarities, neighbours, axis=1).astype(np.float64)
        rows = np.arange(start, start + len(nearest))[:, None]
        # The similarities of all k neighbours together move a sum of votes by less than 1/2: they only break ties.
        np.add.at(votes, (rows, class_of_train[neighbours]), 1 + nearest / (2 * k + 1))
    return classes, votes


def knn_accuracy(
    train_embeddings: np.ndarray,
    train_labels: np.ndarray,
    test_embeddings: np.ndarray,
    test_labels: np.ndarray,
    k: int = 5,
) -> float:
    """Fraction of test clips, in [0, 1], that `knn_predict` labels rightly; arguments and errors are its own."""
    _, test_labels = _checked_embeddings("test", test_embeddings, test_labels)
    predicted = knn_predict(train_embeddings, train_labels, test_embeddings, k)
    return float(np.mean(predicted == test_labels))


def linear_probe_probabilities(
    train_embeddings: np.ndarray, train_labels: np.ndarray, test_embeddings: np.ndarray, num_classes: int
) -> np.ndarray:
    """Class probabilities by a logistic regression on the training embeddings, float64 (test clips, num_classes).

    Every dimension is standardised with the training clips' mean and standard deviation first, so that one penalty
    suits embeddings of any scale. A class without training clips has probability 0.

    Args:
        train_embeddings: (train clips, dimensions) floats.
        train_labels: (train clips,) integers in [0, num_classes), of at least two classes.
        test_embeddings: (test clips, dimensions) floats.
        num_classes: columns of the result.

    Raises:
        QuaclrsError: shapes that do not fit each other, values that are not finite, a single training class.
    """
    train, train_labels = _checked_embeddings("train", train_embeddings, train_labels)
    test, _ = _checked_embeddings("test", test_embeddings)
    _check_same_dimensions(train, test)
    if len(np.unique(train_labels)) < 2:
        raise QuaclrsError("a linear probe needs training clips of at least two classes; give it more clips")
    # scikit-learn's default of 100 steps stops short on embeddings of a thousand and more dimensions.
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(train, train_labels)
    probabilities = np.zeros((len(test), num_classes))
    probabilities[:, probe.classes_] = probe.predict_proba(test)
    return probabilities


def _unit_length(embeddings: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.where(norms > 0, norms, 1)


def _checked_embeddings(
    split: str, embeddings: np.ndarray, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    embeddings = np.asarray(embeddings, dtype=np.float32)
    if embeddings.ndim != 2 or embeddings.size == 0:
        raise QuaclrsError(f"{split}_embeddings must be of shape (clips, dimensions), not {embeddings.shape}")
    if not np.isfinite(embeddings).all():
        raise QuaclrsError(f"{split}_embeddings hold NaN or infinite values: the encoder's output is broken")
    checked_labels = np.zeros(len(embeddings), dtype=np.int64) if labels is None else np.asarray(labels)
    if checked_labels.shape != (len(embeddings),):
        raise QuaclrsError(
            f"{split}_labels must be one label a clip, {len(embeddings)} of them, not of shape {checked_labels.shape}"
        )
    return embeddings, checked_labels


def _check_same_dimensions(train: np.ndarray, test: np.ndarray) -> None:
    if train.shape[1] != test.shape[1]:
        raise QuaclrsError(
            f"train and test embeddings must have as many dimensions: {train.shape[1]} and {test.shape[1]}"
        )
