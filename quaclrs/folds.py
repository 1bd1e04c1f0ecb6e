"""Folds that train, validate and test: the paper's rotation (section 4.6), under the strict or the paper protocol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from .errors import QuaclrsError

FoldProtocol = Literal["strict", "paper"]
PROTOCOLS: tuple[str, ...] = get_args(FoldProtocol)
SPLITS = ("train", "validation", "test")

PAPER_PROTOCOL_WARNING = (
    "protocol 'paper' deals the new classes to folds clip by clip, so slices of one recording train and test: "
    "its scores are optimistic and serve only to compare with the paper"
)


def fold_column(protocol: FoldProtocol) -> str:
    """The column of the data set that holds a clip's fold under a protocol."""
    return "fold_paper" if protocol == "paper" else "fold"


@dataclass(frozen=True)
class FoldPlan:
    """One turn of cross-validation.

    Attributes:
        protocol: `strict` (no recording in two splits) or `paper` (new classes dealt clip by clip, which leaks).
        test_fold, validation_fold: fold numbers; the validation fold precedes the test fold among the complete ones.
        complete_folds: folds that hold clips of every source of the data set; only these are rotated over.
        train, validation, test: row indices into the data set, int64, ascending. Clips of incomplete folds train.
        excluded: rows in no split, as their recording is held out in another fold. UrbanSound8K's official folds hold
            four such recordings among the nine classes (132016, 176638, 180937 and 77751: another class in each fold);
            the folds stay official, and the strict protocol leaves those clips out of training.
    """

    protocol: FoldProtocol
    test_fold: int
    validation_fold: int
    complete_folds: tuple[int, ...]
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    excluded: np.ndarray

    @classmethod
    def for_fold(
        cls,
        test_fold: int,
        folds: Sequence[int],
        sources: Sequence[str],
        recording_ids: Sequence[str],
        protocol: FoldProtocol = "strict",
    ) -> FoldPlan:
        """Plan the splits that test on `test_fold`.

        Args:
            test_fold: a complete fold.
            folds: fold of every clip (`fold` for strict, `fold_paper` for paper).
            sources: source of every clip.
            recording_ids: recording of every clip.
            protocol: `strict` keeps every recording in one split.

        Raises:
            QuaclrsError: the fold is unknown or incomplete, fewer than two folds are complete, or no clip is left to
                train on.
        """
        if protocol not in PROTOCOLS:
            raise QuaclrsError(f"unknown protocol {protocol!r}; choose {' or '.join(PROTOCOLS)}")
        complete = find_complete_folds(folds, sources)
        choices = ", ".join(map(str, complete)) or "none"
        if test_fold not in set(folds):
            raise QuaclrsError(f"fold {test_fold} is not in the data set; complete folds are {choices}")
        if test_fold not in complete:
            have = {s for f, s in zip(folds, sources, strict=True) if f == test_fold}
            lacking = ", ".join(sorted(set(sources) - have))
            raise QuaclrsError(f"fold {test_fold} is not complete: no clips of {lacking}; complete folds are {choices}")
        if len(complete) < 2:
            raise QuaclrsError(f"only fold {choices} is complete; testing and validating need two complete folds")
        validation_fold = complete[complete.index(test_fold) - 1]
        fold_of_clip, recording_of_clip = np.asarray(folds), np.asarray(recording_ids)
        test, validation = fold_of_clip == test_fold, fold_of_clip == validation_fold
        train, excluded = ~test & ~validation, np.zeros_like(test)
        if protocol == "strict":
            in_test = np.isin(recording_of_clip, recording_of_clip[test])
            in_validation = np.isin(recording_of_clip, recording_of_clip[validation])
            excluded = (validation & in_test) | (train & (in_test | in_validation))
            validation, train = validation & ~excluded, train & ~excluded
        if not train.any():
            raise QuaclrsError(f"no clip is left to train on beside test fold {test_fold} and fold {validation_fold}")
        rows = {"train": train, "validation": validation, "test": test, "excluded": excluded}
        return cls(
            protocol, test_fold, validation_fold, complete, **{name: np.flatnonzero(m) for name, m in rows.items()}
        )

    def describe(self, class_of_clip: Sequence[str], is_copy: Sequence[bool] = ()) -> str:
        """A table of clips per class and split, and the warning of the paper protocol, as text.

        Args:
            class_of_clip: name of every clip's class.
            is_copy: which of the clips are augmented copies, where any are; they are counted apart.
        """

        def count(split: str, classes: Sequence[str]) -> str:
            rows = [i for i in getattr(self, split) if class_of_clip[i] in classes]
            copies = sum(is_copy[i] for i in rows) if is_copy else 0
            return f"{len(rows) - copies} + {copies}" if is_copy else str(len(rows))

        classes = sorted(set(class_of_clip))
        lines = [
            f"protocol {self.protocol}: test fold {self.test_fold}, validation fold {self.validation_fold}, "
            f"complete folds {', '.join(map(str, self.complete_folds))}",
            *(["originals + augmented copies:"] if is_copy else []),
            f"{'class':<18}" + "".join(f"{split:>14}" for split in SPLITS),
        ]
        for name, members in (*((name, [name]) for name in classes), ("all", classes)):
            lines.append(f"{name:<18}" + "".join(f"{count(split, members):>14}" for split in SPLITS))
        if len(self.excluded):
            lines.append(f"{len(self.excluded)} clips in no split: recordings held out in another fold")
        if self.protocol == "paper":
            lines.append(f"warning: {PAPER_PROTOCOL_WARNING}")
        return "\n".join(lines)


def find_complete_folds(folds: Sequence[int], sources: Sequence[str]) -> tuple[int, ...]:
    """Folds that hold clips of every source of the data set, ascending."""
    sources_of_fold: dict[int, set[str]] = defaultdict(set)
    for fold, source in zip(folds, sources, strict=True):
        sources_of_fold[fold].add(source)
    wanted = set(sources)
    return tuple(sorted(fold for fold, have in sources_of_fold.items() if have == wanted))


def folds_of_recordings(folds: Sequence[int], recording_ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The folds that each recording's clips lie in, ascending; more than one is a leak unless a plan excludes them."""
    found: dict[str, set[int]] = defaultdict(set)
    for fold, recording in zip(folds, recording_ids, strict=True):
        found[recording].add(fold)
    return {recording: tuple(sorted(of_recording)) for recording, of_recording in found.items()}
