"""Linear interpolation along the last axis of a batch, at places of each clip's own."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def interpolate(lines: torch.Tensor, places: np.ndarray) -> torch.Tensor:
    """Values of (clips, lines, length) at fractional places (clips, new length): (clips, lines, new length).

    Place 0 is the first value and length - 1 the last; beyond them everything is 0, and one step outside fades to it.
    """
    silent_around = nn.functional.pad(lines, (1, 2))
    inside = np.clip(places + 1, 0, lines.shape[2] + 1)
    lower = torch.from_numpy(inside.astype(np.int64)).to(lines.device)
    weight = torch.from_numpy((inside % 1).astype(np.float32)).to(lines.device)
    if lines.device.type == "cpu":  # clip by clip: gathering by an index for every value takes longer
        return torch.stack(
            [
                torch.lerp(clip.index_select(1, below), clip.index_select(1, below + 1), share)
                for clip, below, share in zip(silent_around, lower, weight, strict=True)
            ]
        )
    index = lower[:, None, :].expand(-1, lines.shape[1], -1)
    return torch.lerp(silent_around.gather(2, index), silent_around.gather(2, index + 1), weight[:, None, :])
