"""One waveform, of any rate, channel count and sample type, as the front end takes it.

It imports no torch and no transformers, so that light processes can use it. This file travels with every pushed model,
so it imports nothing from the rest of the package.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import soxr

#: Channels of a sound: those of the largest ambisonic microphones (seventh order) and of most arrays.
MOST_CHANNELS = 64

#: Rates of a sound, in Hz: from those of hydrophones for whales to those of ultrasonic recorders. Below, nothing of it
#: can be heard, and a file of a megabyte lasts for days; above are radio signals, and headers that are damaged.
LOWEST_RATE, HIGHEST_RATE = 100, 1_000_000

#: Seconds of an array that are resampled: so many in its middle, of which any model hears a part.
_LONGEST = 600

#: An array with at most so many columns, and so many times as many rows, is (samples, channels).
_MOST_COLUMNS, _ROWS_PER_COLUMN = 32, 50

#: Samples beyond this have squares that a spectrum in float32 does not hold; full scale is 1.
LOUDEST = 1e15

#: A channel by its number, from 1, or `left`, `right` or `mean`.
Channel = int | str

#: Channels cancel where the power of their sum, in an octave and for a second, is below this share of the sum of their
#: powers, which is that of channels that have nothing in common. Of 450 stereo clips (sirens, traffic, streets) the
#: lowest share was 0.55; of a channel and its inverse at nine tenths of its level it is 0.006.
_CANCELLED = 0.1

#: Edges of the octaves, Hz, and what makes an octave count: its share of all power, and how many values of spectra it
#: has, as two channels of noise cancel in a few values by chance.
_OCTAVES, _LEAST_SHARE, _LEAST_VALUES = (20, 125, 250, 500, 1000, 2000, 4000, 8000), 0.01, 8

#: Samples of a spectrum, and the level below which nothing is heard that could be lost: one step of 16 bits.
_FFT, _FAINT = 2048, 2.0**-15

#: Samples over all channels whose spectra are held at once.
_STRETCH = 1 << 21


class WaveformError(ValueError):
    """A waveform that holds no usable samples or has the wrong shape; the message is one line."""


def mono_at(clip: Any, sampling_rate: float | None, wanted_rate: int, channel: Channel | None = None) -> np.ndarray:
    """A clip as float32 mono (samples,) at another rate, at its own length; of more than ten minutes the middle ten.

    Args:
        clip: (samples,), (channels, samples) or, where nothing else can be meant, (samples, channels): an array, a
            tensor or lists; integer samples are scaled by their type's range to [-1, 1].
        sampling_rate: of the clip in Hz; `wanted_rate` where absent.
        wanted_rate: Hz.
        channel: which to hear, as of `channel_number`; where absent the mean, or the louder of channels that cancel.

    Raises:
        WaveformError: no samples, NaN, infinite or huge samples, more than `MOST_CHANNELS`, another shape, a rate that
            `check_rate` refuses, no such channel.
    """
    rate = wanted_rate if sampling_rate is None else sampling_rate
    if rate != wanted_rate:
        check_rate(rate)
    channels = _middle(channels_of(clip), rate)
    chosen = channel_number(channel, len(channels))
    if chosen is None and channel is None:
        chosen = cancelling_channel(channels, rate)
    waveform = channels.mean(axis=0, dtype=np.float32) if chosen is None else np.ascontiguousarray(channels[chosen])
    if rate == wanted_rate:
        return waveform
    resampled = soxr.resample(waveform, rate, wanted_rate)
    # A clip of a few samples can vanish on the way down; its first sample stands for it.
    return resampled if resampled.size else waveform[:1]


def channels_of(clip: Any) -> np.ndarray:
    """A clip as float32 (channels, samples); arguments and errors as of `mono_at`."""
    return _to_channels(_to_float(to_numpy(clip)))


def check_rate(sampling_rate: Any) -> None:
    """Refuse by a `WaveformError` a rate that no sound has: no number, or outside `LOWEST_RATE` and `HIGHEST_RATE`."""
    try:
        usable = bool(LOWEST_RATE <= sampling_rate <= HIGHEST_RATE)
    except (TypeError, ValueError):
        usable = False
    if not usable:
        given = repr(sampling_rate) if isinstance(sampling_rate, str) else sampling_rate
        raise WaveformError(f"sampling_rate is {given}; it must be a number from {LOWEST_RATE} to {HIGHEST_RATE:,} Hz")


def channel_number(channel: Channel | None, channels: int) -> int | None:
    """The place of a channel, from 0; None for their mean.

    Args:
        channel: 1 for the first, `left`, `right` or `mean`; None for none in particular. One channel is both sides.
        channels: how many there are.

    Raises:
        WaveformError: the sound lacks the channel.
    """
    if channel is None or channel == "mean":
        return None
    if channel in ("left", "right"):
        place = 0 if channel == "left" or channels == 1 else 1
    elif str(channel).isascii() and str(channel).isdigit() and int(channel) > 0:
        place = int(channel) - 1
    else:
        raise WaveformError(f"channel {channel!r} is neither a number from 1 nor left, right or mean")
    if place >= channels:
        raise WaveformError(f"channel {channel} does not exist among {channels}; choose another, or mean")
    return place


def cancelling_channel(clip: np.ndarray, sampling_rate: float) -> int | None:
    """The louder channel where channels cancel in their mean, all over or in an octave; None where they do not.

    A cable with swapped poles, or a file of mid and side channels, has channels of opposite sign.

    Args:
        clip: float32 (channels, samples).
        sampling_rate: Hz.
    """
    if len(clip) > 1 and any(_cancel(second, sampling_rate) for second in _seconds_of(clip, sampling_rate)):
        powers = np.einsum("cs,cs->c", clip, clip, dtype=np.float64) / clip.shape[1]
        return int(powers.argmax()) if powers.max() > _FAINT**2 else None
    return None


def _seconds_of(clip: np.ndarray, sampling_rate: float) -> Iterator[np.ndarray]:
    """A clip in stretches of a second or `_STRETCH` samples, whole spectra each; the last is up to twice as long."""
    step = max(1, round(min(sampling_rate, _STRETCH / len(clip)) / _FFT)) * _FFT
    for start in range(0, max(1, clip.shape[1] - step + 1), step):
        end = start + step if start + 2 * step <= clip.shape[1] else clip.shape[1]
        yield clip[:, start:end]


def _cancel(clip: np.ndarray, sampling_rate: float) -> bool:
    spectra = clip.shape[1] // _FFT
    whole = clip[:, : spectra * _FFT].reshape(len(clip), spectra, _FFT)
    spectrum = np.fft.rfft(whole * np.hanning(_FFT).astype(np.float32))
    edges = np.ceil(np.array(_OCTAVES) * _FFT / sampling_rate)
    edges = np.unique(np.minimum(edges, spectrum.shape[-1] - 1).astype(int))
    apart, together = (
        np.add.reduceat(np.square(np.abs(values)).sum(axis=(0, 1)), edges)[:-1]
        for values in (spectrum, spectrum.sum(axis=0, keepdims=True))
    )
    counts = (apart > _LEAST_SHARE * apart.sum()) & (np.diff(edges) * spectra >= _LEAST_VALUES)
    return bool((counts & (together < _CANCELLED * apart)).any())


def to_numpy(clip: Any) -> np.ndarray:
    """A tensor on any device, nested lists or an array as an array."""
    if hasattr(clip, "is_floating_point"):  # a torch tensor may be on an accelerator, need gradients, or be bfloat16
        clip = clip.detach().cpu()
        return clip.float().numpy() if clip.is_floating_point() else clip.numpy()
    try:
        return np.asarray(clip)
    except ValueError as error:
        raise WaveformError("the channels of a clip differ in length; pass (channels, samples)") from error


def is_channels_last(shape: tuple[int, ...]) -> bool:
    """True for (samples, channels), as soundfile and Gradio have them: few columns, and many more rows."""
    return (
        len(shape) == 2 and 0 < shape[1] <= _MOST_COLUMNS and shape[0] > max(MOST_CHANNELS, _ROWS_PER_COLUMN * shape[1])
    )


def _to_float(clip: np.ndarray) -> np.ndarray:
    if np.issubdtype(clip.dtype, np.integer):
        if clip.dtype.itemsize > 4:  # what a list of Python numbers becomes: its full scale is anyone's guess
            raise WaveformError(f"samples of type {clip.dtype} have no known full scale; pass int16, int32 or floats")
        half_scale = np.float32(2.0 ** (8 * clip.dtype.itemsize - 1))
        centre = half_scale if clip.dtype.kind == "u" else np.float32(0)  # 8-bit PCM is centred on 128
        return (clip.astype(np.float32) - centre) / half_scale
    if not np.issubdtype(clip.dtype, np.floating):
        raise WaveformError(f"samples must be numbers, not {clip.dtype}")
    with np.errstate(over="ignore"):  # infinite ones are refused with the others that are too loud
        return clip.astype(np.float32)


def _middle(channels: np.ndarray, sampling_rate: float) -> np.ndarray:
    longest = round(_LONGEST * sampling_rate)
    start = max(0, channels.shape[1] - longest) // 2
    return channels[:, start : start + longest] if start else channels


def _to_channels(clip: np.ndarray) -> np.ndarray:
    if clip.ndim not in (1, 2) or clip.size == 0:
        raise WaveformError(f"a clip is (samples,) or (channels, samples) with at least one sample, not {clip.shape}")
    channels = clip.T if is_channels_last(clip.shape) else np.atleast_2d(clip)
    if len(channels) > MOST_CHANNELS:
        raise WaveformError(f"a clip of shape {clip.shape} has {len(channels)} channels; pass (channels, samples)")
    if not np.abs(channels).max() <= LOUDEST:  # NaN is not <= either
        raise WaveformError("a clip holds NaN, infinite or huge samples; repair it, or leave these samples out")
    return channels
