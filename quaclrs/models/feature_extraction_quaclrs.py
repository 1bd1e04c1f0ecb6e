"""Waveforms of any length, rate, channel count and sample type to the fixed-length batch that the models take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import soxr
from transformers import BatchFeature, FeatureExtractionMixin

from .configuration_log_mel import LogMelConfig

_MOST_CHANNELS = 64


class WaveformError(ValueError):
    """A waveform that holds no usable samples or has the wrong shape; the message is one line."""


class QuaclrsFeatureExtractor(FeatureExtractionMixin):
    """Makes every clip float32, mono, of the model's sampling rate and exactly `duration` seconds long.

    The log-mel itself is computed inside the model, on its device. Longer clips are cut from the centre and shorter
    ones filled up by the front end's `pad_mode`, with silence by default (paper, section 3).

    Args:
        log_mel (`dict`, *optional*): fields of `LogMelConfig`, saved with the model.
    """

    model_input_names = ["input_values"]  # noqa: RUF012 - the name and form that transformers reads

    def __init__(self, log_mel: dict[str, Any] | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.log_mel = LogMelConfig.from_dict(log_mel or {}).to_dict()

    @property
    def sampling_rate(self) -> int:
        """Rate of `input_values` in Hz."""
        return self.log_mel["sampling_rate"]

    @property
    def log_mel_config(self) -> LogMelConfig:
        """The front end's parameters as their dataclass."""
        return LogMelConfig.from_dict(self.log_mel)

    @property
    def n_samples(self) -> int:
        """Length of `input_values` in samples."""
        return self.log_mel_config.n_samples

    def __call__(
        self,
        raw_speech: Any,
        sampling_rate: int | None = None,
        return_tensors: str | None = None,
        **kwargs,
    ) -> BatchFeature:
        """Prepare one clip or a batch.

        Args:
            raw_speech (`np.ndarray`, `torch.Tensor`, `list`): one clip (samples,), a batch of mono clips
                (batch, samples), or a list of clips, each (samples,) or (channels, samples). Integer samples are scaled
                by their type's range to [-1, 1].
            sampling_rate (`int`, *optional*): rate of the clips in Hz, the model's own where absent; others are
                resampled.
            return_tensors (`str`, *optional*): `"pt"` for a tensor; `"np"` or None for an array.

        Returns:
            `BatchFeature` with `input_values` (batch, n_samples), float32.

        Raises:
            WaveformError: no samples, NaN or infinite samples, more than 64 channels, or another shape.
        """
        clips = [self._prepare(_to_numpy(clip), sampling_rate) for clip in _as_list_of_clips(raw_speech)]
        return BatchFeature({"input_values": np.stack(clips)}, tensor_type=return_tensors)

    def _prepare(self, clip: np.ndarray, sampling_rate: int | None) -> np.ndarray:
        waveform = _to_mono(_to_float(clip))
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            if not sampling_rate > 0:  # NaN too
                raise WaveformError(f"sampling_rate is {sampling_rate}; it must be above 0 Hz")
            resampled = soxr.resample(waveform, sampling_rate, self.sampling_rate)
            # A clip of a few samples can vanish on the way down; its first sample stands for it.
            waveform = resampled if resampled.size else waveform[:1]
        return self.log_mel_config.fit(waveform)


def _as_list_of_clips(raw: Any) -> Sequence[Any]:
    if hasattr(raw, "detach"):
        raw = _to_numpy(raw)
    if isinstance(raw, np.ndarray):
        if raw.ndim not in (1, 2):
            raise WaveformError(f"an array of clips is (samples,) or (batch, samples), not {raw.shape}; pass a list")
        raw = [raw] if raw.ndim == 1 else list(raw)
    if not isinstance(raw, (list, tuple)) or len(raw) == 0:
        raise WaveformError("no clips: pass an array, or a list with at least one array")
    return [raw] if np.isscalar(raw[0]) else raw


def _to_numpy(clip: Any) -> np.ndarray:
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
