"""The pretrained weights that a run begins with, those of the networks in the package among them."""

from __future__ import annotations

from typing import Any

from safetensors.torch import load_file

from quaclrs.default_model import DEFAULT_MODEL
from quaclrs.models import Backbone, BackboneError, QuaclrsModel
from quaclrs.saved_model import CONFIG, WEIGHTS
from quaclrs.text_files import read_mapping

from ..runs.config import files_of


def load_pretrained(backbone: Backbone, file: str | None) -> None:
    """Load the weights of a file, or without one those in the package, or else the Hub's.

    Raises:
        BackboneError: the weights cannot be had, or do not fit.
    """
    prefix = None if file else _prefix_in_package(backbone.name)
    if prefix is None:
        backbone.load_weights(file)
        return
    # Half precision, else unchanged: the model in the package was trained as a probe.
    stored = load_file(DEFAULT_MODEL / WEIGHTS)
    wanted = backbone.state_dict()
    if missing := [name for name in wanted if f"{prefix}{name}" not in stored]:
        raise BackboneError(f"the model in the package has no {missing[0]}; name a local file with the weights")
    backbone.load_state_dict({name: stored[f"{prefix}{name}"] for name in wanted})


def load_pretrained_encoders(model: QuaclrsModel, files: str | None) -> None:
    """Load the weights of each encoder of a model as `load_pretrained` does.

    Args:
        model: of one encoder or several.
        files: a file for a model of one encoder; for several `BACKBONE=FILE`, with commas between them. Encoders that
            are not named take the weights in the package, or else the Hub's.

    Raises:
        BackboneError: as of `load_pretrained`, or a backbone is named that the model has not.
    """
    others: Any = model.more_encoders
    backbones: list[Backbone] = [model.backbone, *(encoder.backbone for encoder in others)]
    if len(backbones) == 1:
        load_pretrained(model.backbone, files)
        return
    file_of = files_of(files)
    if unknown := sorted(set(file_of) - {backbone.name for backbone in backbones}):
        raise BackboneError(f"--pretrained-file names {unknown[0]!r}; pass BACKBONE=FILE of {model.config.backbones}")
    for backbone in backbones:
        load_pretrained(backbone, file_of.get(backbone.name))


def _prefix_in_package(name: str) -> str | None:
    """Before the names of a backbone's tensors in the package's model; None where that has no such backbone."""
    config = read_mapping(DEFAULT_MODEL / CONFIG)
    if config["backbone"] == name:
        return "quaclrs.backbone."
    for number, encoder in enumerate(config.get("more_encoders") or []):
        if encoder["backbone"] == name:
            return f"quaclrs.more_encoders.{number}.backbone."
    return None
