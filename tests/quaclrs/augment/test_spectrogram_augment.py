"""SpecAugment and PatchAugment, cell by cell."""

from __future__ import annotations

import numpy as np
import pytest

from quaclrs.augment import patch_augment, spec_augment
from quaclrs.errors import QuaclrsError


def distinct_cells(shape: tuple[int, int] = (128, 376)) -> np.ndarray:
    """A log-mel whose cells all differ and none is 0, so that what was moved or masked can be told."""
    return np.linspace(0.1, 1, shape[0] * shape[1]).reshape(shape).astype(np.float32)


def test_masks_are_whole_rows_and_columns_of_silence_no_wider_than_two_masks():
    log_mel = distinct_cells()
    row_counts, column_counts = set(), set()
    for seed in range(100):
        masked = spec_augment(log_mel, np.random.default_rng(seed))
        rows, columns = ~masked.any(axis=1), ~masked.any(axis=0)
        np.testing.assert_array_equal(masked, np.where(rows[:, None] | columns[None, :], 0, log_mel))
        assert 1 <= rows.sum() <= 40
        assert 1 <= columns.sum() <= 40
        row_counts.add(int(rows.sum()))
        column_counts.add(int(columns.sum()))
    assert min(row_counts) < 10 < 30 < max(row_counts)
    assert min(column_counts) < 10 < 30 < max(column_counts)


def test_one_mask_is_contiguous_at_most_max_width_wide_and_reaches_both_edges():
    log_mel = distinct_cells((30, 30))
    widths, touched = set(), np.zeros(30, dtype=bool)
    for seed in range(300):
        masked = spec_augment(log_mel, np.random.default_rng(seed), n_masks=1, max_width=7)
        rows = np.flatnonzero(~masked.any(axis=1))
        assert rows[-1] - rows[0] + 1 == len(rows)
        widths.add(len(rows))
        touched[rows] = True
    assert widths == set(range(1, 8))
    assert touched.all()


def test_a_spectrogram_smaller_than_a_mask_may_be_masked_whole():
    masked = spec_augment(distinct_cells((3, 5)), np.random.default_rng(0), n_masks=8)
    assert masked.shape == (3, 5)
    assert not masked.any()


def test_patches_come_from_elsewhere_in_the_untouched_spectrogram():
    log_mel = distinct_cells()
    for seed in range(50):
        patched = patch_augment(log_mel, np.random.default_rng(seed), n_patches=1)
        rows, columns = np.nonzero(patched != log_mel)
        top, left = rows.min(), columns.min()
        assert (rows.max() - top, columns.max() - left, len(rows)) == (9, 9, 100)
        # Cells are distinct, so the value of the first one says where the patch was cut.
        from_row, from_column = np.argwhere(log_mel == patched[top, left])[0]
        assert (from_row, from_column) != (top, left)
        source = log_mel[from_row : from_row + 10, from_column : from_column + 10]
        np.testing.assert_array_equal(patched[top : top + 10, left : left + 10], source)


def test_five_patches_change_at_most_five_hundred_cells_and_put_in_no_new_value():
    log_mel = distinct_cells()
    changed = []
    for seed in range(50):
        patched = patch_augment(log_mel, np.random.default_rng(seed))
        assert np.isin(patched, log_mel).all()
        changed.append(int((patched != log_mel).sum()))
    assert max(changed) == 500
    assert min(changed) > 300


@pytest.mark.parametrize("augment", [spec_augment, patch_augment])
def test_a_draw_leaves_its_input_alone_and_is_repeated_by_its_generator_only(augment):
    log_mel = distinct_cells()
    log_mel.setflags(write=False)
    first = augment(log_mel, np.random.default_rng(7))
    np.testing.assert_array_equal(first, augment(log_mel, np.random.default_rng(7)))
    assert (first != augment(log_mel, np.random.default_rng(8))).any()
    assert (first.dtype, first.shape) == (np.float32, (128, 376))


def test_patches_that_have_nowhere_to_come_from_are_refused():
    for shape in [(10, 10), (9, 376), (128, 9)]:
        with pytest.raises(QuaclrsError, match="too small"):
            patch_augment(distinct_cells(shape), np.random.default_rng(0))
    assert patch_augment(distinct_cells((10, 11)), np.random.default_rng(0)).shape == (10, 11)


@pytest.mark.parametrize("augment", [spec_augment, patch_augment])
@pytest.mark.parametrize("shape", [(376,), (0, 376), (1, 128, 376)])
def test_a_misshapen_log_mel_is_refused(augment, shape):
    with pytest.raises(QuaclrsError, match="n_mels, frames"):
        augment(np.zeros(shape, dtype=np.float32), np.random.default_rng(0))


def test_options_out_of_range_are_refused():
    with pytest.raises(QuaclrsError, match="max_width"):
        spec_augment(distinct_cells(), np.random.default_rng(0), max_width=0)
    with pytest.raises(QuaclrsError, match="n_patches"):
        patch_augment(distinct_cells(), np.random.default_rng(0), n_patches=-1)
