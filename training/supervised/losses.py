"""Loss of supervised training and the class weights in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy


def weighted_losses(
    logits: torch.Tensor,
    batch: Mapping[str, torch.Tensor],
    weight: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of the clips' weighted cross-entropies and sum of their weights: the quotient is the loss of the batch.

    Under mixup a clip has the losses and weights of both labels by their shares (Zhang et al., 2018). Sums of several
    batches can be added: the loss of a whole step is the quotient of all.

    Args:
        logits: (clips, classes), float32.
        batch: `labels` (clips,), and under mixup `partner_labels` and `label_share` (clips,).
        weight: of every class (classes,).
        label_smoothing: share of the target spread evenly over the classes, in [0, 1).
    """
    weight = logits.new_ones(logits.shape[1]) if weight is None else weight
    share = batch.get("label_share", logits.new_ones(len(logits)))
    targets = [(batch["labels"], share)]
    if "partner_labels" in batch:
        targets.append((batch["partner_labels"], 1 - share))
    total, weights = logits.new_zeros(()), logits.new_zeros(())
    for labels, shares in targets:
        losses = cross_entropy(logits, labels, weight, reduction="none", label_smoothing=label_smoothing)
        total, weights = total + (shares * losses).sum(), weights + (shares * weight[labels]).sum()
    return total, weights


def class_weights(labels: Sequence[int] | np.ndarray, num_classes: int, kind: str, beta: float = 0.999) -> torch.Tensor:
    """Weights of the classes in the loss, float32 (classes,).

    The mean clip weighs 1, so that a loss is as large as without weights. A class without clips weighs 0.

    Args:
        labels: of the training clips.
        num_classes: length of the result.
        kind: `none`: 1 for every class; `inverse`: inversely proportional to the class's clips (paper, section 4.6);
            `effective`: to the effective number of clips, (1 - beta^n) / (1 - beta) (Cui et al., 2019, equation 2).
        beta: of `effective`, in (0, 1): near 0 it weighs nothing, near 1 it is `inverse`.
    """
    counts = np.bincount(np.asarray(labels), minlength=num_classes)
    present = counts > 0
    weights = np.zeros(num_classes)
    if kind == "none":
        return torch.ones(num_classes)
    if kind == "inverse":
        weights[present] = 1 / counts[present]
    else:
        weights[present] = (1 - beta) / (1 - beta ** counts[present])
    return torch.tensor(weights * counts.sum() / (weights * counts).sum(), dtype=torch.float32)
