"""Augmentations (paper, sections 3 and 4.5): one clip at a time in numpy and librosa, the reference, and in batches.

`make_variant` and the functions beside it are the paper's off-line way. `AugmentedLogMel` does the same on the fly, by
a policy, on the device that trains. Importing this package is light; names that need torch load when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .draws import Draws, clip_key, seeded_generator
from .librosa_reference import add_gaussian_noise, pitch_shift, time_stretch
from .noise_recordings import find_noise
from .policy import Policy, load_policies, policy_from_dict, shipped_policies, variant_policy, with_background
from .spectrogram import patch_augment, spec_augment
from .variants import ORIGINAL, VARIANTS, FrontEnd, Variant, make_variant, model_front_end

if TYPE_CHECKING:
    from .pipeline import AUGMENTATIONS, AugmentedLogMel

_NEEDS_TORCH = ("AUGMENTATIONS", "AugmentedLogMel")

__all__ = [
    "AUGMENTATIONS",
    "ORIGINAL",
    "VARIANTS",
    "AugmentedLogMel",
    "Draws",
    "FrontEnd",
    "Policy",
    "Variant",
    "add_gaussian_noise",
    "clip_key",
    "find_noise",
    "load_policies",
    "make_variant",
    "model_front_end",
    "patch_augment",
    "pitch_shift",
    "policy_from_dict",
    "seeded_generator",
    "shipped_policies",
    "spec_augment",
    "time_stretch",
    "variant_policy",
    "with_background",
]


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(".pipeline", __name__), name)
