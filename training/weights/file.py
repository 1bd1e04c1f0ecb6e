"""What the commands that make a file of pretrained weights share: their option, and the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from quaclrs.errors import CommandParser, QuaclrsError


def parse_output(module: str, description: str | None, arguments: list[str] | None) -> Path:
    """`--output` of `python -m MODULE`; a `QuaclrsError` where it is no .safetensors."""
    parser = CommandParser(prog=f"python -m {module}", description=(description or "").split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="a .safetensors file to write")
    output: Path = parser.parse_args(arguments).output
    if output.suffix != ".safetensors":
        raise QuaclrsError(f"--output {output} must end in .safetensors")
    return output


def write_weights(weights: Mapping[str, torch.Tensor], output: Path, backbone: str) -> None:
    """Write the file and say what it is for."""
    output.parent.mkdir(parents=True, exist_ok=True)
    save_file(dict(weights), output)
    print(f"{output}: for --backbone {backbone} --pretrained-file {output}")
