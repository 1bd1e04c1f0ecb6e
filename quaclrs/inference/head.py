"""The linear classifier on embeddings, in NumPy: what `QuaclrsForAudioClassification` does after its encoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Logit of each label of a silent clip where a clip may have several; as in `modeling_quaclrs.py`.
_NO_LABEL = -30.0


@dataclass(frozen=True)
class LinearHead:
    """A linear classifier.

    Attributes:
        weight: (classes, hidden_size).
        bias: (classes,).
        multi_label: a clip may have several labels: a sigmoid for each score in place of a softmax over them.
    """

    weight: np.ndarray
    bias: np.ndarray
    multi_label: bool = False

    def scores(self, embeddings: np.ndarray, silent: np.ndarray | None = None) -> np.ndarray:
        """Class probabilities (clips, classes), float64, of embeddings (clips, hidden_size).

        Args:
            embeddings: as an encoder gives them.
            silent: (clips,) which of the clips nothing is heard in: every class is as likely, or, of several labels a
                clip, none is.
        """
        logits = (embeddings @ self.weight.T + self.bias).astype(np.float64)
        if silent is not None:
            logits[silent] = _NO_LABEL if self.multi_label else 0.0
        if self.multi_label:
            return np.exp(-np.logaddexp(0, -logits))
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)
