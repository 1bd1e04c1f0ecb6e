"""One waveform, of any rate, channel count and sample type, as the front end takes it.

It imports no torch and no transformers, so that light processes can use it. This file travels with every pushed model,
so it imports nothing from the rest of the package.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr

_MOST_CHANNELS = 64


class WaveformError(ValueError):
    """A waveform that holds no usable samples or has the wrong shape; the message is one line."""


def mono_at(clip: Any, sampling_rate: int | None, wanted_rate: int) -> np.ndarray:
    """A clip as float32 mono (samples,) at another rate, at its own length.

    Args:
        clip: (samples,) or (channels, samples), an array, a tensor or lists; integer samples are scaled by their type's
            range to [-1, 1].
        sampling_rate: of the clip in Hz; `wanted_rate` where absent.
        wanted_rate: Hz.

    Raises:
        WaveformError: no samples, NaN or infinite samples, more than 64 channels, another shape, no rate above 0.
    """
    waveform = _to_mono(_to_float(to_numpy(clip)))
    if sampling_rate is None or sampling_rate == wanted_rate:
        return waveform
    if not sampling_rate > 0:  # NaN too
        raise WaveformError(f"sampling_rate is {sampling_rate}; it must be above 0 Hz")
    resampled = soxr.resample(waveform, sampling_rate, wanted_rate)
    # A clip of a few samples can vanish on the way down; its first sample stands for it.
    return resampled if resampled.size else waveform[:1]


def to_numpy(clip: Any) -> np.ndarray:
    """A tensor on any device, nested lists or an array as an array."""
    if hasattr(clip, "detach"):  # a torch tensor may be on an accelerator, need gradients, or be bfloat16
        clip = clip.detach().cpu()
        return clip.float().numpy() if clip.is_floating_point() else clip.numpy()
    try:
        return np.asarray(clip)
    except ValueError as error:
        raise WaveformError("the channels of a clip differ in length; pass (channels, samples)") from error


def _to_float(clip: np.ndarray) -> np.ndarray:
    if np.issubdtype(clip.dtype, np.integer):
        if clip.dtype.itemsize > 4:  # what a list of Python numbers becomes: its full scale is anyone's guess
            raise WaveformError(f"samples of type {clip.dtype} have no known full scale; pass int16, int32 or floats")
        half_scale = np.float32(2.0 ** (8 * clip.dtype.itemsize - 1))
        centre = half_scale if clip.dtype.kind == "u" else np.float32(0)  # 8-bit PCM is centred on 128
        return (clip.astype(np.float32) - centre) / half_scale
    if not np.issubdtype(clip.dtype, np.floating):
        raise WaveformError(f"samples must be numbers, not {clip.dtype}")
    return clip.astype(np.float32)


def _to_mono(clip: np.ndarray) -> np.ndarray:
    if clip.ndim not in (1, 2) or clip.size == 0:
        raise WaveformError(f"a clip is (samples,) or (channels, samples) with at least one sample, not {clip.shape}")
    if clip.ndim == 2:
        if clip.shape[0] > _MOST_CHANNELS:
            raise WaveformError(f"a clip of shape {clip.shape} has {clip.shape[0]} channels; pass (channels, samples)")
        clip = clip.mean(axis=0, dtype=np.float32)
    if not np.isfinite(clip).all():
        raise WaveformError("a clip holds NaN or infinite samples; repair or leave out the recording")
    return clip
