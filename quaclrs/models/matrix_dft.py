"""The power spectrum as matrix products, for exported graphs: ONNX Runtime's own DFT operator is several times slower.

Cooley and Tukey's (1965) split of a transform of length N = N1 N2 into N2 transforms of length N1 and N1 of length N2,
the second only for the bins that are kept. Samples are real, so half of the first stage is the other half's conjugate:
it is never computed. Eager PyTorch uses its FFT instead.

This file travels with every pushed model, so it imports nothing from the rest of the package.
"""

from __future__ import annotations

import numpy as np
import torch


def frame(padded: torch.Tensor, n_fft: int, hop_length: int) -> torch.Tensor:
    """Overlapping frames of (batch, samples) as (batch, frames, n_fft).

    Frames are put together from hops: exported, `unfold` gathers sample by sample.
    """
    count = 1 + (padded.shape[-1] - n_fft) // hop_length
    per_frame = -(-n_fft // hop_length)
    hops = count + per_frame - 1
    wanted = hops * hop_length  # beyond the last sample where hops do not divide a frame; nothing there is kept
    padded = torch.nn.functional.pad(padded, (0, max(0, wanted - padded.shape[-1])))[:, :wanted]
    blocks = padded.reshape(padded.shape[0], hops, hop_length)  # len() would fix the size of a batch
    frames = torch.cat([blocks[:, i : i + count] for i in range(per_frame)], dim=-1)
    return frames[..., :n_fft]


def power_spectrum(frames: torch.Tensor, n_bins: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared magnitudes of the first `n_bins` bins of windowed frames (batch, frames, n_fft), float32.

    Returns:
        Values (batch, frames, values) in the order in which they are made, and the bin of each (values,): each bin
        once, and `n_bins` for values to be left out. To turn a filterbank to that order costs nothing in a graph.
    """
    batch, count, n_fft = frames.shape
    rows = _divisor_near_root(n_fft)
    columns, half = n_fft // rows, rows // 2 + 1
    inner, outer, bins = (torch.from_numpy(m).to(frames.device) for m in _matrices(rows, columns, n_bins))
    # Sample n = columns * n1 + n2, bin k = k1 + rows * k2: first over n1, then with the twiddle factors over n2.
    partial = (inner @ frames.reshape(batch, count, rows, columns)).reshape(batch, count, 2, half, columns)
    by_row = partial.permute(0, 3, 1, 2, 4).reshape(batch, half, count, 2 * columns) @ outer
    kept = outer.shape[-1] // 2
    power = by_row[..., :kept].square() + by_row[..., kept:].square()  # (batch, k1, frames, values)
    return power.permute(0, 2, 1, 3).reshape(batch, count, half * kept), bins


def _divisor_near_root(n_fft: int) -> int:
    return max(d for d in range(1, int(n_fft**0.5) + 1) if n_fft % d == 0)


def _matrices(rows: int, columns: int, n_bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Real matrices of both stages for k1 of 0 to rows / 2, and the bins of what they give.

    Returns:
        (2 half, rows); (half, 2 columns, 2 kept) with complex factors as 2 x 2, for the bins of k1 and, from the
        conjugate, of rows - k1; (half * kept,).
    """
    k1 = np.arange(rows // 2 + 1)
    angle = 2 * np.pi * (np.outer(k1, np.arange(rows)) % rows) / rows
    inner = np.concatenate([np.cos(angle), -np.sin(angle)])
    first = np.stack([k1, rows - k1], axis=1)
    bins = (first[:, :, None] + rows * np.arange(-(-n_bins // rows))).reshape(len(k1), 1, -1)
    sign = np.repeat([1, -1], bins.shape[-1] // 2)  # of the imaginary part that comes in
    angle = 2 * np.pi * (np.arange(columns)[:, None] * bins % (rows * columns)) / (rows * columns)
    real, imaginary = np.cos(angle), -np.sin(angle)
    outer = np.block([[real, imaginary], [-sign * imaginary, sign * real]])
    is_own = first[:, 1] % rows == first[:, 0]  # the conjugate of k1 = 0 and of rows / 2 is itself
    bins[is_own, :, bins.shape[-1] // 2 :] = n_bins
    return inner.astype(np.float32), outer.astype(np.float32), np.minimum(bins, n_bins).reshape(-1)
