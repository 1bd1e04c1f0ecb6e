"""`predictions.csv` gives back what was written, so that every figure can be computed again from it."""

from __future__ import annotations

import numpy as np
import pytest

from quaclrs.errors import QuaclrsError
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


HEADER = "clip_id,fold,label,predicted,dog_bark,police,car_horn"
ROWS = ["a,1,police,police,0.4,0.5,0.1", "b,,dog_bark,police,0.25,0.5,0.25"]
WHOLE = "\r\n".join([HEADER, *ROWS, ""])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "its last line is cut off"),
        (WHOLE[:-1].replace("\r", "").encode(), "its last line is cut off"),
        (WHOLE[:-5].encode(), "its last line is cut off"),
        (f"{HEADER}\r\n{ROWS[0]}\r\n".encode(), "it has 1 clips, not 2"),
        (WHOLE.replace("dog_bark,police,car", "police,dog_bark,car", 1).encode(), "other classes, or in another order"),
        (WHOLE.replace("car_horn", "siren", 1).encode(), "other classes"),
        (WHOLE.replace("car_horn", "police", 1).encode(), "one a class"),
        (WHOLE.replace("clip_id,fold", "fold,clip_id", 1).encode(), "its columns must be clip_id, fold"),
        (WHOLE.replace(",0.1", "").encode(), "more or fewer columns"),
        (WHOLE.replace("0.1", "0.1,9").encode(), "more or fewer columns"),
        (WHOLE.replace("0.1", "nan").encode(), "a probability is not a number"),
        (WHOLE.replace("0.1", "loud").encode(), "loud"),
        (WHOLE.replace("a,1", "a,one").encode(), "one"),
        (WHOLE.replace("a,1,police", "a,1,siren").encode(), "siren"),
        (b"\xff\xfe" + WHOLE.encode("utf-16-le"), "decode"),
        (bytes(5000), "its last line is cut off"),
        (WHOLE.replace("a,1", '"a"x,1').encode(), "expected after"),
        (WHOLE.replace("a,1", "a" * 200_000 + ",1").encode(), "field"),
    ],
)
def test_a_damaged_file_of_predictions_is_named_with_what_is_wrong(tmp_path, content, says):
    file = tmp_path / "predictions.csv"
    file.write_bytes(WHOLE.encode())
    assert read_predictions(file, NAMES, clips=2).labels.tolist() == [1, 0]
    file.write_bytes(content)
    with pytest.raises(QuaclrsError, match=r"predictions\.csv holds no predictions of a run") as error:
        read_predictions(file, NAMES, clips=2)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
