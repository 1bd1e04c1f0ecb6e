"""Barlow Twins (Zbontar et al., 2021): dimensions of two views correlate with themselves and with nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from lightly.loss import BarlowTwinsLoss
from lightly.models.modules.heads import BarlowTwinsProjectionHead
from torch import nn

from .base import SSLMethod, SSLOptions, StepOutput, bounded, full_precision, gather_with_gradient

#: Dimensions whose correlations are logged: all of them would cost as much again as the loss.
_LOGGED = 256


@dataclass(frozen=True)
class BarlowTwinsOptions(SSLOptions):
    """Options of Barlow Twins (Zbontar et al., 2021, section 2.2).

    Attributes:
        projection_dim: of projections and of the hidden layers; wide is better, also for narrow embeddings.
        redundancy_weight: the paper's lambda, of the off-diagonal terms.
        loss_scale: the loss is a sum over dimensions; the authors' code scales it before clipping and LARS.
    """

    projection_dim: int = bounded(2048, 2)
    redundancy_weight: float = bounded(5e-3, 0)
    loss_scale: float = bounded(0.1, 1e-6)


class BarlowTwins(SSLMethod):
    """The cross-correlation of two views against the identity (Zbontar et al., 2021, equation 1).

    Correlations are those of the whole batch of all processes, mean and deviation included.
    """

    options_type: ClassVar = BarlowTwinsOptions
    collapse_cause: ClassVar = "the learning rate is too high, or redundancy_weight is too low"

    def __init__(self, encoder: nn.Module, options: BarlowTwinsOptions | None = None) -> None:
        super().__init__(encoder, options)
        o = self.options
        self.projection = BarlowTwinsProjectionHead(self.hidden_size, o.projection_dim, o.projection_dim)
        self.loss = BarlowTwinsLoss(o.redundancy_weight)

    def step(self, views: Sequence[torch.Tensor], labels: torch.Tensor | None = None) -> StepOutput:
        embeddings = [self.encoder(view) for view in views]
        first, second = (gather_with_gradient(self.projection(embedding).float()) for embedding in embeddings)
        with full_precision(first):
            loss = self.options.loss_scale * self.loss(first, second)
            with torch.no_grad():
                one, other = (
                    nn.functional.batch_norm(z[:, :_LOGGED], None, None, training=True) for z in (first, second)
                )
                correlation = one.T @ other / len(one)
                diagonal = correlation.diagonal()
                off = (correlation.square().sum() - diagonal.square().sum()) / (correlation.numel() - len(diagonal))
        logs = {"on_diagonal": diagonal.mean(), "off_diagonal": off.clamp(min=0).sqrt()}
        return StepOutput(loss, logs, embeddings[0].float())
