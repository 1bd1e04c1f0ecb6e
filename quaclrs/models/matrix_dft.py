"""The power spectrum as matrix products, for exported graphs: ONNX Runtime's own DFT operator is several times slower.

Cooley and Tukey's (1965) split of a transform of length N = N1 N2 into N2 transforms of length N1 and N1 of length N2,
the second only for the bins that are kept. Eager PyTorch uses its FFT instead.

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


def power_spectrum(frames: torch.Tensor, n_bins: int) -> torch.Tensor:
    """Squared magnitude of the first `n_bins` bins of windowed frames (batch, frames, n_fft), float32."""
    batch, count, n_fft = frames.shape
    rows = _divisor_near_root(n_fft)
    columns = n_fft // rows
    inner, outer = (torch.from_numpy(m).to(frames.device) for m in _matrices(rows, columns, n_bins))
    kept = outer.shape[-1] // 2
    # Sample n = columns * n1 + n2, bin k = k1 + rows * k2: first over n1, then with the twiddle factors over n2.
    partial = (inner @ frames.reshape(batch, count, rows, columns)).reshape(batch, count, 2, rows, columns)
    by_bin = partial.permute(0, 3, 1, 2, 4).reshape(batch, rows, count, 2 * columns) @ outer
    power = by_bin[..., :kept].square() + by_bin[..., kept:].square()  # (batch, k1, frames, k2)
    return power.permute(0, 2, 3, 1).reshape(batch, count, kept * rows)[..., :n_bins]


def _divisor_near_root(n_fft: int) -> int:
    return max(d for d in range(1, int(n_fft**0.5) + 1) if n_fft % d == 0)


def _matrices(rows: int, columns: int, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Real matrices of both stages: (2 rows, rows), and (rows, 2 columns, 2 kept) with a complex factor as 2 x 2."""
    k1 = np.arange(rows)
    angle = 2 * np.pi * (np.outer(k1, k1) % rows) / rows
    inner = np.concatenate([np.cos(angle), -np.sin(angle)])
    bins = k1[:, None, None] + rows * np.arange(-(-n_bins // rows))
    angle = 2 * np.pi * (np.arange(columns)[:, None] * bins % (rows * columns)) / (rows * columns)
    real, imaginary = np.cos(angle), -np.sin(angle)
    outer = np.block([[real, imaginary], [-imaginary, real]])
    return inner.astype(np.float32), outer.astype(np.float32)
