"""Augmentations (paper, sections 3 and 4.5) on the fly, in batches, on any device.

`AugmentedLogMel` augments by a policy, anew in every epoch; `VariantLogMel` makes the paper's augmented copies, which
stay the same. Importing this package is light; names that need torch load when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .draws import Draws, clip_key, seeded_generator
from .noise_recordings import find_noise
from .policy import Policy, load_policies, policy_from_dict, shipped_policies, variant_policy, with_background
from .variants import COPIES, ORIGINAL, VARIANTS, copy_id, parent_and_variant

if TYPE_CHECKING:
    from .pipeline import AUGMENTATIONS, AugmentedLogMel
    from .variant_log_mel import VariantLogMel

#: Name -> the module that loads torch with it.
_NEEDS_TORCH = {"AUGMENTATIONS": ".pipeline", "AugmentedLogMel": ".pipeline", "VariantLogMel": ".variant_log_mel"}

__all__ = [
    "AUGMENTATIONS",
    "COPIES",
    "ORIGINAL",
    "VARIANTS",
    "AugmentedLogMel",
    "Draws",
    "Policy",
    "VariantLogMel",
    "clip_key",
    "copy_id",
    "find_noise",
    "load_policies",
    "parent_and_variant",
    "policy_from_dict",
    "seeded_generator",
    "shipped_policies",
    "variant_policy",
    "with_background",
]


def __getattr__(name: str) -> Any:
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_NEEDS_TORCH[name], __name__), name)
