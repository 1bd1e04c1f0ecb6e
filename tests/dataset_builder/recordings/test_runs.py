"""Neighbouring files go to one fold, and content still keeps recordings whole."""

from __future__ import annotations

import random
from collections import Counter

from dataset_builder.recordings.runs import join_into_runs


def cut(groups: dict[str, list[str]], runs: dict[str, list[str]]) -> int:
    """Pairs of files with successive numbers that lie in two runs."""
    run_of = {int(clip.split("_")[1]): run for run, members in runs.items() for r in members for clip in groups[r]}
    return sum(run_of[n] != run_of[n + 1] for n in run_of if n + 1 in run_of)


def test_a_numbered_series_becomes_ten_stretches():
    groups = {f"r{i}": [f"s_{i}"] for i in random.Random(0).sample(range(150), 150)}
    runs = join_into_runs(groups)
    assert sorted(map(len, runs.values())) == [15] * 10
    assert cut(groups, runs) == 9  # the least for ten
    for members in runs.values():
        numbers = sorted(int(r[1:]) for r in members)
        assert numbers == list(range(numbers[0], numbers[0] + 15))


def test_recordings_that_come_back_later_take_their_neighbours_along():
    # Each of 20 recordings appears in four rounds, as traffic clips do: s_1, s_21, s_41 and s_61 are one.
    groups = {f"r{i}": [f"s_{i + 20 * turn}" for turn in range(4)] for i in range(20)}
    runs = join_into_runs(groups)
    assert {len(members) for members in runs.values()} == {2}
    assert cut(groups, runs) <= 4 * 10
    assert sum(map(len, runs.values())) == 20


def test_every_recording_is_in_one_run_and_none_grows_far_beyond_a_fold():
    rng = random.Random(1)
    numbers = list(range(200))
    groups: dict[str, list[str]] = {}
    while numbers:
        size = min(rng.choice([1, 1, 1, 2, 5]), len(numbers))
        members = rng.sample(numbers, size)
        numbers = [n for n in numbers if n not in members]
        groups[f"r{len(groups)}"] = [f"s_{n}" for n in members]
    runs = join_into_runs(groups)
    assert Counter(r for members in runs.values() for r in members) == Counter(list(groups))
    assert max(sum(len(groups[r]) for r in members) for members in runs.values()) <= 20 + 2


def test_names_without_numbers_and_other_series_stay_apart():
    groups = {"a": ["saw/x"], "b": ["saw/y"], "c": ["p1_0"], "d": ["p2_1"]}
    assert sorted(join_into_runs(groups, n_folds=1).values()) == [["a"], ["b"], ["c"], ["d"]]
    assert join_into_runs({}) == {}


def test_no_fold_stays_empty_where_there_are_recordings_enough():
    for count in (10, 11, 13, 19):
        groups = {f"r{i}": [f"s_{i}"] for i in range(count)}
        assert len(join_into_runs(groups)) >= 10
    assert len(join_into_runs({f"r{i}": [f"s_{5 * i + k}" for k in range(5)] for i in range(10)})) == 10


def clips_of_runs(groups: dict[str, list[str]]) -> set[frozenset[str]]:
    return {frozenset(clip for r in members for clip in groups[r]) for members in join_into_runs(groups).values()}


def test_runs_depend_on_the_clips_alone():
    groups = {f"r{i}": [f"s_{3 * i + k}" for k in range(1 + i % 3)] for i in range(40)}
    renamed = {f"x{i}": clips[::-1] for i, clips in enumerate(reversed(groups.values()))}
    assert clips_of_runs(groups) == clips_of_runs(renamed)
