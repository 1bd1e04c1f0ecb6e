"""The order of training clips, and the seeds of what a step draws."""

from __future__ import annotations

import numpy as np
import pytest

from training.runs.sampling import EpochSampler, step_seed

LABELS = np.repeat([0, 1, 2], [90, 9, 1])

#: Each clip its own.
RECORDINGS = [f"recording {number}" for number in range(100)]


def of_epoch(sampler: EpochSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert len(order) == len(sampler)
    return order


def test_every_epoch_is_all_clips_once_in_an_order_of_its_own():
    sampler = EpochSampler(LABELS, seed=0)
    orders = [of_epoch(sampler, epoch) for epoch in (1, 2, 3)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert list(range(100)) not in orders


@pytest.mark.parametrize("recordings", [None, RECORDINGS])
def test_the_order_depends_on_seed_and_epoch_and_not_on_what_was_asked_before(recordings):
    used = EpochSampler(LABELS, seed=5, recordings=recordings)
    for epoch in (1, 2, 7, 3):
        of_epoch(used, epoch)
    assert of_epoch(used, 2) == of_epoch(EpochSampler(LABELS, seed=5, recordings=recordings), 2)
    assert of_epoch(used, 2) != of_epoch(EpochSampler(LABELS, seed=6, recordings=recordings), 2)


def test_the_order_does_not_depend_on_the_global_generators():
    np.random.seed(1)
    first = of_epoch(EpochSampler(LABELS, seed=0), 1)
    np.random.seed(2)
    assert of_epoch(EpochSampler(LABELS, seed=0), 1) == first


@pytest.mark.parametrize("recordings", [None, RECORDINGS])
def test_an_epoch_that_begins_later_is_the_rest_of_the_whole_one_and_the_next_is_whole(recordings):
    whole = EpochSampler(LABELS, seed=3, recordings=recordings)
    resumed = EpochSampler(LABELS, seed=3, recordings=recordings)
    resumed.skip(4, 32)
    assert of_epoch(resumed, 4) == of_epoch(whole, 4)[32:]
    assert of_epoch(resumed, 5) == of_epoch(whole, 5)


def test_balanced_draws_make_every_class_as_frequent_and_every_clip_of_a_class():
    sampler = EpochSampler(LABELS, seed=0, recordings=RECORDINGS)
    drawn = np.concatenate([of_epoch(sampler, epoch) for epoch in range(300)])
    assert len(drawn) == 30_000
    # 10,000 clips a class are expected with a deviation of sqrt(n p (1 - p)) = 82; five deviations are 1.4 %.
    np.testing.assert_allclose(np.bincount(LABELS[drawn]) / len(drawn), 1 / 3, atol=0.014)
    of_clip = np.bincount(drawn, minlength=100)
    expected = 30_000 / 3 / np.array([90, 9, 1])[LABELS]
    assert (np.abs(of_clip - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize(("power", "weights"), [(0, [1, 1, 1]), (0.5, [8, 2, 1]), (1, [64, 4, 1])])
def test_a_recording_is_drawn_by_a_power_of_its_clips(power, weights):
    labels, recordings = np.zeros(75, int), ["long"] * 64 + ["short"] * 4 + [f"single {n}" for n in range(7)]
    sampler = EpochSampler(labels, 0, recordings, power)
    drawn = np.concatenate([of_epoch(sampler, epoch) for epoch in range(400)])
    shares = np.bincount(drawn, minlength=75) / len(drawn)
    long, short, single = np.array(weights) / (sum(weights) + 6)
    # A share of 30,000 draws has a deviation of at most 0.003.
    assert shares[:64].sum() == pytest.approx(long, abs=0.015)
    assert shares[64:68].sum() == pytest.approx(short, abs=0.015)
    np.testing.assert_allclose(shares[68:], single, atol=0.008)


def test_every_step_of_every_process_draws_by_a_seed_of_its_own():
    seeds = {
        step_seed(seed, epoch, step, process)
        for seed in range(3) for epoch in range(5) for step in range(50) for process in range(4)
    }  # fmt: skip
    assert len(seeds) == 3 * 5 * 50 * 4
    assert all(0 <= seed < 2**63 for seed in seeds)  # what torch.manual_seed takes
    assert step_seed(0, 1, 2, 0) == step_seed(0, 1, 2, 0)
