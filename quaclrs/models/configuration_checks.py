"""What a configuration may say of its classes and its pictures, whoever wrote it. It imports no torch.

This file travels with every pushed model, so it imports nothing from the rest of the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Classes that a classifier may have; ImageNet-21k has 21,841.
MOST_LABELS = 1 << 16

#: Channels of a picture.
_CHANNELS = 3

#: Magnitudes that means and standard deviations of pictures have; float32 overflows far beyond.
_LEAST_DEVIATION, _MOST = 1e-6, 1e6


def labels_in_order(id2label: Any, label2id: Any = None) -> list[str]:
    """Class names of a label map, in the order of the logits.

    Args:
        id2label: index, as a number or its digits -> name.
        label2id: name -> index, the same map the other way round; not compared where absent.

    Raises:
        ValueError: the map has gaps, no names, one name twice or too many, or the two maps contradict each other.
    """
    if not isinstance(id2label, Mapping) or not id2label:
        raise ValueError("id2label must map an index to the name of each class")
    if len(id2label) > MOST_LABELS:
        raise ValueError(f"id2label has {len(id2label):,} classes; there may be {MOST_LABELS:,}")
    names = {_index(key): name for key, name in id2label.items()}
    if set(names) != set(range(len(id2label))):
        raise ValueError(f"id2label must number its classes from 0 to {len(id2label) - 1}, each once")
    labels = [names[index] for index in range(len(names))]
    for name in labels:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ValueError(f"id2label: {str(name)[:40]!r} is no name of a class")
    if len(set(labels)) < len(labels):
        raise ValueError("id2label gives one name to several classes")
    if label2id is not None:
        if not isinstance(label2id, Mapping):
            raise ValueError("label2id must map the name of each class to its index")
        if {name: _index(index) for name, index in label2id.items()} != {name: i for i, name in enumerate(labels)}:
            raise ValueError("id2label and label2id contradict each other")
    return labels


def _index(key: Any) -> int | None:
    """The index that a key of a label map stands for; JSON has no keys but strings."""
    if isinstance(key, str) and key.isdecimal() and len(key) <= len(str(MOST_LABELS)):
        return int(key)
    return key if isinstance(key, int) and not isinstance(key, bool) else None


def check_label_count(num_labels: Any) -> None:
    """Raise a `ValueError` unless it is a number of classes, 0 among them."""
    if isinstance(num_labels, bool) or not isinstance(num_labels, int) or not 0 <= num_labels <= MOST_LABELS:
        raise ValueError(f"num_labels is {str(num_labels)[:40]}; it must be a number from 0 to {MOST_LABELS}")


def check_normalisation(image_mean: Any, image_std: Any) -> None:
    """Raise a `ValueError` unless both are absent or three numbers that a picture can be normalised with."""
    for name, values, least in (("image_mean", image_mean, -_MOST), ("image_std", image_std, _LEAST_DEVIATION)):
        if values is None:
            continue
        if not isinstance(values, (list, tuple)) or len(values) != _CHANNELS or not all(map(_is_number, values)):
            raise ValueError(f"{name} must be {_CHANNELS} numbers, one a channel")
        if not all(least <= value <= _MOST for value in values):
            raise ValueError(f"{name} is {str(list(values))[:80]}; its numbers must be from {least:g} to {_MOST:g}")


def check_rate(name: str, value: Any) -> None:
    """Raise a `ValueError` unless it is absent or a share in [0, 1)."""
    if value is not None and not (_is_number(value) and 0 <= value < 1):
        raise ValueError(f"{name} is {str(value)[:40]}; it must be a number from 0 to below 1")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
