"""Log-mel augmentations of the paper (section 4.5) in numpy: SpecAugment and PatchAugment."""

from __future__ import annotations

import numpy as np

from ..errors import QuaclrsError


def spec_augment(
    log_mel: np.ndarray, generator: np.random.Generator, n_masks: int = 2, max_width: int = 20
) -> np.ndarray:
    """Mask bands of frequency and spans of time with silence (Park et al., 2019, without its time warp).

    Every mask is 1 to `max_width` cells wide, uniformly, and lies anywhere, so masks may overlap.

    Args:
        log_mel: (n_mels, frames) in [0, 1], at least one cell; it is not changed.
        generator: of widths and positions.
        n_masks: masks along frequency, and as many along time.
        max_width: mel bands or frames; a wider mask than the spectrogram covers it.

    Returns:
        A copy with 0, the floor of the log-mel, under the masks.

    Raises:
        QuaclrsError: the log-mel is empty or not two-dimensional, or an option is below its least value.
    """
    _check_log_mel(log_mel)
    if n_masks < 0 or max_width < 1:
        raise QuaclrsError(f"spec_augment n_masks {n_masks} must be 0 or more and max_width {max_width} 1 or more")
    masked = log_mel.copy()
    for lines in (masked, masked.T):  # views: mel bands, then frames
        length = len(lines)
        for _ in range(n_masks):
            width = min(int(generator.integers(1, max_width + 1)), length)
            start = int(generator.integers(length - width + 1))
            lines[start : start + width] = 0
    return masked


def patch_augment(
    log_mel: np.ndarray, generator: np.random.Generator, n_patches: int = 5, size: int = 10
) -> np.ndarray:
    """Replace square patches by patches from elsewhere in the same spectrogram.

    Positions are uniform. A patch is always taken from another position of the spectrogram as it was, never from one
    that was replaced already.

    Args:
        log_mel: (n_mels, frames) in [0, 1]; it is not changed.
        generator: of positions.
        n_patches: patches to replace; they may overlap.
        size: mel bands and frames of a patch.

    Raises:
        QuaclrsError: the log-mel holds fewer than two positions for a patch, or an option is below its least value.
    """
    _check_log_mel(log_mel)
    if n_patches < 0 or size < 1:
        raise QuaclrsError(f"patch_augment n_patches {n_patches} must be 0 or more and size {size} 1 or more")
    rows, columns = (length - size + 1 for length in log_mel.shape)
    if min(rows, columns) < 1 or rows * columns < 2:
        raise QuaclrsError(
            f"a log-mel of {log_mel.shape} cells is too small to swap patches of {size} x {size}; lower size"
        )
    patched = log_mel.copy()
    for _ in range(n_patches):
        target = int(generator.integers(rows * columns))
        source = int(generator.integers(rows * columns - 1))
        source += source >= target  # any position but the target's
        (to_row, to_column), (from_row, from_column) = divmod(target, columns), divmod(source, columns)
        patch = log_mel[from_row : from_row + size, from_column : from_column + size]
        patched[to_row : to_row + size, to_column : to_column + size] = patch
    return patched


def _check_log_mel(log_mel: np.ndarray) -> None:
    if log_mel.ndim != 2 or log_mel.size == 0:
        raise QuaclrsError(f"a log-mel is (n_mels, frames) with at least one cell, not {log_mel.shape}")
