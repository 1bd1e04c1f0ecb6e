"""SimCLR (Chen et al., 2020): two views of a clip attract, views of other clips in the batch repel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from torch import nn

from .base import SSLMethod, SSLOptions, StepOutput, bounded, encode_together, full_precision


@dataclass(frozen=True)
class SimCLROptions(SSLOptions):
    """Options of SimCLR.

    Attributes:
        projection_dim: of the space of the loss (paper, Table 16: 64, 128, 256).
        hidden_dim: of the head's hidden layer.
        temperature: of NT-Xent; a small batch has few hard negatives, which a low temperature favours.
    """

    projection_dim: int = bounded(128, 1)
    hidden_dim: int = bounded(512, 1)
    temperature: float = bounded(0.2, 1e-3)


class SimCLR(SSLMethod):
    """NT-Xent on the projections of two views (Chen et al., 2020, section 2.1); negatives from all processes."""

    options_type: ClassVar = SimCLROptions
    collapse_cause: ClassVar = "the batch holds too few negatives, or the temperature is too high"

    def __init__(self, encoder: nn.Module, options: SimCLROptions | None = None) -> None:
        super().__init__(encoder, options)
        o = self.options
        self.projection = SimCLRProjectionHead(self.hidden_size, o.hidden_dim, o.projection_dim)
        self.loss = NTXentLoss(o.temperature, gather_distributed=True)

    def step(self, views: Sequence[torch.Tensor], labels: torch.Tensor | None = None) -> StepOutput:
        embeddings = encode_together(self.encoder, views)
        first, second = self.projection(torch.cat(embeddings)).float().chunk(2)
        with full_precision(first):
            loss = self.loss(first, second)
            # Alignment against what two unrelated clips have in common.
            one, other = (nn.functional.normalize(z.detach(), dim=1) for z in (first, second))
            similarity = one @ other.T
        count = len(similarity)
        unlike = (similarity.sum() - similarity.trace()) / max(1, count * (count - 1))
        hits = (similarity.argmax(1) == torch.arange(count, device=similarity.device)).float().mean()
        logs = {
            "positive_similarity": similarity.diagonal().mean(),
            "negative_similarity": unlike,
            "contrastive_accuracy": hits,
        }
        return StepOutput(loss, logs, embeddings[0].float())
