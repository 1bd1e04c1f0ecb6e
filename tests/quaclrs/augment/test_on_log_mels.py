"""Batched SpecAugment and PatchAugment against the numpy reference, resized crops against torch's grid_sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quaclrs.augment import Draws, patch_augment, spec_augment
from quaclrs.augment.on_log_mels import PatchAugment, RandomResizedCrop, SpecAugment
from quaclrs.errors import QuaclrsError


class Scripted:
    """Stands in for a numpy generator whose `integers` gives these numbers one after the other."""

    def __init__(self, numbers):
        self.numbers = iter(numbers)

    def integers(self, low, high=None):
        value = next(self.numbers)
        assert (low if high is not None else 0) <= value < (high if high is not None else low)
        return value


def distinct(clips: int = 6, mels: int = 128, frames: int = 376) -> torch.Tensor:
    return torch.linspace(0.1, 1, clips * mels * frames).reshape(clips, mels, frames)


def test_masks_are_those_of_the_reference_for_the_same_widths_and_places():
    log_mel, draws = distinct(), Draws(range(6), seed=4)
    masked = SpecAugment(n_masks=3, max_width=20)(log_mel, draws)
    for row in range(6):
        numbers = []
        for axis, length in (("mels", 128), ("frames", 376)):
            widths = 1 + draws.integers(f"spec_augment.{axis}.width", 20, (3,))
            starts = draws.integers(f"spec_augment.{axis}.start", length - widths + 1, (3,))
            numbers += [n for pair in zip(widths[row], starts[row], strict=True) for n in pair]
        expected = spec_augment(log_mel[row].numpy(), Scripted(numbers), n_masks=3, max_width=20)
        np.testing.assert_array_equal(masked[row].numpy(), expected)


def test_patches_are_those_of_the_reference_for_the_same_places():
    log_mel, draws = distinct(mels=24, frames=30), Draws(range(6), seed=4)
    patched = PatchAugment(n_patches=9, size=10)(log_mel, draws)
    positions = 15 * 21
    targets = draws.integers("patch_augment.target", positions, (9,))
    sources = draws.integers("patch_augment.source", positions - 1, (9,))
    for row in range(6):
        numbers = [n for pair in zip(targets[row], sources[row], strict=True) for n in pair]
        expected = patch_augment(log_mel[row].numpy(), Scripted(numbers), n_patches=9, size=10)
        np.testing.assert_array_equal(patched[row].numpy(), expected)


def test_masks_have_every_width_up_to_the_widest_and_reach_every_line():
    log_mel = torch.ones(2_000, 30, 40)
    masked = SpecAugment(n_masks=1, max_width=7)(log_mel, Draws(range(2_000)))
    rows, columns = ~masked.any(2), ~masked.any(1)
    for lines in (rows, columns):
        assert set(lines.sum(1).tolist()) == set(range(1, 8))
        assert lines.any(0).all()


@pytest.mark.parametrize("augment", [SpecAugment, PatchAugment, RandomResizedCrop])
def test_clips_that_are_not_chosen_stay_as_they_are_and_nothing_changes_in_place(augment):
    log_mel = distinct(40)
    kept, draws = log_mel.clone(), Draws(range(40), seed=1)
    made = augment(probability=0.5)(log_mel, draws)
    untouched = [torch.equal(a, b) for a, b in zip(made, kept, strict=True)]
    assert untouched == (~draws.chosen(augment.name, 0.5)).tolist()
    assert 8 < sum(untouched) < 32
    assert torch.equal(log_mel, kept)


def test_a_crop_of_the_whole_is_the_spectrogram_itself():
    log_mel = distinct()
    made = RandomResizedCrop(frequency=1.0, time=1.0, canvas=(1.0, 1.0))(log_mel, Draws(range(6)))
    torch.testing.assert_close(made, log_mel, atol=1e-6, rtol=0)


def test_crops_are_those_of_grid_sample():
    generator = torch.Generator().manual_seed(0)
    log_mel, draws = torch.rand(8, 64, 100, generator=generator), Draws(range(8), seed=9)
    augment = RandomResizedCrop(frequency=(0.6, 1.5), time=(0.6, 1.5), canvas=(1.0, 1.5))
    maps = torch.zeros(8, 2, 3, dtype=torch.float64)
    for row, (axis, canvas, scale) in enumerate((("time", 1.5, (0.6, 1.5)), ("frequency", 1.0, (0.6, 1.5)))):
        side = np.minimum(draws.uniform(f"random_resized_crop.{axis}", *scale), canvas)
        left = draws.uniform(f"random_resized_crop.{axis}.start") * (canvas - side)  # on the canvas
        centre = left + side / 2 - canvas / 2  # from the middle of the spectrogram, in its lengths
        maps[:, row, row], maps[:, row, 2] = torch.from_numpy(side), torch.from_numpy(2 * centre)
    grid = torch.nn.functional.affine_grid(maps.float(), [8, 1, 64, 100], align_corners=False)
    expected = torch.nn.functional.grid_sample(log_mel[:, None], grid, align_corners=False)[:, 0]
    torch.testing.assert_close(augment(log_mel, draws), expected, atol=5e-4, rtol=0)


def test_a_crop_wider_than_the_spectrogram_has_silence_at_its_sides():
    made = RandomResizedCrop(frequency=1.0, time=1.5, canvas=(1.0, 1.5))(torch.ones(3, 16, 90), Draws(range(3)))
    assert not made[:, :, :14].any()
    assert not made[:, :, -14:].any()
    torch.testing.assert_close(made[:, :, 16:74], torch.ones(3, 16, 58))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SpecAugment(max_width=0), "spec_augment max_width"),
        (lambda: SpecAugment(n_masks=1.5), "spec_augment n_masks"),
        (lambda: PatchAugment(size=-1), "patch_augment size"),
        (lambda: RandomResizedCrop(canvas=(0.5, 1.0)), "random_resized_crop canvas"),
        (lambda: RandomResizedCrop(canvas=2), "random_resized_crop canvas"),
    ],
)
def test_an_impossible_option_is_refused_by_name(make, says):
    with pytest.raises(QuaclrsError, match=says):
        make()


def test_patches_that_do_not_fit_are_refused():
    with pytest.raises(QuaclrsError, match="size is 200"):
        PatchAugment(size=200)(distinct(), Draws(range(6)))
