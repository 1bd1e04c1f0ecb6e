"""Pictures cut into patches along time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quaclrs.models.patches import first_columns, join, level, split


def test_maps_of_patches_are_joined_in_the_order_of_time() -> None:
    pictures = torch.arange(2 * 3 * 64 * 192, dtype=torch.float32).reshape(2, 3, 64, 192)

    patches = split(pictures, 96)

    assert patches.shape == (4, 3, 64, 96)
    torch.testing.assert_close(patches[1], pictures[0, :, :, 96:].flip(-1))
    torch.testing.assert_close(join(patches, 2), pictures)


@pytest.mark.parametrize(
    ("width", "overlap", "firsts"),
    [
        (96, 0.0, [0]),
        (100, 0.5, [0]),
        (384, 0.0, [0, 96, 192, 288]),
        (401, 0.0, [0, 102, 203, 305]),
        (384, 0.5, [0, 48, 96, 144, 192, 240, 288]),
        (240, 0.75, [0, 24, 48, 72, 96, 120, 144]),
    ],
)
def test_patches_are_spread_evenly_and_the_last_one_ends_the_picture(width, overlap, firsts) -> None:
    assert first_columns(width, 96, overlap) == firsts


def test_a_picture_narrower_than_a_patch_is_stretched_to_one() -> None:
    torch.testing.assert_close(split(torch.ones(1, 3, 64, 50), 96), torch.ones(1, 3, 64, 96))


@pytest.mark.parametrize("gain", [-3.0, 0.0, 2.0])
def test_levelled_magnitudes_have_a_root_mean_square_of_a_half_whatever_the_gain(gain: float) -> None:
    magnitudes = np.random.default_rng(0).exponential(size=(1, 1, 64, 96))
    pictures = torch.from_numpy(np.log(magnitudes) + gain).float().expand(-1, 3, -1, -1)

    assert np.sqrt(np.exp(2 * level(pictures).double().numpy()).mean()) == pytest.approx(0.5, rel=1e-4)


def test_flat_silence_is_not_made_loud() -> None:
    silence = torch.full((1, 3, 64, 96), -9.2)

    assert level(silence).max() < -5
