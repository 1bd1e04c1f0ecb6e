"""Accuracy in which every recording counts once."""

from __future__ import annotations

import numpy as np
import pytest

from quaclrs.evaluation.over_recordings import accuracy_over_recordings


def test_a_recording_of_a_hundred_clips_counts_as_much_as_one_of_a_single_clip() -> None:
    labels = np.array([0] * 100 + [0] + [1])
    right = np.array([0] * 100 + [1] + [1], dtype=float)
    found = accuracy_over_recordings(labels, right, ["a"] * 100 + ["b", "c"], ["u"] * 101 + ["s"])

    assert found["all"]["value"] == pytest.approx(2 / 3)
    assert (found["u"]["value"], found["u"]["recordings"]) == (0.5, 2)
    assert (found["s"]["value"], found["s"]["interval"]) == (1.0, [1.0, 1.0])


def test_its_interval_is_that_of_a_mean_of_independent_recordings() -> None:
    generator = np.random.default_rng(0)
    right = (generator.random(400) < 0.8).astype(float)
    found = accuracy_over_recordings(np.zeros(400, int), right, [str(i) for i in range(400)], ["u"] * 400)["all"]

    half = 1.96 * right.std() / 20
    assert found["interval"] == pytest.approx([right.mean() - half, right.mean() + half], abs=0.006)
