"""Augmentation policies as data: which augmentations, how likely and how strong, in YAML or by name.

A policy is a mapping from the name of an augmentation to its options. Its order means nothing: sounds mix, are cut and
placed before they are heard, so waveform augmentations always come before those of the spectrogram.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import QuaclrsError, first_line_of
from ..text_files import parse_yaml
from .variants import ORIGINAL, VARIANTS

_SHIPPED = files(__package__) / "policies"


@dataclass(frozen=True)
class Policy:
    """A policy: the augmentations of a clip.

    Args:
        augmentations: name of an augmentation -> its options; `quaclrs.augment.AugmentedLogMel` lists and checks them.
        random_placement: whether a clip shorter than the window begins anywhere in it, and a longer one is cut
            anywhere (clips that a `ClipTransform` loads: with its crop `random`); otherwise short ones begin at 0 and
            long ones are cut from the centre (paper, section 3).
        salt: sets apart the draws of two policies that are otherwise alike, as the paper's specaugment_0 and _1.
    """

    augmentations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    random_placement: bool = False
    salt: str = ""

    @property
    def is_identity(self) -> bool:
        """True if clips come out as the feature extractor and the front end alone would make them."""
        return not self.augmentations and not self.random_placement

    def to_dict(self) -> dict[str, Any]:
        """The policy as a mapping, as `policy_from_dict` reads it."""
        augmentations = {name: dict(options) for name, options in self.augmentations.items()}
        return {"random_placement": self.random_placement, "salt": self.salt, **augmentations}


def load_policies(name_or_file: str | os.PathLike[str], views: int = 1) -> list[Policy]:
    """The policies of the views of a clip.

    Args:
        name_or_file: a YAML file; the name of a shipped policy (`shipped_policies`); or one of the paper's variants.
        views: how many are wanted. A file that describes one policy gives it to every view; one with a list `views`
            gives its members in turn, beginning again at the first.

    Raises:
        QuaclrsError: the policy does not exist, or the file does not hold one.
    """
    name = os.fspath(name_or_file)
    if name in VARIANTS:
        return [variant_policy(name)] * views
    path = Path(name) if name.endswith((".yaml", ".yml")) else _SHIPPED / f"{name}.yaml"
    if not path.is_file():
        raise QuaclrsError(
            f"augmentation policy {name} does not exist; give a .yaml file or one of {', '.join(shipped_policies())}"
        )
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise QuaclrsError(f"augmentation policy {name} cannot be read ({first_line_of(error)})") from error
    of_views = values["views"] if isinstance(values, dict) and set(values) == {"views"} else [values]
    if not isinstance(of_views, list) or not of_views:
        raise QuaclrsError(f"augmentation policy {name}: views must be a list of policies")
    policies = [policy_from_dict(of_view, name) for of_view in of_views]
    return [policies[view % len(policies)] for view in range(views)]


def policy_from_dict(values: Any, name: str = "given") -> Policy:
    """A policy from a mapping of augmentations to options; `name` is what an error calls it.

    Raises:
        QuaclrsError: it is not such a mapping.
    """
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise QuaclrsError(f"augmentation policy {name} must hold one `augmentation: options` a line")
    values = dict(values)
    random_placement, salt = values.pop("random_placement", False), values.pop("salt", "")
    if not isinstance(random_placement, bool):
        raise QuaclrsError(f"augmentation policy {name}: random_placement must be true or false")
    for augmentation, options in values.items():
        if options is None:
            values[augmentation] = {}
        elif not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
            raise QuaclrsError(f"augmentation policy {name}: {augmentation} must hold options, as {{probability: 0.5}}")
    return Policy(values, random_placement, str(salt))


def variant_policy(name: str) -> Policy:
    """One of the paper's twelve variants by name."""
    return Policy(VARIANTS[name], salt="" if name == ORIGINAL else name)


def with_background(policy: Policy, recordings: str | None) -> Policy:
    """The policy with this folder for its background noise, where it has any and names no folder of its own."""
    options = policy.augmentations.get("background_noise")
    if options is None or recordings is None or options.get("recordings"):
        return policy
    return replace(
        policy, augmentations={**policy.augmentations, "background_noise": {**options, "recordings": recordings}}
    )


def shipped_policies() -> list[str]:
    """Names that `load_policies` takes, without the paper's variants."""
    return sorted(file.name.removesuffix(".yaml") for file in _SHIPPED.iterdir() if file.name.endswith(".yaml"))
