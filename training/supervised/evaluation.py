"""Scores of a classifier on held-out clips, and the controls that its figures must be read beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from ..clips.splits import Split
from ..runs.compilation import uncompiled
from .offsets import fit_offsets

#: Row of `metrics.json` and of every summary beside the model's own figures.
CUT_CONTROL = "the model on clips cut to a random 1 to 2.9 s"

#: What a network takes of a batch.
_INPUTS = ("input_values", "input_features", "embeddings")


def inputs_of(batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The inputs of the network in a batch, by the names of its arguments."""
    return {name: batch[name] for name in _INPUTS if name in batch}


@torch.no_grad()
def predict(accelerator: Accelerator, model: nn.Module, loader: DataLoader) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels (clips,) and float32 logits (clips, classes) of every clip in the loader's order, gathered on the CPU."""
    model.eval()
    labels, logits = [], []
    for batch in loader:
        with accelerator.autocast(), uncompiled():
            output = model(**inputs_of(batch)).logits
        # `gather_for_metrics` drops the clips that fill up the last batch when processes share it unevenly.
        batch_labels, batch_logits = accelerator.gather_for_metrics((batch["labels"], output.float()))
        labels.append(batch_labels.cpu())
        logits.append(batch_logits.cpu())
    return torch.cat(labels), torch.cat(logits)


def probabilities_of(accelerator: Accelerator, model: nn.Module, split: Split, loader: DataLoader) -> np.ndarray:
    """Class probabilities (clips, classes), float64, of a split's clips in the order of its rows."""
    labels, logits = predict(accelerator, model, loader)
    if not torch.equal(labels, torch.as_tensor(split.labels)):
        raise RuntimeError("clips came back in another order than they were read in")
    return logits.double().softmax(-1).numpy()


def validate(accelerator: Accelerator, model: nn.Module, loader: DataLoader, weights: torch.Tensor) -> dict[str, float]:
    """`validation_loss`, weighted by class, and `validation_accuracy`, in [0, 1]."""
    labels, logits = predict(accelerator, model, loader)
    return {
        "validation_loss": cross_entropy(logits, labels, weights.cpu()).item(),
        "validation_accuracy": (logits.argmax(-1) == labels).float().mean().item(),
    }


def best_epoch(history: list[dict[str, Any]]) -> int:
    """The epoch of the highest validation accuracy; of several, the one of the lowest validation loss; 0 before any."""
    seen = [row for row in history if row.get("validation_accuracy") is not None]
    best = max(seen, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]), default={"epoch": 0})
    return int(best["epoch"])


def kept_epoch(keep: Literal["best", "last"], history: list[dict[str, Any]]) -> int:
    """The epoch whose weights are kept, by `--keep-epoch`."""
    return best_epoch(history) if keep == "best" else history[-1]["epoch"]


def find_offsets(
    accelerator: Accelerator, model: nn.Module, recordings: np.ndarray, loader: DataLoader, classes: int
) -> np.ndarray:
    """Find offsets (classes,) of the logits on the validation clips, by `fit_offsets`.

    Args:
        accelerator: of the run.
        model: network that has not heard these clips.
        recordings: (clips,) of the validation clips.
        loader: of them.
        classes: that the clips may have: without `other`, whose logit stays.
    """
    labels, logits = predict(accelerator, model, loader)
    return fit_offsets(logits[:, :classes].double().numpy(), labels.numpy(), recordings)


@torch.no_grad()
def add_offsets(model: nn.Module, offsets: np.ndarray) -> None:
    """Add (classes,) offsets to the bias of the last layer, which is called `linear` or `classifier`."""
    layer: Any = getattr(model, "linear", None) or model.classifier
    layer.bias[: len(offsets)] += torch.from_numpy(offsets).to(layer.bias)


def is_patience_over(patience: int, history: list[dict[str, Any]]) -> bool:
    """True after a look at the validation clips, once so many epochs brought no better accuracy; never with 0."""
    looked_at = bool(history) and history[-1].get("validation_accuracy") is not None
    return bool(patience and looked_at and len(history) - best_epoch(history) >= patience)


def describe_epoch(row: dict[str, Any]) -> str:
    """One line on a finished epoch."""
    facts = [f"epoch {row['epoch']}: loss {row['train_loss']:.3f}, accuracy {row['train_accuracy']:.3f}"]
    if "validation_loss" in row:
        facts.append(f"validation loss {row['validation_loss']:.3f}, accuracy {row['validation_accuracy']:.3f}")
    facts.append(f"{row['seconds']:.0f} s, {row['clips_per_second']:.0f} clips/s, {row['data_wait']:.0%} data wait")
    return "; ".join(facts)
