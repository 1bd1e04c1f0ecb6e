"""SpecAugment and PatchAugment cell by cell and against plain loops, resized crops against torch's grid_sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quaclrs.augment import Draws
from quaclrs.augment.on_log_mels import PatchAugment, RandomResizedCrop, SpecAugment
from quaclrs.errors import QuaclrsError


def distinct(clips: int = 6, mels: int = 128, frames: int = 376) -> torch.Tensor:
    """Log-mels whose cells all differ and none is 0, so that what was moved or masked can be told."""
    return torch.linspace(0.1, 1, clips * mels * frames).reshape(clips, mels, frames)


def many(augment, clips: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """A log-mel of distinct cells, and what so many draws make of it."""
    log_mel = distinct(1)
    return log_mel[0].numpy(), augment(log_mel.expand(clips, -1, -1), Draws(range(clips))).numpy()


def test_masks_lie_where_a_loop_puts_them_for_the_same_widths_and_places():
    log_mel, draws = distinct(), Draws(range(6), seed=4)
    masked = SpecAugment(n_masks=3, max_width=20)(log_mel, draws)
    expected = log_mel.numpy().copy()
    for lines, axis in ((expected, "mels"), (expected.swapaxes(1, 2), "frames")):
        length = lines.shape[1]
        widths = 1 + draws.integers(f"spec_augment.{axis}.width", 20, (3,))
        starts = draws.integers(f"spec_augment.{axis}.start", length - widths + 1, (3,))
        assert ((widths >= 1) & (widths <= 20) & (starts >= 0) & (starts + widths <= length)).all()
        for row in range(6):
            for width, start in zip(widths[row], starts[row], strict=True):
                lines[row, start : start + width] = 0
    np.testing.assert_array_equal(masked.numpy(), expected)


def test_patches_are_those_of_a_loop_for_the_same_places():
    log_mel, draws = distinct(mels=24, frames=30), Draws(range(6), seed=4)
    patched = PatchAugment(n_patches=9, size=10)(log_mel, draws)
    positions = 15 * 21
    targets = draws.integers("patch_augment.target", positions, (9,))
    sources = draws.integers("patch_augment.source", positions - 1, (9,))
    before, expected = log_mel.numpy(), log_mel.numpy().copy()
    for row in range(6):
        for target, source in zip(targets[row], sources[row], strict=True):
            (to_mel, to_frame), (mel, frame) = divmod(target, 21), divmod(source + (source >= target), 21)
            patch = before[row, mel : mel + 10, frame : frame + 10]
            expected[row, to_mel : to_mel + 10, to_frame : to_frame + 10] = patch
    np.testing.assert_array_equal(patched.numpy(), expected)


def test_masks_are_whole_rows_and_columns_of_silence_no_wider_than_two_masks():
    log_mel, masked = many(SpecAugment())
    row_counts, column_counts = set(), set()
    for one in masked:
        rows, columns = ~one.any(axis=1), ~one.any(axis=0)
        np.testing.assert_array_equal(one, np.where(rows[:, None] | columns[None, :], 0, log_mel))
        assert 1 <= rows.sum() <= 40
        assert 1 <= columns.sum() <= 40
        row_counts.add(int(rows.sum()))
        column_counts.add(int(columns.sum()))
    assert min(row_counts) < 10 < 30 < max(row_counts)
    assert min(column_counts) < 10 < 30 < max(column_counts)


def test_one_mask_is_contiguous():
    for one in many(SpecAugment(n_masks=1, max_width=7))[1]:
        for lines in (~one.any(axis=1), ~one.any(axis=0)):
            masked = np.flatnonzero(lines)
            assert masked[-1] - masked[0] + 1 == len(masked) <= 7


def test_a_spectrogram_smaller_than_a_mask_may_be_masked_whole():
    masked = SpecAugment(n_masks=8)(distinct(1, 3, 5), Draws([0]))
    assert masked.shape == (1, 3, 5)
    assert not masked.any()


def test_patches_come_from_elsewhere_in_the_untouched_spectrogram():
    log_mel, patched = many(PatchAugment(n_patches=1), 50)
    for one in patched:
        rows, columns = np.nonzero(one != log_mel)
        top, left = rows.min(), columns.min()
        assert (rows.max() - top, columns.max() - left, len(rows)) == (9, 9, 100)
        # Cells are distinct, so the value of the first one says where the patch was cut.
        from_row, from_column = np.argwhere(log_mel == one[top, left])[0]
        assert (from_row, from_column) != (top, left)
        source = log_mel[from_row : from_row + 10, from_column : from_column + 10]
        np.testing.assert_array_equal(one[top : top + 10, left : left + 10], source)


def test_five_patches_change_at_most_five_hundred_cells_and_put_in_no_new_value():
    log_mel, patched = many(PatchAugment(), 50)
    assert np.isin(patched, log_mel).all()
    changed = (patched != log_mel).sum((1, 2))
    assert changed.max() == 500
    assert changed.min() > 300


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
        (lambda: PatchAugment(n_patches=-1), "patch_augment n_patches"),
        (lambda: RandomResizedCrop(canvas=(0.5, 1.0)), "random_resized_crop canvas"),
        (lambda: RandomResizedCrop(canvas=2), "random_resized_crop canvas"),
    ],
)
def test_an_impossible_option_is_refused_by_name(make, says):
    with pytest.raises(QuaclrsError, match=says):
        make()


def test_patches_that_have_nowhere_to_come_from_are_refused():
    for shape in [(10, 10), (9, 376), (128, 9)]:
        with pytest.raises(QuaclrsError, match=r"size is 10; .* holds no two such patches"):
            PatchAugment()(distinct(2, *shape), Draws(range(2)))
    assert PatchAugment()(distinct(2, 10, 11), Draws(range(2))).shape == (2, 10, 11)
