"""Pictures cut into patches along time, as YAMNet hears them, and its maps put together again.

This file travels with every pushed model, so it imports nothing from the rest of the package.
"""

from __future__ import annotations

import math

import torch
from torch import nn

#: Most that `level` adds to logarithms of magnitudes whose largest is 0: what is above flat silence.
_MOST_GAIN = 4.0


def first_columns(width: int, patch_width: int, overlap: float) -> list[int]:
    """The first column of each patch of a picture, spread evenly from the first patch to one that ends the picture.

    Args:
        width: of the picture, in pixels, at least `patch_width`.
        patch_width: pixels.
        overlap: about the share of a patch that the next one holds too, in [0, 1).
    """
    spare = width - patch_width
    steps = round(spare / (patch_width * (1 - overlap)))
    return [round(spare * step / steps) for step in range(steps + 1)] if steps else [0]


def split(pictures: torch.Tensor, patch_width: int, overlap: float = 0.0) -> torch.Tensor:
    """Patches (batch * count, 3, height, patch_width) of pictures, each with its last column first.

    TensorFlow pads strided convolutions below and to the right, PyTorch on both sides, which for an even size is
    above and to the left. A picture has its lowest band at the bottom, not at the top as YAMNet has it; with time
    reversed too, and kernels alike, the two are equal. A picture narrower than a patch is stretched to one.
    """
    if pictures.shape[-1] < patch_width:
        size = (pictures.shape[-2], patch_width)
        pictures = nn.functional.interpolate(pictures, size=size, mode="bilinear", align_corners=False)
    firsts = first_columns(pictures.shape[-1], patch_width, overlap)
    patches = torch.stack([pictures[..., first : first + patch_width] for first in firsts], dim=1)
    return patches.flatten(0, 1).flip(-1)


def join(maps: torch.Tensor, count: int) -> torch.Tensor:
    """Maps (batch * count, channels, height, width) of patches as (batch, channels, height, count * width)."""
    return maps.flip(-1).unflatten(0, (-1, count)).permute(0, 2, 3, 1, 4).flatten(-2)


def level(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures of natural logarithms of magnitudes, as loud on average as what YAMNet was trained on.

    Log-mels are relative to their loudest cell, YAMNet's are absolute. With the root mean square of the magnitudes at
    0.5, a level that recordings had on average, a linear classifier did as well as on absolute levels; with the loudest
    cell at a fixed level it did not. Silence stays quiet.
    """
    mean_square = (2 * pictures[:, :1]).flatten(1).logsumexp(1) - math.log(pictures[0, 0].numel())
    gain = (math.log(0.5) - 0.5 * mean_square).clamp(max=_MOST_GAIN)
    return pictures + gain[:, None, None, None]
