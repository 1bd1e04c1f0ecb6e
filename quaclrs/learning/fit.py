"""Multinomial logistic regression on some of the rows, in coordinates as few as there are windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from ..inference.head import LinearHead, normalize_parts
from .rows import Rows, balanced_weights, outside
from .unlabelled import SpreadOptions, spread_labels

#: When a fit ends: a thousandth more of the loss changes no answer.
_STOP = {"maxiter": 200, "ftol": 1e-6, "gtol": 1e-3}


class Fit:
    """Heads on some of the rows, in coordinates as few as there are windows.

    Args:
        features: what a head hears of embeddings.
        weights: (hidden_size,) by which features are more than normalised embeddings.
        most_components: of the coordinates.
        rows, classes, base: as of `HeadFitter.fit`.
        unlabelled: (windows, hidden_size), perhaps none.
    """

    def __init__(
        self,
        features: Callable[[np.ndarray], np.ndarray],
        weights: np.ndarray,
        most_components: int,
        rows: Rows,
        classes: int,
        base: LinearHead | None,
        unlabelled: np.ndarray,
    ) -> None:
        self.rows, self.base, self.weights = rows, base, weights
        vectors = np.concatenate([rows.vectors, unlabelled])
        self.space = Space.of(features(vectors), most_components)
        self.offsets = np.zeros((len(vectors), classes))
        self.free = np.ones(classes, dtype=bool)
        if base is not None:
            heard = normalize_parts(vectors, base.parts) if base.parts else vectors
            self.offsets = heard @ base.weight.T + base.bias
            self.free = np.bincount(rows.labels[rows.tested], minlength=classes) > 0
        self.count = len(rows.clips)

    def logits(self, chosen: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Logits (windows, classes) of some windows by a head in these coordinates."""
        places = np.flatnonzero(chosen)
        return self.space.rows[places] @ weight.T + bias + self.offsets[places]

    def path(
        self, heard: np.ndarray, strengths: Sequence[float], temperature: float | None = None
    ) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
        """Strength, weights (classes, components) and biases of heads that heard some of the rows.

        With a temperature they hear the unlabelled windows too, as far as labels spread to them.
        """
        rows, classes = self.rows, len(self.free)
        x = self.space.rows[: self.count][heard]
        targets = np.eye(classes)[rows.labels[rows.clips[heard]]]
        weights = balanced_weights(rows, heard)[heard]
        offsets = self.offsets[: self.count][heard]
        found = _path(x, targets, weights, offsets, self.free, strengths)
        if temperature is None:
            yield from found
            return
        unlabelled = np.arange(len(self.offsets)) >= self.count
        for strength, weight, bias in found:
            scores = LinearHead(weight / temperature, bias / temperature).scores(self.space.rows[unlabelled])
            spread, of_spread = spread_labels(self.space.rows, rows, heard, scores, SpreadOptions())
            yield from _path(
                np.concatenate([x, self.space.rows[unlabelled]]),
                np.concatenate([targets, spread]),
                np.concatenate([weights, of_spread]),
                np.concatenate([offsets, self.offsets[unlabelled]]),
                self.free,
                (strength,),
            )

    def held_out(
        self, folds: np.ndarray, judged: np.ndarray, strengths: Sequence[float], temperature: float | None = None
    ) -> dict[float, np.ndarray]:
        """Strength -> logits (windows, classes) by heads that had not heard the recording; NaN where none tests it."""
        logits = {s: np.full((self.count, len(self.free)), np.nan) for s in strengths}
        for fold in np.unique(folds[judged]):
            held = folds[self.rows.clips] == fold
            for strength, weight, bias in self.path(outside(self.rows, folds == fold), strengths, temperature):
                logits[strength][held] = self.logits(held, weight, bias)
        return logits

    def whole(self, heard: np.ndarray, strength: float, temperature: float | None) -> tuple[np.ndarray, np.ndarray]:
        """Weights (classes, hidden_size) and biases on embeddings whose parts are normalised."""
        ((_, weight, bias),) = self.path(heard, (strength,), temperature)
        weight = weight @ self.space.axes
        bias = bias - weight @ self.space.centre
        weight = weight * self.weights
        return (weight, bias) if self.base is None else (weight + self.base.weight, bias + self.base.bias)


@dataclass(frozen=True)
class Space:
    """Features in as few coordinates as there are windows: a head that is held back by its size is the same in them."""

    centre: np.ndarray
    axes: np.ndarray  # (components, hidden_size)
    rows: np.ndarray  # (windows, components)

    @classmethod
    def of(cls, features: np.ndarray, most_components: int) -> Space:
        centre = features.mean(axis=0)
        centred = features - centre
        if len(features) <= features.shape[1]:
            values, vectors = np.linalg.eigh(centred @ centred.T)  # of a small matrix: a tenth of the time of an SVD
            kept = values > values.max(initial=0.0) * 1e-6
            kept[: max(0, len(values) - most_components)] = False
            lengths = np.sqrt(values[kept])
            axes = (vectors[:, kept] / lengths).T @ centred
        else:
            values, vectors = np.linalg.eigh(centred.T @ centred)
            axes = vectors[:, values > values.max() * 1e-6][:, -most_components:].T
        axes = np.ascontiguousarray(axes[::-1], dtype=np.float32)
        return cls(centre, axes, centred @ axes.T)


def _path(
    features: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    offsets: np.ndarray,
    free: np.ndarray,
    strengths: Sequence[float],
) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """Strength, weights (classes, components) and biases of heads, each begun where the one before it ended.

    Multinomial logistic regression whose logits begin at `offsets` (windows, classes); only the classes that are `free`
    depart from them. Targets (windows, classes) add up to 1 in each row.
    """
    x = np.ascontiguousarray(features, dtype=np.float32)
    weights, known, size = weights[:, None], offsets, x.shape[1]
    state = np.zeros((len(free), size + 1))

    def loss(flat: np.ndarray, strength: float) -> tuple[float, np.ndarray]:
        table = flat.reshape(state.shape)
        logits = x @ table[:, :size].T.astype(np.float32) + table[:, size] + known
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        value = -float((weights * targets * logits).sum()) + float((table[:, :size] ** 2).sum()) / (2 * strength)
        slope = weights * (np.exp(logits) - targets)
        gradient = np.concatenate([slope.T.astype(np.float32) @ x, slope.sum(axis=0)[:, None]], axis=1)
        gradient[:, :size] += table[:, :size] / strength
        return value, (gradient * free[:, None]).astype(np.float64).ravel()

    for strength in strengths:
        found = minimize(loss, state.ravel(), (strength,), "L-BFGS-B", jac=True, options=_STOP)
        state = found.x.reshape(state.shape)
        yield strength, state[:, :size].copy(), state[:, size].copy()
