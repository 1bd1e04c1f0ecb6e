"""Fold numbers for classes that come without folds: by whole recordings (strict), or clip by clip as in the paper."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

from quaclrs.errors import QuaclrsError


def deal_strict_folds(groups: Mapping[str, Sequence[str]], n_folds: int = 10) -> dict[str, int]:
    """Deal the recordings of one class to folds, each recording whole, so that no recording is in two folds.

    Recordings are dealt in rounds of `n_folds`, one to each fold, largest first; within a round the largest goes to the
    fold with the fewest clips so far. So the numbers of recordings differ by at most one, and the numbers of clips by
    little more than the largest recording's excess. The result depends on the set of clips alone, neither on the
    order of the input nor on the names given to the recordings, and is the same on every machine.

    Args:
        groups: recording id -> ids of the clips cut from it, at least one.
        n_folds: number of folds, at least 1.

    Returns:
        Recording id -> fold, 1 to `n_folds`. With fewer recordings than folds some folds stay empty.

    Raises:
        QuaclrsError: `n_folds` is below 1, a recording has no clips, or a clip is listed twice.
    """
    _check_fold_count(n_folds)
    clips = [clip for members in groups.values() for clip in members]
    if len(set(clips)) != len(clips):
        raise QuaclrsError("a clip is listed twice: each clip belongs to one recording")
    if empty := sorted(recording for recording, members in groups.items() if not members):
        raise QuaclrsError(f"recording {empty[0]} has no clips")
    # A recording's smallest clip names it: the id may be a number that depends on the order of the search.
    first_clip = {recording: min(members) for recording, members in groups.items()}
    largest_first = sorted(groups, key=lambda recording: (-len(groups[recording]), first_clip[recording]))
    preference = _fold_preference(min(first_clip.values(), default=""), n_folds)
    clips_in_fold = dict.fromkeys(preference, 0)
    fold_of: dict[str, int] = {}
    for start in range(0, len(largest_first), n_folds):
        emptiest_first = sorted(preference, key=lambda fold: clips_in_fold[fold])  # stable: ties keep the preference
        for recording, fold in zip(largest_first[start : start + n_folds], emptiest_first, strict=False):
            fold_of[recording] = fold
            clips_in_fold[fold] += len(groups[recording])
    return fold_of


def deal_paper_folds(clip_ids: Iterable[str], n_folds: int = 10) -> dict[str, int]:
    """Deal the clips of one class to folds one by one, as the paper's own code does. This leaks.

    Clips cut from one recording, and copies under another name, land in different folds, so a model is tested on
    recordings it was trained on. Use it to reproduce the paper's figures, never to estimate performance.

    Args:
        clip_ids: ids of the clips, in any order.
        n_folds: number of folds, at least 1.

    Returns:
        Clip id -> fold, 1 to `n_folds` in turn, clips in natural order (`sound_2` before `sound_10`).

    Raises:
        QuaclrsError: `n_folds` is below 1.
    """
    _check_fold_count(n_folds)
    return {clip: turn % n_folds + 1 for turn, clip in enumerate(sorted(set(clip_ids), key=natural_order))}


def _check_fold_count(n_folds: int) -> None:
    if n_folds < 1:
        raise QuaclrsError(f"n_folds must be at least 1, not {n_folds}")


def _fold_preference(name: str, n_folds: int) -> list[int]:
    """The folds in an order of the class's own: ties and the last, incomplete round must not all favour fold 1."""
    return sorted(range(1, n_folds + 1), key=lambda fold: hashlib.sha256(f"{name}:{fold}".encode()).digest())


def natural_order(clip: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key that compares runs of digits as numbers; the id itself decides between `sound_1` and `sound_01`."""
    parts = re.split(r"([0-9]+)", clip)
    return [(0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part) for part in parts], clip
