"""Health of a representation in numbers, and one line that says so when it has collapsed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.functional import normalize

#: Below this share of the spread before training, or this many dimensions in use, nothing of the clips is left.
_SPREAD_SHARE = 0.1
_LEAST_RANK = 2.0


def spread_on_sphere(embeddings: torch.Tensor) -> torch.Tensor:
    """Spread of embeddings (clips, dimensions) of unit length: 0 if all are the same, 1 if uniform.

    The mean over dimensions of the standard deviation, times the square root of the dimensions (SimSiam: Chen and He,
    2021, section 4.1).
    """
    unit = normalize(embeddings.detach().float(), dim=1)
    return unit.std(0, correction=0).mean() * math.sqrt(unit.shape[1])


def effective_rank(embeddings: torch.Tensor) -> torch.Tensor:
    """Dimensions that centred embeddings (clips, dimensions) use: exp of the entropy of their singular values.

    Roy and Vetterli, 2007, "The effective rank", definition 1. From 1 to min(clips, dimensions).
    """
    centred = embeddings.detach().double() - embeddings.detach().double().mean(0)
    values = torch.linalg.svdvals(centred)
    shares = values / values.sum().clamp(min=1e-300)
    return torch.exp(-(shares * shares.clamp(min=1e-300).log()).sum())


def alignment(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of two views' unit embeddings, 0 to 4 (Wang and Isola, 2020, section 4.1, alpha = 2)."""
    return (normalize(first.float(), dim=1) - normalize(second.float(), dim=1)).square().sum(1).mean()


def uniformity(embeddings: torch.Tensor) -> torch.Tensor:
    """Log of the mean Gaussian potential of pairs of unit embeddings (Wang and Isola, 2020, section 4.1, t = 2).

    0 if all are the same; lower is more uniform.
    """
    return torch.pdist(normalize(embeddings.float(), dim=1)).square().mul(-2).exp().mean().log()


def diagnose(embeddings: torch.Tensor) -> dict[str, float]:
    """The figures of held-out clips' embeddings (clips, dimensions): `embedding_std`, `effective_rank`, `uniformity`.

    All NaN where an embedding is not finite.
    """
    if not torch.isfinite(embeddings).all():
        return dict.fromkeys(("embedding_std", "effective_rank", "uniformity"), math.nan)
    return {
        "embedding_std": spread_on_sphere(embeddings).item(),
        "effective_rank": effective_rank(embeddings).item(),
        "uniformity": uniformity(embeddings).item(),
    }


def describe_collapse(now: Mapping[str, Any], before: Mapping[str, Any], sign: str | None, cause: str) -> str | None:
    """One line that says how a representation collapsed and why it may have; None where it has not.

    Args:
        now, before: `diagnose` of the encoder and of the encoder before training, and `train_loss` of the former.
        sign: what the method's own figures show (`SSLMethod.explain_collapse`).
        cause: the method's likeliest (`SSLMethod.collapse_cause`).
    """
    if not math.isfinite(now["train_loss"]) or not math.isfinite(now["embedding_std"]):
        return "diverged, loss or embeddings are not finite; lower the learning rate or set a maximal gradient norm"
    if now["embedding_std"] < _SPREAD_SHARE * before["embedding_std"]:
        shown = f"embeddings of all clips are nearly the same (spread {now['embedding_std']:.3f})"
    elif now["effective_rank"] < min(_LEAST_RANK, 0.5 * before["effective_rank"]):
        shown = f"embeddings use {now['effective_rank']:.1f} dimensions"
    elif sign:
        return f"collapsed: {sign}"
    else:
        return None
    return f"collapsed: {sign or shown}; likely cause: {cause}"
