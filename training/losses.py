"""Losses of supervised training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn.functional import cross_entropy


def classification_loss(
    logits: torch.Tensor, batch: Mapping[str, torch.Tensor], weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Weighted mean cross-entropy; of clips under mixup, that of both labels by their shares (Zhang et al., 2018).

    Args:
        logits: (clips, classes), float32.
        batch: `labels` (clips,), and under mixup `partner_labels` and `label_share` (clips,).
        weight: of every class (classes,).
    """
    if "label_share" not in batch:
        return cross_entropy(logits, batch["labels"], weight)
    weight = logits.new_ones(logits.shape[1]) if weight is None else weight
    total, norm = logits.new_zeros(()), logits.new_zeros(())
    for labels, share in (
        (batch["labels"], batch["label_share"]),
        (batch["partner_labels"], 1 - batch["label_share"]),
    ):
        total = total + (share * cross_entropy(logits, labels, weight, reduction="none")).sum()
        norm = norm + (share * weight[labels]).sum()
    return total / norm
