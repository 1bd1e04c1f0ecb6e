"""The twelve named variants of a clip on which the paper's augmented data set rests (section 3, Tables 15 and 17)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..errors import QuaclrsError

ORIGINAL = "original"

_SPEC_AUGMENT = {"spec_augment": {"n_masks": 2, "max_width": 20}}
_PATCH_AUGMENT = {"patch_augment": {"n_patches": 5, "size": 10}}

#: Name -> augmentations, in the paper's order. Equal ones differ by their draws. The paper's tables call
#: timestretch_1.2 "timestretch_1".
VARIANTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        ORIGINAL: {},
        "noise_5dB": {"gaussian_noise": {"snr_db": 5.0}},
        "noise_15dB": {"gaussian_noise": {"snr_db": 15.0}},
        "timestretch_0.8": {"time_stretch": {"rate": 0.8}},
        "timestretch_1.2": {"time_stretch": {"rate": 1.2}},
        "pitchshift_-2": {"pitch_shift": {"semitones": -2.0}},
        "pitchshift_2": {"pitch_shift": {"semitones": 2.0}},
        "specaugment_0": _SPEC_AUGMENT,
        "specaugment_1": _SPEC_AUGMENT,
        "specaugment_2": _SPEC_AUGMENT,
        "patchaugment_0": _PATCH_AUGMENT,
        "patchaugment_1": _PATCH_AUGMENT,
    }
)

#: The augmented ones.
COPIES = tuple(name for name in VARIANTS if name != ORIGINAL)


def copy_id(clip_id: str, variant: str) -> str:
    """The id of a variant of a clip: `CLIP#VARIANT`, and the clip's own for the original.

    Raises:
        QuaclrsError: no variant has this name.
    """
    if variant not in VARIANTS:
        raise QuaclrsError(f"unknown variant {variant!r}; choose {', '.join(VARIANTS)}")
    return clip_id if variant == ORIGINAL else f"{clip_id}#{variant}"


def parent_and_variant(clip_id: str) -> tuple[str, str]:
    """Split an id that `copy_id` made: the clip's id, and the variant's name."""
    parent, _, variant = clip_id.rpartition("#")
    return (parent, variant) if variant in COPIES else (clip_id, ORIGINAL)
