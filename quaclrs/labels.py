"""The 13 classes of UrbanSound13 in alphabetical order, and the data set each of them comes from (paper, section 3)."""

from __future__ import annotations

URBANSOUND8K = "urbansound8k"
SIRENNET = "sirennet"

#: Source of every class. UrbanSound8K's own `siren` is left out: the three vehicle classes refine it.
SOURCE_OF_CLASS: dict[str, str] = {
    "air_conditioner": URBANSOUND8K,
    "ambulance": SIRENNET,
    "car_horn": URBANSOUND8K,
    "children_playing": URBANSOUND8K,
    "dog_bark": URBANSOUND8K,
    "drilling": URBANSOUND8K,
    "engine_idling": URBANSOUND8K,
    "firetruck": SIRENNET,
    "gun_shot": URBANSOUND8K,
    "jackhammer": URBANSOUND8K,
    "police": SIRENNET,
    "street_music": URBANSOUND8K,
    "traffic": SIRENNET,
}

CLASS_NAMES: tuple[str, ...] = tuple(SOURCE_OF_CLASS)
URBANSOUND8K_CLASSES: tuple[str, ...] = tuple(c for c in CLASS_NAMES if SOURCE_OF_CLASS[c] == URBANSOUND8K)
SIRENNET_CLASSES: tuple[str, ...] = tuple(c for c in CLASS_NAMES if SOURCE_OF_CLASS[c] == SIRENNET)

#: Source of classes that are none of the 13.
UNKNOWN_SOURCE = "unknown_source"

#: Class of a model, never of a data set: sounds that are none of its other classes.
OTHER = "other"


def source_of(label: str) -> str:
    """The data set that a class comes from; `UNKNOWN_SOURCE` for one that is none of the 13."""
    return SOURCE_OF_CLASS.get(label, UNKNOWN_SOURCE)
