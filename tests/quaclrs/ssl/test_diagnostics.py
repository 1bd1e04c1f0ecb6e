"""Figures of a representation against formulas written out and cases known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from quaclrs.ssl.diagnostics import alignment, diagnose, effective_rank, spread_on_sphere, uniformity


def random_embeddings(clips: int, dimensions: int, seed: int = 0) -> torch.Tensor:
    scale = torch.linspace(0.2, 3, dimensions)
    return scale * torch.randn(clips, dimensions, generator=torch.Generator().manual_seed(seed)) + 0.5


def unit_rows(embeddings: torch.Tensor) -> np.ndarray:
    values = embeddings.double().numpy()
    return values / np.sqrt((values**2).sum(1, keepdims=True))


SHAPES = pytest.mark.parametrize(("clips", "dimensions"), [(5, 3), (30, 8), (6, 20)])
SAME = torch.tensor([[0.3, -1.2, 0.7]]).repeat(9, 1)


@SHAPES
def test_spread_is_the_mean_deviation_of_unit_vectors_times_the_root_of_their_dimensions(clips, dimensions):
    embeddings = random_embeddings(clips, dimensions)
    unit = unit_rows(embeddings)
    deviations = [np.sqrt(np.mean((column - column.mean()) ** 2)) for column in unit.T]
    expected = np.mean(deviations) * math.sqrt(dimensions)
    assert spread_on_sphere(embeddings).item() == pytest.approx(expected, rel=1e-5)
    assert spread_on_sphere(7 * embeddings).item() == pytest.approx(expected, rel=1e-5)


def test_spread_is_zero_for_one_point_and_one_for_a_uniform_sphere():
    assert spread_on_sphere(SAME).item() == pytest.approx(0, abs=1e-6)
    sphere = torch.randn(20_000, 16, generator=torch.Generator().manual_seed(0))
    assert spread_on_sphere(sphere).item() == pytest.approx(1, abs=0.01)
    # Opposite unit vectors of every axis: each dimension's variance is 1 / d.
    assert spread_on_sphere(torch.cat([torch.eye(8), -torch.eye(8)])).item() == pytest.approx(1, abs=1e-6)


@SHAPES
def test_effective_rank_is_the_exponential_of_the_entropy_of_singular_values(clips, dimensions):
    embeddings = random_embeddings(clips, dimensions)
    values = embeddings.double().numpy()
    singular = np.linalg.svd(values - values.mean(0), compute_uv=False)
    shares = singular / singular.sum()
    shares = shares[shares > 0]
    assert effective_rank(embeddings).item() == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-6)


@pytest.mark.parametrize("used", [1, 2, 5, 8])
def test_effective_rank_counts_the_dimensions_that_are_used_alike(used):
    axes = torch.eye(8)[:used]
    assert effective_rank(torch.cat([axes, -axes])).item() == pytest.approx(used, rel=1e-6)
    # The mean counts for nothing.
    assert effective_rank(torch.cat([axes, -axes]) + 3).item() == pytest.approx(used, rel=1e-6)


def test_effective_rank_of_one_point_is_one_and_of_one_hot_clips_one_less_than_there_are():
    assert effective_rank(SAME).item() == pytest.approx(1)
    assert effective_rank(torch.zeros(4, 3)).item() == pytest.approx(1)
    assert effective_rank(torch.eye(6)).item() == pytest.approx(5, rel=1e-6)


@SHAPES
def test_alignment_is_the_mean_squared_distance_of_unit_vectors(clips, dimensions):
    first, second = random_embeddings(clips, dimensions), random_embeddings(clips, dimensions, seed=1)
    distances = ((unit_rows(first) - unit_rows(second)) ** 2).sum(1)
    assert alignment(first, second).item() == pytest.approx(distances.mean(), rel=1e-5)
    assert alignment(5 * first, 0.1 * second).item() == pytest.approx(distances.mean(), rel=1e-5)


def test_alignment_is_zero_for_equal_two_for_orthogonal_and_four_for_opposite_views():
    axes = torch.eye(4)
    assert alignment(axes, axes).item() == pytest.approx(0)
    assert alignment(axes, axes.roll(1, 0)).item() == pytest.approx(2)
    assert alignment(axes, -axes).item() == pytest.approx(4)


@SHAPES
def test_uniformity_is_the_log_of_the_mean_gaussian_potential_of_pairs(clips, dimensions):
    embeddings = random_embeddings(clips, dimensions)
    unit = unit_rows(embeddings)
    potentials = [math.exp(-2 * ((unit[i] - unit[j]) ** 2).sum()) for i in range(clips) for j in range(clips) if i < j]
    assert uniformity(embeddings).item() == pytest.approx(math.log(np.mean(potentials)), rel=1e-4)


def test_uniformity_is_zero_for_one_point_and_minus_four_for_orthogonal_clips():
    assert uniformity(SAME).item() == pytest.approx(0, abs=1e-5)
    assert uniformity(torch.eye(6)).item() == pytest.approx(-4, rel=1e-5)


def test_diagnose_gives_the_three_figures_as_numbers():
    embeddings = random_embeddings(12, 5)
    figures = diagnose(embeddings)
    assert set(figures) == {"embedding_std", "effective_rank", "uniformity"}
    assert all(isinstance(value, float) for value in figures.values())
    assert diagnose(torch.cat([torch.eye(8), -torch.eye(8)])) == pytest.approx(
        {
            "embedding_std": 1.0,
            "effective_rank": 8.0,
            # Of 120 pairs, 8 are opposite (distance 2), the others orthogonal.
            "uniformity": math.log((8 * math.exp(-8) + 112 * math.exp(-4)) / 120),
        },
        rel=1e-5,
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_diagnose_gives_nan_where_an_embedding_is_not_finite(bad):
    embeddings = random_embeddings(12, 5)
    embeddings[3, 2] = bad
    figures = diagnose(embeddings)
    assert len(figures) == 3
    assert all(math.isnan(value) for value in figures.values())
