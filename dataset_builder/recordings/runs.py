"""Runs of neighbouring files: what is dealt to folds as one piece, as it may be one long recording.

Clips cut from a long recording are numbered in order, and clips that share no sound cannot be told to be of one
recording. So neighbours by number go to one fold wherever names are numbered, and only the ends of runs can leak
(`quaclrs.neighbours` measures how much).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from quaclrs.neighbours import neighbours_by_number


def join_into_runs(groups: Mapping[str, Sequence[str]], n_folds: int = 10) -> dict[str, list[str]]:
    """Join the recordings of one class to runs, each about as large as a fold.

    A run grows by the recording that has the most clips next to clips of the run, less half of those next to clips
    that belong to none: so it follows the numbers, and a recording that comes back later in them takes its neighbours
    along. The result depends on the clips alone, not on the order or the names of the recordings.

    Args:
        groups: recording id -> ids of its clips.
        n_folds: folds that the runs are dealt to.

    Returns:
        First clip of the run -> its recordings. A recording without neighbours is a run of its own. There are as many
        runs as folds at least, if there are as many recordings.
    """
    first_clip = {recording: min(clips) for recording, clips in groups.items()}
    ties = _ties(groups)
    left = sorted(groups, key=first_clip.__getitem__)
    runs: dict[str, list[str]] = {}
    target = sum(map(len, groups.values())) / n_folds
    while left:
        # From an end of the numbers, or of what is left of them, so that no gap stays behind.
        start = min(left, key=lambda recording: sum(ties[recording][other] for other in left))
        run, size = [start], len(groups[start])
        left.remove(start)
        spare = len(left) - (n_folds - len(runs) - 1)  # recordings that other folds can do without
        while spare > 0 and (candidates := [r for r in left if any(ties[r][member] for member in run)]):
            inside = {r: sum(ties[r][member] for member in run) for r in candidates}
            outside = {r: sum(ties[r][other] for other in left) for r in candidates}
            chosen = max(candidates, key=lambda r: 2 * inside[r] - outside[r])
            larger = size + len(groups[chosen])
            if abs(larger - target) > abs(size - target):
                break
            run.append(chosen)
            left.remove(chosen)
            size, spare = larger, spare - 1
        runs[min(first_clip[recording] for recording in run)] = run
    return runs


def _ties(groups: Mapping[str, Sequence[str]]) -> dict[str, Counter[str]]:
    """Count the pairs of neighbouring clips that each two recordings share."""
    recording_of = {clip: recording for recording, clips in groups.items() for clip in clips}
    ties: dict[str, Counter[str]] = defaultdict(Counter)
    for clip, others in neighbours_by_number(list(recording_of)).items():
        for other in others:
            if recording_of[other] != recording_of[clip]:
                ties[recording_of[clip]][recording_of[other]] += 1
    return ties
