"""Folds for classes without folds: whole recordings are dealt evenly, and the paper's dealing is round-robin."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from dataset_builder.recordings.folds import deal_paper_folds, deal_strict_folds
from quaclrs.errors import QuaclrsError


def recordings_of_sizes(sizes: list[int], name: str = "ambulance") -> dict[str, list[str]]:
    return {f"{name}/recording_{i}": [f"{name}/sound_{i}_{cut}" for cut in range(size)] for i, size in enumerate(sizes)}


def per_fold(groups: dict[str, list[str]], folds: dict[str, int], n_folds: int = 10) -> tuple[list[int], list[int]]:
    """Numbers of recordings and of clips in folds 1 to n_folds."""
    recordings = Counter(folds[recording] for recording in groups)
    clips: Counter[int] = Counter()
    for recording, members in groups.items():
        clips[folds[recording]] += len(members)
    return [recordings[k] for k in range(1, n_folds + 1)], [clips[k] for k in range(1, n_folds + 1)]


@pytest.mark.parametrize("count", [10, 11, 19, 45, 122, 150])
def test_every_recording_gets_one_fold_and_counts_differ_by_at_most_one(count):
    rng = random.Random(count)
    groups = recordings_of_sizes([rng.choice([1, 1, 1, 2, 3, 8]) for _ in range(count)])
    folds = deal_strict_folds(groups)
    assert folds.keys() == groups.keys()
    recordings, _ = per_fold(groups, folds)
    assert sum(recordings) == count
    assert max(recordings) - min(recordings) <= 1


def test_clips_are_as_even_as_the_recordings_allow():
    # 100 recordings of 1 to 4 clips, 250 clips: 25 in each fold is possible and one more or less is the most allowed.
    groups = recordings_of_sizes([1 + i % 4 for i in range(100)])
    _, clips = per_fold(groups, deal_strict_folds(groups))
    assert sum(clips) == 250
    assert max(clips) - min(clips) <= 1


def test_one_huge_recording_does_not_draw_further_large_ones_into_its_fold():
    groups = recordings_of_sizes([20, *[3] * 9, *[5] * 10, *[1] * 10])
    folds = deal_strict_folds(groups)
    beside = [len(groups[r]) for r, fold in folds.items() if fold == folds["ambulance/recording_0"]]
    assert sorted(beside) == [1, 3, 20]


def test_folds_depend_on_the_clips_and_not_on_order_or_recording_names():
    groups = recordings_of_sizes([1 + i % 5 for i in range(57)])
    expected = {clip: fold for recording, fold in deal_strict_folds(groups).items() for clip in groups[recording]}
    shuffled = [(f"group_{i}", random.Random(i).sample(clips, len(clips))) for i, clips in enumerate(groups.values())]
    random.Random(0).shuffle(shuffled)
    renamed = dict(shuffled)
    folds = deal_strict_folds(renamed)
    assert {clip: folds[recording] for recording, clips in renamed.items() for clip in clips} == expected


def test_incomplete_rounds_of_many_classes_spread_over_all_folds():
    extra: Counter[int] = Counter()
    for number in range(200):
        groups = recordings_of_sizes([1] * 11, name=f"class_{number}")
        recordings, _ = per_fold(groups, deal_strict_folds(groups))
        extra[recordings.index(2) + 1] += 1
    assert set(extra) == set(range(1, 11))
    assert max(extra.values()) < 45  # 20 each on average


def test_fewer_recordings_than_folds_take_a_fold_each():
    folds = deal_strict_folds(recordings_of_sizes([4, 1, 1]))
    assert len(set(folds.values())) == 3
    assert set(folds.values()) <= set(range(1, 11))
    assert deal_strict_folds({}) == {}


def test_folds_are_the_same_in_a_process_with_another_hash_seed():
    groups = recordings_of_sizes([1 + i % 3 for i in range(25)])
    command = f"from dataset_builder.recordings.folds import deal_strict_folds; print(deal_strict_folds({groups!r}))"
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    run = subprocess.run([sys.executable, "-c", command], cwd=root, env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == repr(deal_strict_folds(groups)), run.stderr


def test_mistakes_are_named():
    with pytest.raises(QuaclrsError, match="twice"):
        deal_strict_folds({"a": ["clip_1", "clip_2"], "b": ["clip_2"]})
    with pytest.raises(QuaclrsError, match="recording b has no clips"):
        deal_strict_folds({"a": ["clip_1"], "b": []})
    with pytest.raises(QuaclrsError, match="n_folds"):
        deal_strict_folds({"a": ["clip_1"]}, n_folds=0)
    with pytest.raises(QuaclrsError, match="n_folds"):
        deal_paper_folds(["clip_1"], n_folds=0)


def test_paper_folds_go_round_in_natural_order():
    clips = [f"sirennet/ambulance/sound_{i}" for i in range(1, 24)]
    expected = {clip: (i % 10) + 1 for i, clip in enumerate(clips)}  # sound_1 -> 1, sound_10 -> 10, sound_11 -> 1
    assert deal_paper_folds(sorted(clips)) == expected
    assert deal_paper_folds(reversed(clips)) == expected


def test_paper_folds_take_names_with_digits_in_different_places():
    assert deal_paper_folds(["police6_10", "police14", "police6_3", "siren"], n_folds=3) == {
        "police6_3": 1,
        "police6_10": 2,
        "police14": 3,
        "siren": 1,
    }


def test_paper_folds_tear_a_recording_apart_and_strict_folds_do_not():
    groups = {"recording": [f"sound_{i}" for i in range(1, 6)]}
    assert len(set(deal_paper_folds(groups["recording"]).values())) == 5
    assert len(deal_strict_folds(groups)) == 1
