"""Fit a linear classifier on embeddings from few labels: regularisation, cross-validation, calibration.

Multinomial logistic regression on embeddings whose parts have one length. Its strength of regularisation and the
temperature of its scores come from folds in which no recording is both heard and tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from ..inference.head import LinearHead, normalize_parts
from ..saved_model import SavedModel
from .fit import Fit
from .rows import Rows, clip_probabilities, deal_folds, outside, recordings_a_class

#: What a backbone's part of the embedding weighs beside others. YAMNet heard AudioSet, an image network no sound: of
#: 1, 1.5, 2 and 3 this was best on ESC-50 with 1, 5 and all clips a class (`python -m benchmarks.few_labels`).
_WEIGHT_OF_BACKBONE: Mapping[str, float] = {"yamnet": 1.5}

#: What its earlier stages weigh: of 0, 1, 1.5, 2 and 3 this was best, or near it, on ESC-50 and UrbanSound13 with 1, 5,
#: 10 and all clips a class. They say more of sounds that AudioSet does not name.
_WEIGHT_OF_STAGES = 2.0

#: Length of the pooled vector of backbones that are used beside others.
_SIZE_OF_BACKBONE: Mapping[str, int] = {"yamnet": 1024, "tf_efficientnet_lite0": 1280}

#: Channels of the stages before the last of backbones that are used beside others, the latest first.
_STAGES_OF_BACKBONE: Mapping[str, tuple[int, ...]] = {
    "yamnet": (512, 256, 128, 64),
    "tf_efficientnet_lite0": (112, 40, 24, 16),
}

#: Share of the entropy that a head which is held back more may lose: held-out clips are few.
_AS_GOOD = 0.015


@dataclass(frozen=True)
class HeadOptions:
    """Options of fitting a head.

    Args:
        strengths: inverse strengths of regularisation to choose from (the C of scikit-learn).
        default_strength, default_temperature: used where nothing can be held out to choose by.
        folds: of the cross-validation.
        most_components: directions that embeddings are reduced to where there are more windows than these.
        seed: of the folds.
        enough_recordings: of a class with labels, from which those without labels add nothing (`docs/learn.md`).
    """

    strengths: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    default_strength: float = 3e-2
    default_temperature: float = 0.7
    folds: int = 5
    most_components: int = 1024
    seed: int = 0
    enough_recordings: int = 10


@dataclass(frozen=True)
class FittedHead:
    """A head and what is known of it.

    Attributes:
        head: on raw embeddings, its temperature folded in.
        strength, temperature: the chosen ones.
        held_out: (clips, classes) probabilities of each clip by a head that heard nothing of its recording; NaN of
            clips whose class has a single recording, which nothing could be held out of.
        unlabelled: True where windows without labels were heard.
        offsets: (classes,) added to the bias after the fit; or 0.
    """

    head: LinearHead
    strength: float
    temperature: float
    held_out: np.ndarray
    unlabelled: bool = False
    offsets: np.ndarray | float = 0.0


def parts_of(saved: SavedModel) -> tuple[int, ...]:
    """Sizes of the parts of a model's embedding: of each encoder means, maxima, those of earlier stages, and tags.

    Of several encoders only one may have a size that is not known here; otherwise the embedding is one part.
    """
    if saved.options.get("normalized_parts"):
        return tuple(saved.options["normalized_parts"])
    shape = saved.tensors.get("classifier.weight", ("", (0, 0)))[1]
    encoders = [saved.options, *(saved.options.get("more_encoders") or [])]
    if any(encoder.get("earlier_stages") and encoder["backbone"] not in _STAGES_OF_BACKBONE for encoder in encoders):
        return (shape[-1],)
    times = [2 if encoder.get("pooling") == "mean_max" else 1 for encoder in encoders]
    sizes = [_SIZE_OF_BACKBONE.get(encoder["backbone"], 0) for encoder in encoders]
    after = [_parts_after_features(encoder, count) for encoder, count in zip(encoders, times, strict=True)]
    rest = shape[-1] - sum(map(sum, after)) - sum(size * count for size, count in zip(sizes, times, strict=True))
    if sizes.count(0) == 1 and rest > 0 and rest % times[sizes.index(0)] == 0:
        sizes[sizes.index(0)] = rest // times[sizes.index(0)]
        rest = 0
    if 0 in sizes or rest:
        return (shape[-1],)
    each = [[size] * count + more for size, count, more in zip(sizes, times, after, strict=True)]
    return tuple(size for of_encoder in each for size in of_encoder)


def _parts_after_features(encoder: Mapping[str, Any], times: int) -> list[int]:
    """Sizes of the parts of earlier stages and of tags."""
    stages = _STAGES_OF_BACKBONE.get(encoder["backbone"], ())[: encoder.get("earlier_stages") or 0]
    tags = len(encoder.get("tag_groups") or [])
    return [size for size in stages for _ in range(times)] + [tags] * bool(tags)


def weights_of_parts(saved: SavedModel, parts: Sequence[int]) -> np.ndarray:
    """Weights of the numbers of a model's embedding, (hidden_size,), which `parts_of` divides like this.

    Groups of tags weigh nothing: they are about the model's own classes.
    """
    of_part: list[float] = []
    for encoder in (saved.options, *(saved.options.get("more_encoders") or [])):
        weight = _WEIGHT_OF_BACKBONE.get(encoder["backbone"], 1.0)
        times = 2 if encoder.get("pooling") == "mean_max" else 1
        stages = times * (encoder.get("earlier_stages") or 0)
        of_part += [weight] * times + [_WEIGHT_OF_STAGES] * stages + [0.0] * bool(encoder.get("tag_groups"))
    if len(of_part) != len(parts):
        return np.ones(sum(parts), dtype=np.float32)
    return np.repeat(of_part, parts).astype(np.float32)


@dataclass
class HeadFitter:
    """Fits heads to embeddings of one encoder.

    Args:
        parts: sizes of the embedding's parts; none where it is taken as it is.
        part_weights: (hidden_size,) of `weights_of_parts`.
        options: see there.
    """

    parts: tuple[int, ...]
    part_weights: np.ndarray
    options: HeadOptions = field(default_factory=HeadOptions)

    def features(self, vectors: np.ndarray) -> np.ndarray:
        """Scale embeddings (windows, hidden_size) as a head hears them."""
        vectors = np.asarray(vectors, dtype=np.float32)
        return (normalize_parts(vectors, self.parts) if self.parts else vectors) * self.part_weights

    def fit(
        self,
        rows: Rows,
        classes: int,
        base: LinearHead | None = None,
        unlabelled: np.ndarray | None = None,
    ) -> FittedHead:
        """Choose the regularisation and the temperature by cross-validation, then fit to all rows.

        Args:
            rows: of at least two classes.
            classes: how many there are.
            base: a head of these classes on the same embeddings, to depart from as little as need be: classes without
                rows keep its scores. Its temperature stays, and its parts must be the fitter's.
            unlabelled: (windows, hidden_size) embeddings to learn from as well, where recordings with labels are few
                and held-out clips do not say that they do harm (see `unlabelled.py`).
        """
        more = np.zeros((0, rows.vectors.shape[1]), np.float32) if unlabelled is None else unlabelled
        fit = self._fit(rows, classes, base, more)
        folds = deal_folds(rows.labels, rows.recordings, self.options.folds, self.options.seed)
        judged = (folds >= 0) & rows.tested
        strength = self.options.default_strength
        temperature = self.options.default_temperature if base is None else 1.0
        held_out = np.full((len(rows.labels), classes), np.nan)
        use = len(more) > 0 and recordings_a_class(rows) < self.options.enough_recordings
        if judged.any():
            fixed = None if base is None else 1.0
            logits = fit.held_out(folds, judged, self.options.strengths)
            scores = {s: _temperature_of(found, rows, judged, fixed) for s, found in logits.items()}
            least = min(entropy for _, entropy in scores.values())
            strength = min(s for s, (_, entropy) in scores.items() if entropy <= least * (1 + _AS_GOOD))
            chosen, (temperature, entropy) = logits[strength], scores[strength]
            if use:
                # Held back by little, as far more windows are heard than have labels.
                at = self.options.default_strength, self.options.default_temperature
                spread = fit.held_out(folds, judged, at[:1], at[1])[at[0]]
                of_spread = _temperature_of(spread, rows, judged, fixed)
                use = of_spread[1] <= entropy * (1 + _AS_GOOD)
                if use:
                    chosen, strength, temperature = spread, at[0], of_spread[0]
            known = np.isin(folds, np.unique(folds[judged]))
            held_out[known] = clip_probabilities(chosen / temperature, rows)[known]
        every = np.ones(len(rows.clips), dtype=bool)
        weight, bias = fit.whole(every, strength, self.options.default_temperature if use else None)
        scaled = (weight / temperature).astype(np.float32), (bias / temperature).astype(np.float32)
        return FittedHead(LinearHead(*scaled, parts=self.parts), strength, temperature, held_out, use)

    def curve(
        self, rows: Rows, classes: int, fitted: FittedHead, shares: Sequence[float], base: LinearHead | None = None
    ) -> list[tuple[int, float]]:
        """Recordings that were heard and the accuracy on held-out clips, by heads that heard these shares of them.

        Args:
            rows, classes, base: as of `fit`.
            fitted: whose strength, temperature and readiness to answer a class the heads have.
            shares: ascending; of those that come to the same number of recordings one is measured.
        """
        fit = self._fit(rows, classes, base, np.zeros((0, rows.vectors.shape[1]), np.float32))
        folds = deal_folds(rows.labels, rows.recordings, self.options.folds, self.options.seed)
        judged = (folds >= 0) & rows.tested
        points: dict[int, float] = {}
        for share in shares:
            logits = np.full((len(rows.clips), classes), np.nan)
            counts = []
            for fold in np.unique(folds[judged]):
                generator = np.random.default_rng((self.options.seed, int(fold)))
                held = folds[rows.clips] == fold
                heard = _share_of_recordings(rows, outside(rows, folds == fold), share, generator)
                if share < 1:
                    ((_, weight, bias),) = fit.path(heard, (fitted.strength,))
                    logits[held] = fit.logits(held, weight, bias)
                own = np.unique(rows.clips[heard])
                counts.append(len(set(rows.recordings[own[rows.tested[own]]])))
            scores = fitted.held_out  # of all recordings: the very heads that the accuracy is of
            if share < 1:
                scores = clip_probabilities(np.nan_to_num(logits) / fitted.temperature, rows) * np.exp(fitted.offsets)
            found = scores[judged].argmax(axis=1)
            points[round(float(np.mean(counts)))] = float((found == rows.labels[judged]).mean())
        return sorted(points.items())

    def _fit(self, rows: Rows, classes: int, base: LinearHead | None, unlabelled: np.ndarray) -> Fit:
        options = self.options
        return Fit(self.features, self.part_weights, options.most_components, rows, classes, base, unlabelled)


def _share_of_recordings(rows: Rows, heard: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Keep the windows of a share of each class's recordings, one at least; background stays."""
    kept = heard.copy()
    clips = np.unique(rows.clips[heard])
    clips = clips[rows.tested[clips]]
    for label in np.unique(rows.labels[clips]):
        names = np.unique(rows.recordings[clips[rows.labels[clips] == label]].astype(str))
        gone = generator.permutation(names)[max(1, round(share * len(names))) :]
        of_clips = (rows.labels == label) & rows.tested & np.isin(rows.recordings.astype(str), gone)
        kept &= ~of_clips[rows.clips]
    return kept


def _temperature_of(
    logits: np.ndarray, rows: Rows, judged: np.ndarray, fixed: float | None = None
) -> tuple[float, float]:
    """The temperature of the lowest cross-entropy on held-out clips, each class counting alike, and that entropy."""
    known = ~np.isnan(logits).any(axis=1)
    of_clips = judged & (np.bincount(rows.clips[known], minlength=len(judged)) > 0)
    labels = rows.labels[of_clips]
    each = 1 / np.bincount(labels)[labels]
    safe = np.where(known[:, None], logits, 0.0)

    def entropy(log_temperature: float) -> float:
        found = clip_probabilities(safe / np.exp(log_temperature), rows)[of_clips, labels]
        return float(-(each * np.log(np.maximum(found, 1e-12))).sum() / each.sum())

    if fixed is not None:
        return fixed, entropy(float(np.log(fixed)))
    best = minimize_scalar(entropy, bounds=(-1.5, 2.0), method="bounded")
    return float(np.exp(best.x)), float(best.fun)
