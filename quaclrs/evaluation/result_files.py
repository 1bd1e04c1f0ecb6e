"""Files of results, by whoever writes them: each is complete or absent, and `predictions.csv` has one form."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quaclrs.errors import QuaclrsError, first_line_of
from quaclrs.files import name_unwritable, written

#: Predictions of the test clips, and of these and background by the classes and `other`.
PREDICTIONS, OPEN_SET = "predictions.csv", "predictions_other.csv"

#: Columns of `predictions.csv` before the probabilities.
_COLUMNS = ["clip_id", "fold", "label", "predicted"]


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader never sees half of it; line ends stay as they are.

    Bytes of file names that are not UTF-8 are written as `\\udcff`, by which JSON knows them too.
    """
    with name_unwritable(path), written(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table the same way."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_predictions(
    path: Path,
    clip_ids: Sequence[str],
    folds: Sequence[int | None],
    labels: Sequence[int] | np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> None:
    """Write clip_id, fold, label and predicted label by name, and one probability a class, for every clip.

    Args:
        path: usually `predictions.csv`.
        clip_ids, folds: of the clips; no fold is left empty.
        labels: (clips,) indices into `class_names`.
        probabilities: (clips, classes), written exactly: k-NN breaks ties by differences that rounding would end.
        class_names: names of the columns.
    """
    rows = (
        [clip_id, fold, class_names[label], class_names[row.argmax()], *row.tolist()]
        for clip_id, fold, label, row in zip(clip_ids, folds, labels, probabilities, strict=True)
    )
    write_csv(path, [*_COLUMNS, *class_names], rows)


@dataclass(frozen=True)
class Predictions:
    """Contents of `predictions.csv`.

    Attributes:
        clip_ids: of the clips.
        folds: of the clips; None where empty.
        labels: (clips,) indices into `class_names`.
        probabilities: (clips, classes).
        class_names: of the columns.
    """

    clip_ids: list[str]
    folds: list[int | None]
    labels: np.ndarray
    probabilities: np.ndarray
    class_names: list[str]


def read_predictions(path: Path, class_names: Sequence[str] | None = None, clips: int | None = None) -> Predictions:
    """Read `predictions.csv`.

    Args:
        path: of the file.
        class_names: that its columns must have, in this order; any where None.
        clips: that it must hold; as many as there are where None.

    Raises:
        QuaclrsError: the file is missing, damaged, cut off or of another form; the message names it.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            text = file.read()
        if not text.endswith("\n"):
            raise ValueError("its last line is cut off")
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        names = header[4:]
        if header[:4] != _COLUMNS or len(set(names)) != len(names):
            raise ValueError(f"its columns must be {', '.join(_COLUMNS)} and one a class")
        if class_names is not None and names != list(class_names):
            raise ValueError("its columns are other classes, or in another order")
        if clips is not None and len(rows) != clips:
            raise ValueError(f"it has {len(rows)} clips, not {clips}")
        if any(len(row) != len(header) for row in rows):
            raise ValueError("a line has more or fewer columns")
        probabilities = np.array([[float(p) for p in row[4:]] for row in rows]).reshape(len(rows), len(names))
        if not np.isfinite(probabilities).all():
            raise ValueError("a probability is not a number")
        return Predictions(
            clip_ids=[row[0] for row in rows],
            folds=[int(row[1]) if row[1] else None for row in rows],
            labels=np.array([names.index(row[2]) for row in rows], dtype=np.int64),
            probabilities=probabilities,
            class_names=names,
        )
    except (OSError, ValueError, csv.Error) as error:
        raise QuaclrsError(
            f"{path} holds no predictions of a run ({first_line_of(error)}); give the folder of a finished one"
        ) from error
