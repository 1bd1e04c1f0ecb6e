"""A label that stays until another one is clear, or comes twice in a row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Hysteresis:
    """Keeps a label from flickering.

    Attributes:
        patience: times in a row that another label must be the best before it takes over.
        clear: score from which it takes over at once.
        label: the current one; None before the first answer.
        since: answers in a row in which `label` had been the best when it took over.
    """

    patience: int = 2
    clear: float = 0.8
    label: str | None = None
    since: int = 0
    _other: str | None = None
    _times: int = 0

    def __call__(self, label: str, score: float) -> bool:
        """Take the next answer; True where its label takes over now."""
        if label == self.label:
            self._other, self._times = None, 0
            return False
        self._times = self._times + 1 if label == self._other else 1
        self._other = label
        if self.label is not None and self._times < self.patience and score < self.clear:
            return False
        self.label, self.since = label, self._times
        self._other, self._times = None, 0
        return True
