import numpy as np
import pytest

from quaclrs.errors import QuaclrsError
from quaclrs.folds import FoldPlan, find_complete_folds, folds_of_recordings

OLD, NEW = "urbansound8k", "sirennet"


def clips(layout: dict[int, tuple[str, ...]], each: int = 2) -> tuple[list[int], list[str], list[str]]:
    """`each` clips of one recording for every fold and source."""
    rows = [(fold, source, f"{source}/{fold}") for fold, sources in layout.items() for source in sources] * each
    folds, sources, recordings = zip(*rows, strict=True)
    return list(folds), list(sources), list(recordings)


COMPLETE = {fold: (OLD, NEW) for fold in range(1, 11)}
PARTIAL = {fold: (OLD, NEW) if fold <= 3 else (NEW,) for fold in range(1, 11)}


@pytest.mark.parametrize(("test_fold", "validation_fold"), [(1, 10), (2, 1), (10, 9)])
def test_the_fold_before_the_test_fold_validates_wrapping_around(test_fold, validation_fold):
    plan = FoldPlan.for_fold(test_fold, *clips(COMPLETE))
    assert (plan.test_fold, plan.validation_fold) == (test_fold, validation_fold)


@pytest.mark.parametrize(("test_fold", "validation_fold"), [(1, 3), (2, 1), (3, 2)])
def test_only_complete_folds_are_rotated_over_and_the_others_always_train(test_fold, validation_fold):
    folds, sources, recordings = clips(PARTIAL)
    plan = FoldPlan.for_fold(test_fold, folds, sources, recordings)
    assert plan.complete_folds == (1, 2, 3)
    assert plan.validation_fold == validation_fold
    trained = set(np.asarray(folds)[plan.train])
    assert trained == set(range(1, 11)) - {test_fold, validation_fold}


def test_every_clip_is_tested_exactly_once_over_a_whole_rotation():
    folds, sources, recordings = clips(COMPLETE, each=3)
    tested = np.concatenate([FoldPlan.for_fold(f, folds, sources, recordings).test for f in range(1, 11)])
    assert sorted(tested) == list(range(len(folds)))


def test_splits_are_disjoint_and_leave_out_nothing_where_no_recording_is_split():
    folds, sources, recordings = clips(COMPLETE)
    plan = FoldPlan.for_fold(5, folds, sources, recordings)
    assert len(plan.excluded) == 0
    assert sorted(np.concatenate([plan.train, plan.validation, plan.test])) == list(range(len(folds)))


def test_a_recording_in_two_folds_is_left_out_of_training_when_either_fold_is_held_out():
    folds, sources, recordings = clips(COMPLETE)
    shared = [i for i, (f, s) in enumerate(zip(folds, sources, strict=True)) if s == OLD and f in (1, 9)]
    for i in shared:
        recordings[i] = f"{OLD}/180937"  # as in the official metadata: jackhammer in fold 1, drilling in fold 9
    in_fold = {fold: {i for i in shared if folds[i] == fold} for fold in (1, 9)}

    tested_on_1 = FoldPlan.for_fold(1, folds, sources, recordings)
    assert set(tested_on_1.excluded) == in_fold[9]
    assert in_fold[1] <= set(tested_on_1.test)
    validated_on_9 = FoldPlan.for_fold(10, folds, sources, recordings)
    assert set(validated_on_9.excluded) == in_fold[1]
    neither = FoldPlan.for_fold(5, folds, sources, recordings)
    assert set(shared) <= set(neither.train)
    for plan in (tested_on_1, validated_on_9, neither):
        names = np.asarray(recordings)
        splits = [set(names[rows]) for rows in (plan.train, plan.validation, plan.test)]
        assert not (splits[0] & splits[1] | splits[0] & splits[2] | splits[1] & splits[2])


def test_a_recording_in_both_held_out_folds_is_tested_and_not_validated():
    folds, sources, recordings = clips(COMPLETE)
    for i, (fold, source) in enumerate(zip(folds, sources, strict=True)):
        if fold in (1, 2) and source == OLD:
            recordings[i] = "both"
    plan = FoldPlan.for_fold(2, folds, sources, recordings)
    assert {recordings[i] for i in plan.validation} == {f"{NEW}/1"}
    assert "both" in {recordings[i] for i in plan.test}


def test_the_paper_protocol_leaves_split_recordings_where_they_are_and_warns():
    folds, sources, recordings = clips(COMPLETE)
    recordings = ["one"] * len(recordings)
    plan = FoldPlan.for_fold(1, folds, sources, recordings, protocol="paper")
    assert len(plan.excluded) == 0
    assert "optimistic" in plan.describe(["x"] * len(folds))


@pytest.mark.parametrize(
    ("test_fold", "layout", "says"),
    [
        (11, COMPLETE, "fold 11 is not in the data set"),
        (4, PARTIAL, "fold 4 is not complete: no clips of urbansound8k"),
        (1, {1: (OLD, NEW), 2: (NEW,)}, "only fold 1 is complete"),
        (1, {1: (OLD, NEW), 2: (OLD, NEW)}, "no clip is left to train on"),
    ],
)
def test_a_split_that_cannot_be_made_is_refused_by_name(test_fold, layout, says):
    with pytest.raises(QuaclrsError, match=says):
        FoldPlan.for_fold(test_fold, *clips(layout))


def test_an_unknown_protocol_is_refused():
    with pytest.raises(QuaclrsError, match="strict or paper"):
        FoldPlan.for_fold(1, *clips(COMPLETE), protocol="random")  # type: ignore[arg-type]


def test_with_one_source_every_fold_is_complete():
    folds, sources, _ = clips({1: (OLD,), 2: (OLD,), 7: (OLD,)})
    assert find_complete_folds(folds, sources) == (1, 2, 7)


def test_the_folds_of_a_recording_are_all_that_its_clips_lie_in():
    assert folds_of_recordings([3, 1, 3, 2], ["a", "a", "a", "b"]) == {"a": (1, 3), "b": (2,)}


def test_the_description_counts_clips_by_class_and_split():
    folds, sources, recordings = clips(PARTIAL)
    plan = FoldPlan.for_fold(1, folds, sources, recordings)
    lines = plan.describe(["siren" if source == NEW else "horn" for source in sources]).splitlines()
    assert lines[0].startswith("protocol strict: test fold 1, validation fold 3")
    assert [line.split() for line in lines[2:]] == [
        ["horn", "2", "2", "2"],
        ["siren", "16", "2", "2"],
        ["all", "18", "4", "4"],
    ]
