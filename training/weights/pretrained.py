"""The pretrained weights that a run begins with, YAMNet's out of the package among them."""

from __future__ import annotations

from safetensors.torch import load_file

from quaclrs.default_model import DEFAULT_MODEL
from quaclrs.models import Backbone

#: The model in the package is a linear classifier on YAMNet, whose tensors it holds in half precision, else unchanged.
_YAMNET = "quaclrs.backbone.network."


def load_pretrained(backbone: Backbone, file: str | None) -> None:
    """Load the weights of a file, or without one YAMNet's from the package and any other network's from the Hub.

    Raises:
        BackboneError: the weights cannot be had, or do not fit.
    """
    if file is None and backbone.name == "yamnet":
        tensors = load_file(DEFAULT_MODEL / "model.safetensors").items()
        yamnet = {name.removeprefix(_YAMNET): tensor for name, tensor in tensors if name.startswith(_YAMNET)}
        backbone.network.load_state_dict(yamnet)
    else:
        backbone.load_weights(file)
