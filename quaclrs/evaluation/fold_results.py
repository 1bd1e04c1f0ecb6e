"""The test predictions of a cross-validation's runs, brought into one order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from quaclrs.errors import QuaclrsError


@dataclass(frozen=True)
class FoldResult:
    """Test predictions of one run.

    Args:
        fold: the test fold.
        seed: of the run.
        labels: (clips,) integers, the true classes.
        probabilities: (clips, classes) floats.
        sources: (clips,) the data set each clip comes from.
        recording_ids: (clips,) the recording each clip was cut from.
        clip_ids: (clips,) all different.
        controls: row name -> figure -> value in [0, 1] or None, of what the model is to be compared with on the same
            clips; figures by the names of `classification_metrics`.
    """

    fold: int
    seed: int
    labels: np.ndarray
    probabilities: np.ndarray
    sources: Sequence[str]
    recording_ids: Sequence[str]
    clip_ids: Sequence[str]
    controls: Mapping[str, Mapping[str, float | None]]


def aligned(results: Iterable[FoldResult]) -> dict[tuple[int, int], FoldResult]:
    """Give results by (fold, seed), the clips of a fold in the same order in every seed.

    Raises:
        QuaclrsError: no results, a fold and seed twice, folds with other seeds or other clips in one seed than in
            another, a clip in two folds or twice in one, or shapes that do not fit each other.
    """
    runs: dict[tuple[int, int], FoldResult] = {}
    first_of_fold: dict[int, FoldResult] = {}
    fold_of_clip: dict[str, int] = {}
    for result in results:
        key = (int(result.fold), int(result.seed))
        if key in runs:
            raise QuaclrsError(f"fold {key[0]} was given twice for seed {key[1]}; give every run once")
        _check_one_entry_a_clip(result)
        if key[0] in first_of_fold:
            result = _in_the_order_of(first_of_fold[key[0]], result)
        else:
            first_of_fold[key[0]] = result
            for clip in result.clip_ids:
                if (other := fold_of_clip.setdefault(clip, key[0])) != key[0]:
                    raise QuaclrsError(f"clip {clip} was tested in folds {other} and {key[0]}: the folds overlap")
        runs[key] = result
    if not runs:
        raise QuaclrsError("no results to sum up; test at least one fold")
    seeds_of_fold = {fold: sorted(seed for f, seed in runs if f == fold) for fold in first_of_fold}
    for fold, seeds in seeds_of_fold.items():
        if seeds != (wanted := next(iter(seeds_of_fold.values()))):
            raise QuaclrsError(f"fold {fold} was tested with seeds {seeds}, another with {wanted}; use the same seeds")
    return runs


def _check_one_entry_a_clip(result: FoldResult) -> None:
    run, clips = f"fold {result.fold}, seed {result.seed}", len(result.clip_ids)
    for name in ("labels", "probabilities", "sources", "recording_ids"):
        if len(getattr(result, name)) != clips:
            raise QuaclrsError(f"{run}: {name} has {len(getattr(result, name))} entries for {clips} clip_ids")
    if len(set(result.clip_ids)) != clips:
        raise QuaclrsError(f"{run}: clip {Counter(result.clip_ids).most_common(1)[0][0]} was tested twice")


def _in_the_order_of(first: FoldResult, result: FoldResult) -> FoldResult:
    place = {clip: row for row, clip in enumerate(result.clip_ids)}
    if place.keys() != set(first.clip_ids):
        raise QuaclrsError(
            f"fold {result.fold} was tested on other clips with seed {result.seed} than with {first.seed}"
        )
    rows = np.array([place[clip] for clip in first.clip_ids])
    for name in ("labels", "sources", "recording_ids"):
        if not np.array_equal(np.asarray(getattr(result, name))[rows], np.asarray(getattr(first, name))):
            raise QuaclrsError(
                f"fold {result.fold}: {name} of the same clips differ between seeds {first.seed} and {result.seed}"
            )
    return replace(first, seed=result.seed, probabilities=result.probabilities[rows], controls=result.controls)
