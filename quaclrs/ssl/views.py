"""The views of a clip that a method compares: policies of `quaclrs.augment`, and short views for multi-crop in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..augment import AugmentedLogMel
from ..augment.policy import Policy
from ..models import LogMelConfig, LogMelSpectrogram


class Views(nn.Module):
    """Two global views of every clip, and any number of local ones.

    A local view is a clip of its own: a short part from anywhere in the sound, with the level, noise and masks of the
    policies in turn (DINO's and SwAV's multi-crop, cut in time alone: what a frequency means does not depend on where
    it is cut out).

    Args:
        policies: of the two global views.
        log_mel: the front end of global views.
        local_views: how many local ones.
        local_duration: seconds of a local view, shorter than the front end's.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        log_mel: LogMelConfig,
        local_views: int = 0,
        local_duration: float = 1.0,
    ) -> None:
        super().__init__()
        front_end = LogMelSpectrogram(log_mel)
        augmentations = [AugmentedLogMel(policy, front_end) for policy in policies]
        if local_views:
            short = LogMelSpectrogram(replace(log_mel, duration=local_duration))
            anywhere = [replace(policy, random_placement=True) for policy in policies]
            augmentations += [AugmentedLogMel(anywhere[i % len(anywhere)], short) for i in range(local_views)]
        self.augmentations = nn.ModuleList(augmentations)

    @property
    def of_policies(self) -> list[AugmentedLogMel]:
        """One augmentation a view, as `ClipTransform` takes them."""
        return list(self.augmentations)  # type: ignore[arg-type]

    def forward(self, batch: Mapping[str, Any], seed: int = 0, epoch: int = 0) -> list[torch.Tensor]:
        """Log-mels (clips, mels, frames) of every view, the global ones first.

        Args:
            batch: of a `ClipTransform` whose views are `of_policies`, on either side of `augment_on`.
            seed, epoch: of the draws.
        """
        if "input_features" in batch:
            return list(batch["input_features"].unbind(1))
        return [
            view.augment_batch(batch, seed, epoch, number)["input_features"]
            for number, view in enumerate(self.of_policies)
        ]
