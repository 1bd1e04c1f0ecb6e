"""Controls against shortcuts: what can be told of a clip's class from its file alone, without hearing it.

The new classes' clips last 3.00 s, or little more, to the sample, which hardly a clip of UrbanSound8K does, and their
files have channels and sampling rates of their own: a network could name the new classes by where the padding begins. A
figure is therefore seen beside two controls: a classifier of the file's properties, and the network's own figure on
clips that are cut to a random length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from quaclrs.errors import QuaclrsError

if TYPE_CHECKING:
    from datasets import Dataset

#: Columns of the data set that describe the original file: length in seconds, channels, sampling rate in Hz.
SHORTCUT_COLUMNS: tuple[str, ...] = ("duration", "original_channels", "original_sampling_rate")


#: Trees of the forest that hears nothing.
TREES = 200


def shortcut_columns(dataset: Dataset) -> tuple[str, ...]:
    """Columns among `SHORTCUT_COLUMNS` that a data set has, in their order.

    Raises:
        QuaclrsError: it has no column `duration`.
    """
    if SHORTCUT_COLUMNS[0] not in dataset.column_names:
        raise QuaclrsError("the data set has no column duration; build it again with python -m dataset_builder build")
    return tuple(name for name in SHORTCUT_COLUMNS if name in dataset.column_names)


def shortcut_features(dataset: Dataset, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Properties of the files that clips come from, without their sound.

    Args:
        dataset: rows with the column `duration` and, where known, `original_channels` and `original_sampling_rate`.
        rows: which of them.

    Returns:
        float64 (clips, columns), the columns those of `shortcut_columns`; NaN where a row does not know.

    Raises:
        QuaclrsError: the data set has no column `duration`.
    """
    columns = shortcut_columns(dataset)
    chosen = dataset.with_format(None).select(rows)
    return np.stack([np.array(chosen[name][:], dtype=np.float64) for name in columns], axis=1)


def shortcut_probabilities(
    train_features: np.ndarray, train_labels: np.ndarray, test_features: np.ndarray, num_classes: int, seed: int
) -> np.ndarray:
    """Class probabilities by a random forest of `TREES` trees that weighs every class the same.

    Args:
        train_features: (train clips, columns) floats, NaN where unknown.
        train_labels: (train clips,) integers in [0, num_classes).
        test_features: (test clips, columns) floats of the same columns.
        num_classes: columns of the result; a class without training clips has probability 0.
        seed: of the forest.

    Returns:
        float64 (test clips, num_classes), rows adding up to 1.

    Raises:
        QuaclrsError: no training clips, shapes that do not fit each other or labels out of range.
    """
    train_labels = np.asarray(train_labels)
    if len(train_labels) == 0 or len(train_features) != len(train_labels):
        raise QuaclrsError(
            f"train_features and train_labels must have a row a clip: {len(train_features)} and {len(train_labels)}"
        )
    if train_labels.min() < 0 or train_labels.max() >= num_classes:
        raise QuaclrsError(f"train_labels must lie in 0..{num_classes - 1}; num_classes is {num_classes}")
    if test_features.ndim != 2 or train_features.shape[1:] != test_features.shape[1:]:
        raise QuaclrsError(
            f"train_features {train_features.shape} and test_features {test_features.shape} must have the same columns"
        )
    # Leaves of several clips: the probabilities of a length that few clips share stay cautious.
    forest = RandomForestClassifier(TREES, min_samples_leaf=3, class_weight="balanced", random_state=seed % 2**32)
    forest.fit(train_features, train_labels)
    probabilities = np.zeros((len(test_features), num_classes))
    probabilities[:, forest.classes_] = forest.predict_proba(test_features)
    return probabilities


@dataclass(frozen=True)
class RandomLength:
    """Cuts a clip at a random place to a random length, for `ClipTransform(augment=...)`: length tells no class then.

    With the default bounds no clip keeps the new classes' 3.00 s. A clip shorter than the length drawn stays whole, so
    very short ones (gun shots, dog barks) still tell themselves by their length.

    Args:
        shortest: seconds, above 0.
        longest: seconds, not below `shortest`; lengths are drawn uniformly between the two.

    Raises:
        QuaclrsError: bounds out of order.
    """

    shortest: float = 1.0
    longest: float = 2.9

    def __post_init__(self) -> None:
        if not 0 < self.shortest <= self.longest < float("inf"):
            raise QuaclrsError(f"lengths must be above 0 s and in order, not {self.shortest} to {self.longest} s")

    def __call__(self, waveform: np.ndarray, sampling_rate: int, generator: np.random.Generator) -> np.ndarray:
        """Cut one clip.

        Args:
            waveform: (samples,).
            sampling_rate: Hz.
            generator: of length and place.

        Returns:
            (samples,), a view of the waveform: at least one sample of a clip that has any.
        """
        length = max(1, round(generator.uniform(self.shortest, self.longest) * sampling_rate))
        start = int(generator.integers(max(0, len(waveform) - length) + 1))
        return waveform[start : start + length]
