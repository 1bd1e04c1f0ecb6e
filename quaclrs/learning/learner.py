"""Fits a classifier to labelled clips and background, and judges it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from ..errors import QuaclrsError
from ..evaluation.open_set import offset_of_other
from ..inference.head import LinearHead, head_of
from ..labels import OTHER
from ..saved_model import SavedModel
from .background import Background
from .clips import Clips
from .groups import recordings_of
from .head import FittedHead, HeadFitter, HeadOptions, parts_of, weights_of_parts
from .report import LearnReport
from .rows import Rows
from .worth import Curve, Worth, extrapolate, judge

#: Windows of a long sound with one label that count, the loudest, and how much quieter than the loudest they may be.
MOST_WINDOWS, _QUIETEST_DB = 16, 12.0

#: Mean score, over the clips of a kind of background, of one class that makes the kind one of its own.
_ALIKE = 0.5

#: Share of the right answers that stays right where `other` may be answered.
_KEPT = 0.955

#: Shares of the recordings that the learning curve is measured at.
_SHARES = (0.25, 0.5, 1.0)

#: A score that people take for certain.
_CERTAIN = 0.5


class Learner:
    """Builds the rows of clips and background, fits a head to them and judges it.

    Args:
        base: whose encoder embedded the clips.
        labels: of the model, `other` last.
        clips: labelled.
        background: sounds outside the classes.
        options: of the head.
        keep_classes: depart from the base's own head.
        by_content: find recordings by what clips hold.
        unlabelled: (windows, hidden_size) embeddings of sounds without labels, if there are any.

    Raises:
        QuaclrsError: the clips are of one class, without background.
    """

    def __init__(
        self,
        base: SavedModel,
        labels: Sequence[str],
        clips: Clips,
        background: Background,
        options: HeadOptions,
        keep_classes: bool = False,
        by_content: bool = True,
        unlabelled: np.ndarray | None = None,
    ) -> None:
        self.labels, self.clips, self.background = list(labels), clips, background
        self.other = self.labels.index(OTHER)
        self.prior = _prior(base, self.labels) if keep_classes else None
        parts = parts_of(base)
        weights = weights_of_parts(base, parts)
        if self.prior is not None:
            parts, weights = self.prior.parts, np.ones_like(weights)
        self.fitter = HeadFitter(parts, weights, options)
        self.recordings = recordings_of(clips.sounds, by_content)
        self.unlabelled = unlabelled
        self.dropped: dict[str, str] = {}
        self.rows = self._rows()
        present = set(self.rows.labels.tolist())
        if len(present) < 2 and self.prior is None:
            only = self.labels[present.pop()]
            raise QuaclrsError(f"{only} is the only class; give a second one, or --background DIR to tell it from")

    @property
    def count(self) -> int:
        """Labelled clips; rows of background follow theirs."""
        return len(self.clips.sounds)

    def learn(self) -> FittedHead:
        """Fit the head, with its scores of clips and background that it had not heard."""
        fitted = self.fitter.fit(self.rows, len(self.labels), self.prior)
        again = self.unlabelled is not None
        if alike := self._kinds_alike(fitted.held_out[self.count :]):
            self.dropped = alike
            self.background = self.background.without(alike)
            self.rows = self._rows()
            again = True
        if again:
            fitted = self.fitter.fit(self.rows, len(self.labels), self.prior, self.unlabelled)
        return fitted if self.prior is not None else self._cautious(fitted)

    def _rows(self) -> Rows:
        """Windows of clips, the loud ones of a long clip, then those of background."""
        vectors, owners, weights = [], [], []
        for clip, (sound, found) in enumerate(zip(self.clips.sounds, self.clips.embedded, strict=True)):
            chosen = np.flatnonzero(found.levels > 0)
            if sound.start is None:
                chosen = chosen[found.levels[chosen] >= found.levels.max() * 10 ** (-_QUIETEST_DB / 20)]
                chosen = chosen[np.argsort(-found.levels[chosen], kind="stable")][:MOST_WINDOWS]
            vectors.append(found.vectors[chosen])
            owners += [clip] * len(chosen)
            weights += [1 / len(chosen)] * len(chosen)
        kinds = self.background.kinds
        places = {label: place for place, label in enumerate(self.labels)}
        reminders = places if self.prior is not None else {}  # clips of classes that are kept
        of_kinds = [reminders.get(kind, self.other) for kind in kinds.tolist()]
        labels = np.array([*(places[sound.label] for sound in self.clips.sounds), *of_kinds], dtype=int)
        of_background = np.array([f"background {kind}" for kind in kinds], dtype=object)
        return Rows(
            np.concatenate([*vectors, self.background.vectors]).astype(np.float32),
            np.array([*owners, *range(self.count, len(labels))], dtype=int),
            np.array([*weights, *[1.0] * len(kinds)]),
            labels,
            np.concatenate([self.recordings, of_background]),
            (np.arange(len(labels)) < self.count) & (labels != self.other),
        )

    def _kinds_alike(self, held_out: np.ndarray) -> dict[str, str]:
        """Find kinds of background that unheard go to one class: they may well belong to it."""
        found = {}
        for kind in sorted(set(self.background.kinds.tolist())):
            mean = held_out[self.background.kinds == kind].mean(axis=0)
            mean[self.other] = 0.0
            if mean.max() > _ALIKE and kind not in self.labels:  # never of NaN, where nothing could be held out
                found[kind] = self.labels[int(mean.argmax())]
        return found

    def _cautious(self, fitted: FittedHead) -> FittedHead:
        """Raise `other` in the head until a small share of the right answers is lost to it."""
        known = self.rows.tested & ~np.isnan(fitted.held_out).any(axis=1)
        if not (self.rows.labels == self.other).any() or not known.any():
            return fitted
        truth, scores = self.rows.labels[known], fitted.held_out[known]
        if not (scores[:, : self.other].argmax(axis=1) == truth).any():
            return fitted
        offsets = np.zeros(len(self.labels), np.float32)
        offsets[self.other] = offset_of_other(truth, scores, _KEPT)
        shifted = fitted.held_out * np.exp(offsets)
        return dataclasses.replace(
            fitted,
            head=dataclasses.replace(fitted.head, bias=fitted.head.bias + offsets),
            held_out=shifted / shifted.sum(axis=1, keepdims=True),
            offsets=offsets,
        )

    def report(self, fitted: FittedHead, begun: float) -> LearnReport:
        """Judge what the head is worth.

        Args:
            fitted: of `learn`.
            begun: `time.perf_counter()` when the work began.
        """
        tested = np.where(self.rows.tested[:, None], fitted.held_out, np.nan)[: self.count]
        labels = self.rows.labels[: self.count]
        has_other = bool((self.rows.labels == self.other).any()) or self.prior is not None
        columns = self.labels if has_other else self.labels[: self.other]
        worth = judge(
            tested[:, : len(columns)],
            labels,
            self.recordings,
            [sound.name for sound in self.clips.sounds],
            columns,
            [label for label in np.unique(labels).tolist() if label != self.other],
        )
        is_other = self.rows.labels[self.count :] == self.other
        of_background = fitted.held_out[self.count :][is_other]
        of_background = of_background[~np.isnan(of_background).any(axis=1)]
        named = of_background.argmax(axis=1) != self.other
        certain = (of_background[:, : self.other] > _CERTAIN).any(axis=1)
        curve = self._curve(fitted, worth)
        return LearnReport(
            worth=worth,
            curve=curve,
            labels=self.labels,
            clips=self.count,
            seconds=time.perf_counter() - begun,
            background_kinds=sorted(set(self.background.kinds.tolist())),
            background_dropped=self.dropped,
            background_named=float(named.mean()) if len(named) else None,
            background_certain=float(certain.mean()) if len(certain) else None,
            strength=fitted.strength,
            temperature=fitted.temperature,
            unlabelled=None if self.unlabelled is None else len(self.unlabelled),
            unlabelled_heard=fitted.unlabelled,
            left_out=self.clips.left_out,
        )

    def _curve(self, fitted: FittedHead, worth: Worth) -> Curve:
        if worth.accuracy is None:
            return Curve([], None)
        return extrapolate(self.fitter.curve(self.rows, len(self.labels), fitted, _SHARES, self.prior))


def _prior(base: SavedModel, labels: Sequence[str]) -> LinearHead:
    """The base's classifier in the order of other labels; a new class begins with no weights and the mean bias."""
    head = head_of(base)
    place = {label: i for i, label in enumerate(base.labels)}
    nothing = np.zeros(head.weight.shape[1], np.float32)
    weight = np.stack([head.weight[place[label]] if label in place else nothing for label in labels])
    bias = [head.bias[place[label]] if label in place else float(head.bias.mean()) for label in labels]
    return LinearHead(weight, np.array(bias, dtype=np.float32), parts=head.parts)
