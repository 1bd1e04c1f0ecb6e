"""Checks of a configuration's classes and pictures, whoever wrote it. It imports no torch.

This file travels with every pushed model, so it imports nothing from the rest of the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from .configuration_log_mel import LogMelConfig

#: Classes that a classifier may have; ImageNet-21k has 21,841.
MOST_LABELS = 1 << 16

#: How features are pooled: as the network itself does, or their maxima beside that.
POOLINGS = ("mean", "mean_max")

#: Options of a further encoder, with their defaults.
_ENCODER = {
    "backbone": "resnet18",
    "log_mel": None,
    "image_mean": None,
    "image_std": None,
    "pooling": "mean",
    "patch_overlap": 0.0,
    "tag_groups": None,
    "earlier_stages": 0,
}

#: Options of the front end that all encoders of a model share: what becomes of a sound before the first transform.
_OF_THE_WAVEFORM = ("sampling_rate", "duration", "pad_mode", "silence_dbfs")

#: Encoders beside the first, and how much patches may overlap.
_MOST_ENCODERS, _MOST_OVERLAP = 7, 0.9

#: Groups of kinds of sound, and kinds in a group; AudioSet has 632.
_MOST_TAGS = 1024

#: Stages before the last one that can be heard too; the deepest networks have dozens.
MOST_STAGES = 64

#: Parts of an embedding: of each encoder means, maxima, those of stages and tags.
_MOST_PARTS = (_MOST_ENCODERS + 1) * (2 * (MOST_STAGES + 1) + 1)

#: Numbers of an embedding's part; those of the largest networks are 4,096.
_LARGEST_PART = 1 << 16

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
            raise ValueError(f"id2label: {str(name)[:40]!r} is not the name of a class")
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


def check_encoder(
    backbone: Any,
    image_mean: Any,
    image_std: Any,
    pooling: Any,
    patch_overlap: Any,
    tag_groups: Any = None,
    earlier_stages: Any = 0,
) -> None:
    """Raise a `ValueError` unless these options make an encoder; the backbone's name is looked up elsewhere."""
    if not isinstance(backbone, str):
        raise ValueError(f"backbone is {str(backbone)[:40]}; it must be the name of a network")
    check_normalisation(image_mean, image_std)
    if pooling not in POOLINGS:
        raise ValueError(f"pooling is {str(pooling)[:40]!r}; choose {' or '.join(POOLINGS)}")
    # At more than this a patch would be heard again and again.
    if not _is_number(patch_overlap) or not 0 <= patch_overlap <= _MOST_OVERLAP:
        raise ValueError(f"patch_overlap is {str(patch_overlap)[:40]}; it must be from 0 to {_MOST_OVERLAP}")
    if tag_groups is not None and not (_are_some(tag_groups) and all(map(_are_some, tag_groups))):
        raise ValueError(f"tag_groups must be a list of groups, each a list of numbers, at most {_MOST_TAGS} of both")
    if not all(type(kind) is int and 0 <= kind < _MOST_TAGS for group in tag_groups or [] for kind in group):
        raise ValueError(f"tag_groups must hold whole numbers from 0 to {_MOST_TAGS - 1}")
    if type(earlier_stages) is not int or not 0 <= earlier_stages <= MOST_STAGES:
        raise ValueError(f"earlier_stages is {str(earlier_stages)[:40]}; it must be a number from 0 to {MOST_STAGES}")


def complete_encoders(encoders: Any, log_mel: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Options of a model's further encoders, all of them written out; None where there are none.

    Args:
        encoders: a list of mappings, as `QuaclrsConfig` takes them.
        log_mel: of the first encoder, whose waveforms they hear.

    Raises:
        ValueError: it is not such a list, is too long, or an encoder has unknown or impossible options, or another
            rate, duration or way of filling up short clips than the first.
    """
    if encoders is None:
        return None
    if not isinstance(encoders, (list, tuple)) or not 1 <= len(encoders) <= _MOST_ENCODERS:
        raise ValueError(f"more_encoders must be a list of 1 to {_MOST_ENCODERS} encoders")
    complete = []
    for number, given in enumerate(encoders):
        if not isinstance(given, Mapping) or not set(given) <= set(_ENCODER):
            raise ValueError(f"more_encoders[{number}] must map {', '.join(_ENCODER)} to values")
        options = {**_ENCODER, **given}
        front_end = LogMelConfig.from_dict({} if options["log_mel"] is None else options["log_mel"]).to_dict()
        for name in _OF_THE_WAVEFORM:
            if front_end[name] != log_mel[name]:
                raise ValueError(
                    f"more_encoders[{number}] has {name} {front_end[name]}, the first encoder {log_mel[name]}"
                )
        check_encoder(*(options[name] for name in _ENCODER if name != "log_mel"))
        complete.append({**options, "log_mel": front_end})
    return complete


def check_false_alarms(values: Any) -> dict[str, dict[str, float]] | None:
    """Thresholds by false alarms an hour as they were given; a `ValueError` unless they are shares in [0, 1]."""
    if values is None:
        return None
    checked = {}
    entries: Iterable[tuple[Any, Any]] = values.items() if isinstance(values, Mapping) else [("", None)]
    for count, entry in entries:
        shares = [entry.get(name) for name in ("threshold", "recall")] if isinstance(entry, Mapping) else [None]
        if not str(count).isdecimal() or not all(_is_number(share) and 0 <= share <= 1 for share in shares):
            raise ValueError("false_alarms must map alarms an hour to a threshold and a recall in [0, 1]")
        checked[str(count)] = {name: float(entry[name]) for name in ("threshold", "recall")}
    return checked


def check_parts(value: Any) -> list[int] | None:
    """Sizes of the parts of an embedding as they were given; a `ValueError` unless they are positive numbers."""
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= _MOST_PARTS:
        raise ValueError(f"normalized_parts must be a list of sizes, at most {_MOST_PARTS}")
    if not all(isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= _LARGEST_PART for size in value):
        raise ValueError(f"normalized_parts must be whole numbers from 1 to {_LARGEST_PART}")
    return list(value)


def _are_some(values: Any) -> bool:
    return isinstance(values, (list, tuple)) and 1 <= len(values) <= _MOST_TAGS


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


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
