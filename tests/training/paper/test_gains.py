"""The interval of a gain over seeds and folds, from the predictions that runs leave."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from training.paper.gains import knn_gain_interval

NAMES = ("bell", "dog")


def write_run(folder: Path, fold: int, trained: list[bool], untrained: list[bool]) -> SimpleNamespace:
    """Predictions of clips of class bell, right where told."""
    folder.mkdir(parents=True)
    for file, right in (("predictions_knn.csv", trained), ("predictions_random_knn.csv", untrained)):
        with (folder / file).open("w", newline="") as text:
            writer = csv.writer(text)
            writer.writerow(["clip_id", "fold", "label", "predicted", *NAMES])
            writer.writerows(
                [f"f{fold}c{i}", fold, "bell", NAMES[not r], float(r), float(not r)] for i, r in enumerate(right)
            )
    return SimpleNamespace(path=folder)


def recordings(folds: int, clips: int, per_recording: int = 1) -> dict[str, str]:
    return {f"f{fold}c{i}": f"f{fold}r{i // per_recording}" for fold in range(1, folds + 1) for i in range(clips)}


def test_a_gain_that_every_clip_shares_has_an_interval_of_no_width(tmp_path):
    runs = {
        (fold, seed): write_run(tmp_path / f"{fold}{seed}", fold, [True] * 6, [False] * 6)
        for fold in (1, 2)
        for seed in (0, 1)
    }
    assert knn_gain_interval(runs, recordings(2, 6)) == (100.0, 100.0)


def test_seeds_that_disagree_are_averaged_clip_by_clip(tmp_path):
    # One seed gains on the first half of the clips, the other on the second: on average every clip gains a half.
    halves = [[True] * 4 + [False] * 4, [False] * 4 + [True] * 4]
    runs = {(1, seed): write_run(tmp_path / str(seed), 1, halves[seed], [False] * 8) for seed in (0, 1)}
    assert knn_gain_interval(runs, recordings(1, 8)) == (50.0, 50.0)


def test_the_interval_is_about_that_of_the_normal_approximation_over_recordings(tmp_path):
    generator = np.random.default_rng(0)
    of_recording = generator.random(100) < 0.3  # all 4 clips of a recording gain, or none
    trained = np.repeat(of_recording, 4).tolist()
    runs = {(1, 0): write_run(tmp_path / "run", 1, trained, [False] * 400)}
    low, high = knn_gain_interval(runs, recordings(1, 400, per_recording=4))
    half = 1.96 * np.sqrt(of_recording.mean() * (1 - of_recording.mean()) / 100)
    assert (low, high) == pytest.approx((100 * (of_recording.mean() - half), 100 * (of_recording.mean() + half)), abs=2)


def test_no_interval_is_given_where_a_seed_of_a_fold_is_missing(tmp_path):
    runs = {key: write_run(tmp_path / str(key), key[0], [True], [False]) for key in ((1, 0), (1, 1), (2, 0))}
    assert knn_gain_interval(runs, recordings(2, 1)) is None
    assert knn_gain_interval({}, {}) is None


def test_copies_of_a_clip_are_of_its_recording(tmp_path):
    trained = {f"f1c{i}#noise_15dB" if i % 2 else f"f1c{i}": True for i in range(6)}
    run = write_run(tmp_path / "run", 1, [True] * 6, [False] * 6)
    for file in run.path.iterdir():
        for name in trained:
            file.write_text(file.read_text().replace(f"{name.partition('#')[0]},", f"{name},"))
    assert knn_gain_interval({(1, 0): run}, recordings(1, 6)) == (100.0, 100.0)
