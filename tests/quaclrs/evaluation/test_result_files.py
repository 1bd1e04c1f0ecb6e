"""`predictions.csv` gives back what was written, so that every figure can be computed again from it."""

from __future__ import annotations

import numpy as np
import pytest

from quaclrs.evaluation.result_files import read_predictions, write_predictions

NAMES = ["dog_bark", "police", "car_horn"]


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_probabilities_come_back_to_the_last_bit(tmp_path, precision):
    tie = np.nextafter(precision(0.4), precision(1))  # two votes each, the second class's a little nearer
    probabilities = np.array([[0.4, tie, 0.2], [1 / 3, 1 / 3, 1e-12]], dtype=precision)

    write_predictions(tmp_path / "predictions.csv", ["a", "b"], [1, None], [1, 0], probabilities, NAMES)
    read = read_predictions(tmp_path / "predictions.csv")

    np.testing.assert_array_equal(read.probabilities, probabilities.astype(np.float64))
    assert read.probabilities[0].argmax() == 1
    assert (read.clip_ids, read.folds, read.labels.tolist(), read.class_names) == (["a", "b"], [1, None], [1, 0], NAMES)
