"""MoCo (He et al., 2020) and MoCo v2 (Chen et al., 2020): negatives from a queue of keys by a momentum encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from lightly.models.modules.heads import MoCoProjectionHead
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from .base import SSLMethod, SSLOptions, StepOutput, bounded, follow, full_precision, gather_rows, momentum_copy


@dataclass(frozen=True)
class MoCoOptions(SSLOptions):
    """Options of MoCo (He et al., 2020, section 3).

    Attributes:
        projection_dim: of keys and queries.
        queue_size: keys that are kept (paper, Table 18: 4096, 8192). More than one epoch of clips makes a clip its own
            negative.
        momentum: of the key encoder; below the paper's 0.999, which needs many thousands of steps.
        temperature: of the contrastive loss.
        key_groups: parts of a batch whose keys share BatchNorm statistics.
    """

    projection_dim: int = bounded(128, 1)
    queue_size: int = bounded(4096, 1)
    momentum: float = bounded(0.99, 0, 1)
    temperature: float = bounded(0.07, 1e-3)
    key_groups: int = bounded(2, 1)


@dataclass(frozen=True)
class MoCoV2Options(MoCoOptions):
    """Options of MoCo v2 (Chen et al., 2020, section 3: an MLP head, stronger views, a cosine schedule).

    Attributes:
        hidden_dim: of the head's hidden layer.
    """

    temperature: float = bounded(0.1, 1e-3)
    hidden_dim: int = bounded(512, 1)


class KeyQueue(nn.Module):
    """First in, first out: the keys of the last batches of all processes, saved with the method's state.

    Random unit vectors fill it at first, as in MoCo's code; `filled` counts real keys.

    Args:
        size: keys that are kept.
        dim: of a key.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))
        self.keys: torch.Tensor
        self.position: torch.Tensor
        self.filled: torch.Tensor

    @torch.no_grad()
    def push(self, keys: torch.Tensor) -> None:
        """Replace the oldest keys by these (count, dim); the last `size` of them where there are more."""
        keys = keys[-len(self.keys) :].to(self.keys)
        rows = (self.position + torch.arange(len(keys), device=self.keys.device)) % len(self.keys)
        self.keys[rows] = keys
        self.position.add_(len(keys)).remainder_(len(self.keys))
        self.filled.add_(len(keys)).clamp_(max=len(self.keys))


class MoCo(SSLMethod):
    """InfoNCE of a query against its key and the queue (He et al., 2020, equation 1 and algorithm 1).

    A linear head, temperature 0.07, and in the presets a rate that falls in steps. Keys are encoded in groups of every
    n-th clip, so that BatchNorm gives a key other statistics than its query: what shuffling clips over GPUs is for
    (section 3.3), on one device too.
    """

    options_type: ClassVar = MoCoOptions
    collapse_cause: ClassVar = "the key encoder follows too fast (momentum too low), or the learning rate is too high"

    def __init__(self, encoder: nn.Module, options: MoCoOptions | None = None) -> None:
        super().__init__(encoder, options)
        self.projection = self._build_head()
        self.key_encoder = momentum_copy(encoder)
        self.key_projection = momentum_copy(self.projection)
        self.queue = KeyQueue(self.options.queue_size, self.options.projection_dim)

    def _build_head(self) -> nn.Module:
        return nn.Linear(self.hidden_size, self.options.projection_dim)

    def step(self, views: Sequence[torch.Tensor], labels: torch.Tensor | None = None) -> StepOutput:
        embeddings = self.encoder(views[0])
        queries, keys = self.projection(embeddings).float(), self._encode_keys(views[1])
        with full_precision(queries):
            queries, keys = normalize(queries, dim=1), normalize(keys, dim=1)
            positive = (queries * keys).sum(1, keepdim=True)
            negative = queries @ self.queue.keys.clone().T
            logits = torch.cat([positive, negative], dim=1) / self.options.temperature
            loss = cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))
        self.queue.push(gather_rows(keys))
        logs = {
            "positive_similarity": positive.detach().mean(),
            "negative_similarity": negative.detach().mean(),
            "contrastive_accuracy": (logits.detach().argmax(1) == 0).float().mean(),
            "queue_filled": self.queue.filled / len(self.queue.keys),
        }
        return StepOutput(loss, logs, embeddings.float())

    @torch.no_grad()
    def _encode_keys(self, view: torch.Tensor) -> torch.Tensor:
        count = min(self.options.key_groups, len(view))
        groups = [self.key_projection(self.key_encoder(view[first::count])).float() for first in range(count)]
        keys = groups[0].new_empty(len(view), groups[0].shape[1])
        for first, group in enumerate(groups):
            keys[first::count] = group
        return keys

    def after_step(self) -> None:
        pairs = [(self.encoder, self.key_encoder), (self.projection, self.key_projection)]
        follow(pairs, self.options.momentum)


class MoCoV2(MoCo):
    """MoCo with an MLP head and another temperature; stronger views and a cosine schedule are in its presets."""

    options_type: ClassVar = MoCoV2Options

    def _build_head(self) -> nn.Module:
        return MoCoProjectionHead(self.hidden_size, self.options.hidden_dim, self.options.projection_dim)
