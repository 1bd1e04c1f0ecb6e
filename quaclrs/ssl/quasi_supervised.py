"""Quasi-supervision: a method's loss on all clips, and cross-entropy on those whose labels are known (paper, 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from .base import SSLMethod, full_precision, gather_rows

#: Label of a clip whose class is not known; what `cross_entropy` ignores.
UNLABELLED = -100


@dataclass
class QuasiSupervisedOutput:
    """Result of a step.

    Attributes:
        loss: scalar with gradient: the method's, the supervised and the probe's.
        method_loss: of the method alone, detached.
        logs: the method's figures, detached scalars.
        hits, labelled: clips that the probe labels rightly, and clips with a label.
    """

    loss: torch.Tensor
    method_loss: torch.Tensor
    logs: dict[str, torch.Tensor]
    hits: torch.Tensor
    labelled: torch.Tensor


class QuasiSupervised(nn.Module):
    """A method with a linear classifier on the embeddings of its first view, the online probe.

    The probe learns from labels in any case. Its gradient reaches the encoder only where `supervised_weight` is above 0
    and `detach` is not set.

    Args:
        method: what learns from all clips.
        num_labels: classes.
        method_weight: of the method's loss (the paper's joint training: 0.7).
        supervised_weight: of the cross-entropy of clips with labels (the paper's: 0.3).
        detach: stop the cross-entropy's gradient before the encoder.
    """

    def __init__(
        self,
        method: SSLMethod,
        num_labels: int,
        method_weight: float = 1.0,
        supervised_weight: float = 0.0,
        detach: bool = False,
    ) -> None:
        super().__init__()
        self.method = method
        # Embeddings are standardised first: one learning rate then fits every encoder.
        self.probe = nn.Sequential(
            nn.BatchNorm1d(method.hidden_size, affine=False), nn.Linear(method.hidden_size, num_labels)
        )
        self.method_weight = method_weight
        self.supervised_weight = supervised_weight
        self.detach = detach or supervised_weight == 0

    def forward(
        self, views: Sequence[torch.Tensor], labels: torch.Tensor, labelled: float | None = None
    ) -> QuasiSupervisedOutput:
        """One step.

        Args:
            views: as the method's `step` takes them.
            labels: (clips,) class indices, `UNLABELLED` where not known.
            labelled: what the sum of cross-entropies is divided by: clips with a label of the mean batch of this step
                of the optimiser, of all processes and accumulated batches; of the processes' batches now where absent.
        """
        output = self.method(views, labels)
        embeddings = output.embeddings.detach() if self.detach else output.embeddings
        with full_precision(embeddings):
            logits = self.probe(embeddings)
            known = labels != UNLABELLED
            supervised = cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum")
            if labelled is None:
                # The mean count of all processes, whose gradients are averaged; the mean of no label at all is NaN.
                counts = gather_rows(known.sum().float()[None])
                supervised = supervised * len(counts) / counts.sum().clamp(min=1)
            else:
                supervised = supervised / labelled
        weight = 1.0 if self.detach else self.supervised_weight
        return QuasiSupervisedOutput(
            loss=self.method_weight * output.loss + weight * supervised,
            method_loss=output.loss.detach(),
            logs=output.logs,
            hits=((logits.detach().argmax(1) == labels) & known).sum(),
            labelled=known.sum(),
        )
