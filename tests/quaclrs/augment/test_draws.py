"""Seeded draws: published outputs of SplitMix64, distributions, and what a draw depends on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from quaclrs.augment import Draws, clip_key, seeded_generator
from quaclrs.augment.draws import splitmix64
from quaclrs.errors import QuaclrsError


def test_the_hash_gives_the_published_outputs_of_splitmix64():
    # First outputs for seed 1234567, as in Rosetta Code's "Pseudo-random numbers/Splitmix64".
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    states = (1234567 + 0x9E3779B97F4A7C15 * np.arange(5).astype(object)) % 2**64
    assert splitmix64(states.astype(np.uint64)).tolist() == published


def test_uniform_draws_fill_their_range_evenly_and_independently():
    values = Draws(range(4000), seed=3).uniform("rate", -2, 6, size=(5,))
    assert values.shape == (4000, 5)
    assert stats.kstest(values.ravel(), stats.uniform(-2, 8).cdf).pvalue > 0.01
    correlations = np.corrcoef(np.concatenate([values, np.roll(values, 1, axis=0)], axis=1).T) - np.eye(10)
    assert np.abs(correlations).max() < 0.06


@pytest.mark.parametrize("changed", [{"seed": 4}, {"epoch": 1}, {"view": 1}])
def test_seed_epoch_view_name_and_clip_each_change_every_draw(changed):
    first = Draws(range(500), seed=3)
    values = first.uniform("rate")
    for other in (
        Draws(range(500), **{"seed": 3, **changed}).uniform("rate"),
        Draws(range(500, 1000), seed=3).uniform("rate"),
        first.uniform("start"),
        first.salted("again").uniform("rate"),
    ):
        assert not np.isin(values, other).any()
        assert abs(np.corrcoef(values, other)[0, 1]) < 0.15
    np.testing.assert_array_equal(values, Draws(range(500), seed=3).salted("").uniform("rate"))


def test_a_clip_draws_the_same_alone_and_anywhere_in_a_batch():
    keys = [clip_key(f"urbansound8k/{i}-3-0-1") for i in range(40)]
    together = Draws(keys, seed=1, epoch=7, view=1)
    for row in (0, 13, 39):
        alone = Draws([keys[row]], seed=1, epoch=7, view=1)
        np.testing.assert_array_equal(alone.uniform("a", size=(2, 3)), together.uniform("a", size=(2, 3))[[row]])
        np.testing.assert_array_equal(alone.integers("b", 1000), together.integers("b", 1000)[[row]])
        np.testing.assert_array_equal(alone.chosen("c", 0.5), together.chosen("c", 0.5)[[row]])


def test_integers_are_uniform_below_their_bound_which_may_differ_by_clip():
    draws = Draws(range(6000), seed=0)
    counts = np.bincount(draws.integers("start", 6), minlength=6)
    assert stats.chisquare(counts).pvalue > 0.01
    bounds = np.arange(6000) % 5
    drawn = draws.integers("start", bounds)
    assert ((drawn >= 0) & (drawn <= np.maximum(0, bounds - 1))).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_beta_draws_follow_the_beta_distribution(alpha):
    values = Draws(range(5000), seed=2).beta("share", alpha)
    assert stats.kstest(values, stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_a_probability_is_met_and_0_and_1_are_never_and_always():
    draws = Draws(range(10_000), seed=5)
    assert draws.chosen("gain", 0.3).mean() == pytest.approx(0.3, abs=0.02)
    assert draws.chosen("gain", 1.0).all()
    assert not draws.chosen("gain", 0.0).any()


def test_a_clips_key_is_the_same_on_every_machine_and_fits_a_signed_integer():
    # printf urbansound8k/101415-3-0-2 | b2sum -l 64  ->  5849aa83d40629cd, read as a little-endian number
    assert clip_key("urbansound8k/101415-3-0-2") == 0xCD2906D483AA4958 >> 1
    assert all(0 <= clip_key(str(i)) < 2**63 for i in range(200))
    assert len({clip_key(str(i)) for i in range(200)}) == 200


def test_a_negative_seed_is_refused_by_name():
    with pytest.raises(QuaclrsError, match="seed is -1"):
        Draws([1], seed=-1)
    with pytest.raises(QuaclrsError, match="epoch -1"):
        Draws([1], epoch=-1)
    with pytest.raises(QuaclrsError, match="seed is -2"):
        seeded_generator(-2, "a")
