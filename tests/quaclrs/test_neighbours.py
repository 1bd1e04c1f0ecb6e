"""The leak of numbered files is counted pair by pair, and said beside the figures."""

from __future__ import annotations

import random

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from quaclrs.data import leak_warning
from quaclrs.neighbours import NeighbourLeak, neighbours_by_number, series_and_number


def test_the_number_is_the_last_one_of_the_name():
    assert series_and_number("sirennet/police/police3_12") == ("sirennet/police/police3_", 12)
    assert series_and_number("urbansound8k/1-2-0-007") == ("urbansound8k/1-2-0-", 7)
    assert series_and_number("extra/saw/morning") is None


def test_neighbours_are_of_one_series_and_at_most_two_numbers_away():
    clips = ["a/s_1", "a/s_2", "a/s_4", "a/s_7", "a/s_02", "b/s_3", "a/none"]
    expected = {
        "a/s_1": {"a/s_2", "a/s_02"},
        "a/s_2": {"a/s_1", "a/s_02", "a/s_4"},
        "a/s_02": {"a/s_1", "a/s_2", "a/s_4"},
        "a/s_4": {"a/s_2", "a/s_02"},
    }
    assert {clip: set(others) for clip, others in neighbours_by_number(clips).items()} == expected


def test_shares_are_those_counted_by_hand():
    clips = [f"s_{i}" for i in range(1, 7)]
    recordings = ["a", "a", "b", "c", "d", "e"]
    folds = [1, 1, 1, 2, 2, 2]
    nearest = ["s_3", "s_4", "s_4", "s_3", "s_1", "s_5"]
    leak = NeighbourLeak.of(clips, nearest, recordings, folds)
    # By number: all but s_5's. In another fold: s_2's and s_3's and s_4's.
    assert (leak.clips, leak.adjacent, leak.leaking) == (6, pytest.approx(5 / 6), pytest.approx(3 / 6))


def test_chance_is_what_neighbours_drawn_at_random_give():
    rng = random.Random(0)
    clips = [f"s_{i}" for i in range(60)]
    recordings = [f"r{i // 2}" for i in range(60)]
    folds = [1 + (i // 2) % 3 for i in range(60)]
    drawn = []
    for _ in range(2000):
        nearest = [rng.choice([c for c, r in zip(clips, recordings, strict=True) if r != own]) for own in recordings]
        drawn.append(NeighbourLeak.of(clips, nearest, recordings, folds))
    assert sum(leak.leaking for leak in drawn) / len(drawn) == pytest.approx(drawn[0].chance, rel=0.05)


def test_the_warning_names_the_classes_that_were_dealt_and_no_others():
    rows = {
        "label": [0, 0, 1],
        "clip_id": ["sirennet/x/s_1", "sirennet/x/s_2", "urbansound8k/1-0-0-0"],
        "nearest_clip": ["sirennet/x/s_2", "sirennet/x/s_1", None],
        "recording_id": ["a", "b", "c"],
        "fold": [1, 2, 1],
        "fold_paper": [1, 1, 1],
    }
    features = Features({name: Value("string" if isinstance(v[0], str) else "int64") for name, v in rows.items()})
    features["label"] = ClassLabel(names=["ambulance", "dog_bark"])
    dataset = Dataset.from_dict(rows, features=features)
    assert "ambulance 100.0% (by chance 100.0%)" in leak_warning(dataset)
    assert "dog_bark" not in leak_warning(dataset)
    assert "ambulance 0.0%" in leak_warning(dataset, "paper")
    assert leak_warning(dataset.remove_columns("nearest_clip")) == ""
