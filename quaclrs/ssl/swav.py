"""SwAV (Caron et al., 2020): a view predicts which prototypes another view of the clip was assigned to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from lightly.loss import SwaVLoss
from lightly.models.modules.heads import SwaVProjectionHead, SwaVPrototypes
from lightly.utils import dist as lightly_dist
from torch import nn
from torch.nn.functional import normalize

from .base import SSLMethod, SSLOptions, StepOutput, bounded, encode_together, full_precision, gather_rows
from .moco import KeyQueue


@dataclass(frozen=True)
class SwAVOptions(SSLOptions):
    """Options of SwAV (Caron et al., 2020, section 4 and appendix A).

    Attributes:
        projection_dim: of projections and prototypes.
        hidden_dim: of the head's hidden layer.
        n_prototypes: fewer than a batch and queue hold, so that each can be used.
        temperature: of the prediction's softmax.
        epsilon: of Sinkhorn's algorithm: smaller is sharper; below 0.0113 exp(1 / epsilon) overflows.
        sinkhorn_iterations: of it.
        queue_size: projections of former batches that take part in the assignment; 0 for none.
        queue_start: share of the run after which they do.
        frozen_prototypes_share: share of the run at whose beginning prototypes are not trained.
    """

    projection_dim: int = bounded(128, 1)
    hidden_dim: int = bounded(512, 1)
    n_prototypes: int = bounded(128, 2)
    temperature: float = bounded(0.1, 1e-3)
    epsilon: float = bounded(0.05, 0.012)
    sinkhorn_iterations: int = bounded(3, 1)
    queue_size: int = bounded(512, 0)
    queue_start: float = bounded(0.3, 0, 1)
    frozen_prototypes_share: float = bounded(0.02, 0, 1)


class SwAV(SSLMethod):
    """Swapped prediction of Sinkhorn assignments (Caron et al., 2020, equations 1 to 5), with multi-crop."""

    options_type: ClassVar = SwAVOptions
    multi_crop: ClassVar = True
    follows_progress: ClassVar = True
    collapse_cause: ClassVar = "epsilon is too high, or there are more prototypes than clips to share them out"

    def __init__(self, encoder: nn.Module, options: SwAVOptions | None = None) -> None:
        super().__init__(encoder, options)
        o = self.options
        self.projection = SwaVProjectionHead(self.hidden_size, o.hidden_dim, o.projection_dim)
        self.prototypes = SwaVPrototypes(o.projection_dim, o.n_prototypes)
        for layer in self.prototypes.heads:
            layer.register_parameter("bias", None)  # similarities to prototypes have none
        self.prototypes.normalize()
        self.loss = SwaVLoss(o.temperature, o.sinkhorn_iterations, o.epsilon, sinkhorn_gather_distributed=True)
        # One for each global view, of the clips of all processes.
        self.queues = nn.ModuleList(KeyQueue(o.queue_size, o.projection_dim) for _ in range(2 if o.queue_size else 0))

    def step(self, views: Sequence[torch.Tensor], labels: torch.Tensor | None = None) -> StepOutput:
        embeddings = encode_together(self.encoder, views)
        projections = self.projection(torch.cat(embeddings)).float()
        with full_precision(projections):
            projections = normalize(projections, dim=1)
            outputs = self.prototypes(projections).chunk(len(views))
            loss = self.loss(outputs[:2], outputs[2:], self._queue_outputs()).squeeze()
        for queue, of_view in zip(self.queues, projections.detach().chunk(len(views)), strict=False):
            queue.push(gather_rows(of_view))  # type: ignore[operator]
        used = projections.new_zeros(self.options.n_prototypes).scatter(0, outputs[0].detach().argmax(1), 1.0)
        logs = {"prototypes_used": used.sum() / min(len(outputs[0]), len(used))}
        return StepOutput(loss, logs, embeddings[0].float())

    def explain_collapse(self, logs: Mapping[str, float]) -> str | None:
        return "all clips fall to a few prototypes; lower epsilon" if logs["prototypes_used"] < 0.05 else None

    @torch.no_grad()
    def _queue_outputs(self) -> list[torch.Tensor] | None:
        """Similarities of this process's share of the queues, from when they take part."""
        if not len(self.queues) or self.progress < self.options.queue_start:
            return None
        rank, processes = lightly_dist.rank(), lightly_dist.world_size()
        share = self.options.queue_size // processes
        queues: list[Any] = list(self.queues)
        return [self.prototypes(queue.keys[rank * share : (rank + 1) * share]) for queue in queues]

    def before_optimizer_step(self) -> None:
        if self.progress < self.options.frozen_prototypes_share:
            for parameter in self.prototypes.parameters():
                parameter.grad = None

    def after_step(self) -> None:
        self.prototypes.normalize()
