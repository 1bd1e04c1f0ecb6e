"""BYOL (Grill et al., 2020): one view predicts what a slowly moving teacher makes of the other; no negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from torch import nn

from .base import (
    SSLMethod,
    SSLOptions,
    StepOutput,
    bounded,
    cosine_momentum,
    follow,
    full_precision,
    momentum_copy,
)
from .diagnostics import spread_on_sphere


@dataclass(frozen=True)
class BYOLOptions(SSLOptions):
    """Options of BYOL (Grill et al., 2020, section 3.3).

    Attributes:
        projection_dim: of projections and predictions.
        hidden_dim: of both heads' hidden layers.
        momentum: of the target at the beginning; it rises to 1 along a cosine.
    """

    projection_dim: int = bounded(256, 1)
    hidden_dim: int = bounded(1024, 1)
    momentum: float = bounded(0.99, 0, 1)


class BYOL(SSLMethod):
    """Symmetric regression of the target's projections (Grill et al., 2020, equation 2), each view on its own.

    The loss is the paper's mean squared error between unit vectors, 2 - 2 cos, of both directions.
    """

    options_type: ClassVar = BYOLOptions
    follows_progress: ClassVar = True
    collapse_cause: ClassVar = (
        "the target follows too fast (momentum too low), or the prediction head learns too slowly"
    )

    def __init__(self, encoder: nn.Module, options: BYOLOptions | None = None) -> None:
        super().__init__(encoder, options)
        o = self.options
        self.projection = BYOLProjectionHead(self.hidden_size, o.hidden_dim, o.projection_dim)
        self.prediction = BYOLPredictionHead(o.projection_dim, o.hidden_dim, o.projection_dim)
        self.target_encoder = momentum_copy(encoder)
        self.target_projection = momentum_copy(self.projection)
        self.loss = NegativeCosineSimilarity()

    def step(self, views: Sequence[torch.Tensor], labels: torch.Tensor | None = None) -> StepOutput:
        embeddings = [self.encoder(view) for view in views]
        predictions = [self.prediction(self.projection(embedding)).float() for embedding in embeddings]
        with torch.no_grad():
            targets = [self.target_projection(self.target_encoder(view)).float() for view in views]
        with full_precision(predictions[0]):
            first = 2 + 2 * self.loss(predictions[0], targets[1])
            second = 2 + 2 * self.loss(predictions[1], targets[0])
        logs = {"target_spread": spread_on_sphere(targets[0])}
        return StepOutput(first + second, logs, embeddings[0].float())

    def explain_collapse(self, logs: Mapping[str, float]) -> str | None:
        return "the target gives every clip the same projection" if logs["target_spread"] < 0.05 else None

    def after_step(self) -> None:
        pairs = [(self.encoder, self.target_encoder), (self.projection, self.target_projection)]
        follow(pairs, cosine_momentum(self.options.momentum, self.progress))
