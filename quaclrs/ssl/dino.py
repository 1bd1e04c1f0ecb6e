"""DINO (Caron et al., 2021): a student matches a teacher's centred, sharpened assignments from other, shorter views."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from lightly.loss import DINOLoss
from lightly.models.modules.heads import DINOProjectionHead
from torch import nn

from .base import (
    SSLMethod,
    SSLOptions,
    StepOutput,
    bounded,
    cosine_momentum,
    encode_together,
    follow,
    full_precision,
    momentum_copy,
)


@dataclass(frozen=True)
class DINOOptions(SSLOptions):
    """Options of DINO (Caron et al., 2021, section 3.2 and appendix); smaller than there, for thousands of clips.

    Attributes:
        output_dim: of the head, the number of assignments.
        hidden_dim, bottleneck_dim: of the head's layers.
        momentum: of the teacher at the beginning; it rises to 1 along a cosine.
        student_temperature: of the student's softmax.
        teacher_temperature: of the teacher's, after the warm-up.
        warmup_teacher_temperature: of the teacher's at the beginning.
        warmup_share: share of the run over which it rises.
        center_momentum: of the running mean that is taken from the teacher's outputs.
        frozen_last_layer_share: share of the run at whose beginning the last layer is not trained.
    """

    output_dim: int = bounded(2048, 2)
    hidden_dim: int = bounded(512, 1)
    bottleneck_dim: int = bounded(128, 1)
    momentum: float = bounded(0.99, 0, 1)
    student_temperature: float = bounded(0.1, 1e-3)
    teacher_temperature: float = bounded(0.07, 1e-3)
    warmup_teacher_temperature: float = bounded(0.04, 1e-3)
    warmup_share: float = bounded(0.3, 0, 1)
    center_momentum: float = bounded(0.9, 0, 1)
    frozen_last_layer_share: float = bounded(0.01, 0, 1)


class DINO(SSLMethod):
    """Cross-entropy of every student view against the teacher's two global views, never its own (algorithm 1)."""

    options_type: ClassVar = DINOOptions
    multi_crop: ClassVar = True
    follows_progress: ClassVar = True
    collapse_cause: ClassVar = "centring and sharpening do not balance (teacher_temperature, center_momentum)"

    def __init__(self, encoder: nn.Module, options: DINOOptions | None = None) -> None:
        super().__init__(encoder, options)
        o = self.options
        self.projection = self._build_head()
        self.teacher_encoder = momentum_copy(encoder)
        # A module with weight normalisation cannot be copied.
        self.teacher_projection = self._build_head()
        self.teacher_projection.load_state_dict(self.projection.state_dict())
        self.teacher_projection.requires_grad_(False)
        self.loss = DINOLoss(
            o.output_dim, student_temp=o.student_temperature, center_momentum=o.center_momentum
        ).requires_grad_(False)

    def _build_head(self) -> DINOProjectionHead:
        o = self.options
        with warnings.catch_warnings():  # lightly's head uses the older of PyTorch's two weight norms
            warnings.filterwarnings("ignore", ".*weight_norm.* is deprecated", FutureWarning)
            return DINOProjectionHead(self.hidden_size, o.hidden_dim, o.bottleneck_dim, o.output_dim, batch_norm=True)

    def step(self, views: Sequence[torch.Tensor], labels: torch.Tensor | None = None) -> StepOutput:
        embeddings = encode_together(self.encoder, views)
        outputs = [self.projection(embedding).float() for embedding in embeddings]
        with torch.no_grad():
            taught = [self.teacher_projection(e).float() for e in encode_together(self.teacher_encoder, views[:2])]
        temperature = self.teacher_temperature
        with full_precision(outputs[0]):
            assignments = ((torch.cat(taught) - self.loss.center[0]) / temperature).softmax(-1)
            loss = self.loss(taught, outputs, teacher_temp=temperature)
        logs = {
            "teacher_entropy": _entropy(assignments),
            # The mean assignment's: low where all clips fall to few outputs.
            "teacher_usage_entropy": _entropy(assignments.mean(0, keepdim=True)),
        }
        return StepOutput(loss, logs, embeddings[0].float())

    def explain_collapse(self, logs: Mapping[str, float]) -> str | None:
        if logs["teacher_usage_entropy"] < 0.05:
            return "the teacher assigns all clips to one output; lower center_momentum or the learning rate"
        if logs["teacher_entropy"] > 0.99:
            return "the teacher assigns every clip to all outputs alike; lower the teacher temperatures"
        return None

    @property
    def teacher_temperature(self) -> float:
        """Temperature of the teacher's softmax now (Caron et al., 2021, section 3.2: a linear warm-up)."""
        o = self.options
        risen = min(1.0, self.progress / o.warmup_share) if o.warmup_share else 1.0
        return o.warmup_teacher_temperature + risen * (o.teacher_temperature - o.warmup_teacher_temperature)

    def before_optimizer_step(self) -> None:
        if self.progress < self.options.frozen_last_layer_share:
            last_layer: nn.Module = self.projection.last_layer
            for parameter in last_layer.parameters():
                parameter.grad = None

    def after_step(self) -> None:
        pairs = [(self.encoder, self.teacher_encoder), (self.projection, self.teacher_projection)]
        follow(pairs, cosine_momentum(self.options.momentum, self.progress))


def _entropy(assignments: torch.Tensor) -> torch.Tensor:
    """Mean entropy of distributions (rows, outputs), relative to that of the uniform one."""
    entropy = -(assignments * assignments.clamp(min=1e-12).log()).sum(1).mean()
    return entropy / math.log(assignments.shape[1])
