"""Files of results, by whoever writes them: each is complete or absent, and `predictions.csv` has one form."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader never sees half of it; line ends stay as they are."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
    partial.replace(path)


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
    """Write clip_id, fold, label by name and one probability a class, for every clip.

    Args:
        path: usually `predictions.csv`.
        clip_ids, folds: of the clips; no fold is left empty.
        labels: (clips,) indices into `class_names`.
        probabilities: (clips, classes), written with six significant digits.
        class_names: names of the columns.
    """
    rows = (
        [clip_id, fold, class_names[label], *(f"{p:.6g}" for p in row)]
        for clip_id, fold, label, row in zip(clip_ids, folds, labels, probabilities, strict=True)
    )
    write_csv(path, ["clip_id", "fold", "label", *class_names], rows)
