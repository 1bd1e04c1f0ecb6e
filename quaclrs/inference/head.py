"""The linear classifier on embeddings, in NumPy: what `QuaclrsForAudioClassification` does after its encoder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import QuaclrsError
from ..saved_model import SavedModel
from .encoder_graph import HEAD

#: Logit of each label of a silent clip where a clip may have several; as in `modeling_quaclrs.py`.
_NO_LABEL = -30.0


@dataclass(frozen=True)
class LinearHead:
    """A linear classifier.

    Attributes:
        weight: (classes, hidden_size).
        bias: (classes,).
        parts: sizes of the parts of an embedding that are brought to one length first, as `normalize_parts` does.
        multi_label: a clip may have several labels: a sigmoid for each score in place of a softmax over them.
    """

    weight: np.ndarray
    bias: np.ndarray
    multi_label: bool = False
    parts: tuple[int, ...] = ()

    def scores(self, embeddings: np.ndarray, silent: np.ndarray | None = None) -> np.ndarray:
        """Class probabilities (clips, classes), float64, of embeddings (clips, hidden_size).

        Args:
            embeddings: as an encoder gives them.
            silent: (clips,) which of the clips nothing is heard in: every class is as likely, or, of several labels a
                clip, none is.
        """
        embeddings = normalize_parts(embeddings, self.parts) if self.parts else embeddings
        logits = (embeddings @ self.weight.T + self.bias).astype(np.float64)
        if silent is not None:
            logits[silent] = _NO_LABEL if self.multi_label else 0.0
        if self.multi_label:
            return np.exp(-np.logaddexp(0, -logits))
        return softmax(logits)


def head_of(saved: SavedModel, weights: Mapping[str, np.ndarray] | None = None) -> LinearHead:
    """The classifier of a saved model on its embeddings.

    Args:
        saved: the model.
        weights: its `arrays()`, where they have been read.

    Raises:
        QuaclrsError: the weights are damaged, or hold no classifier of the model's classes.
    """
    weights = saved.arrays() if weights is None else weights
    weight, bias = (weights.get(f"{HEAD}{name}", np.zeros(0)) for name in ("weight", "bias"))
    classes = len(saved.labels)
    if not classes or weight.ndim != 2 or len(weight) != classes or bias.shape != (classes,):
        raise QuaclrsError(f"{saved.name} has no classifier of its {classes} classes; give one that was trained")
    parts = tuple(saved.options.get("normalized_parts") or ())
    if parts and sum(parts) != weight.shape[1]:
        raise QuaclrsError(f"{saved.name}: normalized_parts do not add up to {weight.shape[1]}; learn it anew")
    return LinearHead(weight, bias, saved.options.get("problem_type") == "multi_label_classification", parts)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (clips, classes) of logits."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def normalize_parts(embeddings: np.ndarray, parts: Sequence[int]) -> np.ndarray:
    """Embeddings (clips, hidden_size) whose parts each have the length of the root of their size; a part of 0 stays so.

    Args:
        embeddings: float32.
        parts: sizes, which add up to `hidden_size`.
    """
    normalized = np.empty_like(embeddings)
    first = 0
    for size in parts:
        part = embeddings[:, first : first + size]
        lengths = np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12)
        normalized[:, first : first + size] = part * (math.sqrt(size) / lengths)
        first += size
    return normalized
