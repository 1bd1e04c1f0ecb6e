"""Waveforms of any length, rate, channel count and sample type to the fixed-length batch that the models take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature, FeatureExtractionMixin
from transformers.utils import logging

from .configuration_log_mel import LogMelConfig
from .waveforms import WaveformError, is_channels_last, mono_at, to_numpy

logger = logging.get_logger(__name__)


class QuaclrsFeatureExtractor(FeatureExtractionMixin):
    """Makes every clip float32, mono, of the model's sampling rate and exactly `duration` seconds long.

    The log-mel itself is computed inside the model, on its device. Longer clips are cut from the centre and shorter
    ones filled up by the front end's `pad_mode`, with silence by default (paper, section 3).

    Args:
        log_mel (`dict`, *optional*): fields of `LogMelConfig`, saved with the model.
    """

    model_input_names = ["input_values"]  # noqa: RUF012 - the name and form that transformers reads

    def __init__(self, log_mel: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.log_mel = LogMelConfig.from_dict({} if log_mel is None else log_mel).to_dict()

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
        **kwargs: Any,
    ) -> BatchFeature:
        """Prepare one clip or a batch.

        Args:
            raw_speech (`np.ndarray`, `torch.Tensor`, `list`): one clip (samples,), a batch of mono clips
                (batch, samples), or a list of clips, each (samples,) or (channels, samples). A long array of at most 32
                columns is one clip (samples, channels), as soundfile reads it. Integer samples are scaled by their
                type's range to [-1, 1]; channels become their mean, or the louder of those that cancel in it.
            sampling_rate (`int`, *optional*): rate of the clips in Hz; others than the model's are resampled. Where
                absent it is taken for the model's own, with a warning.
            return_tensors (`str`, *optional*): `"pt"` for a tensor; `"np"` or None for an array.

        Returns:
            `BatchFeature` with `input_values` (batch, n_samples), float32.

        Raises:
            WaveformError: no samples, NaN, infinite or huge samples, more than 64 channels, or another shape.
        """
        if sampling_rate is None:
            logger.warning(
                f"It is strongly recommended to pass the `sampling_rate` argument to `{type(self).__name__}()`. "
                f"Without it clips are taken to have {self.sampling_rate} Hz, and nothing shows where that is wrong."
            )
        clips = [
            self.log_mel_config.fit(mono_at(clip, sampling_rate, self.sampling_rate))
            for clip in _as_list_of_clips(raw_speech)
        ]
        return BatchFeature({"input_values": np.stack(clips)}, tensor_type=return_tensors)


def _as_list_of_clips(raw: Any) -> Sequence[Any]:
    if hasattr(raw, "is_floating_point"):
        raw = to_numpy(raw)
    if isinstance(raw, np.ndarray):
        if raw.ndim not in (1, 2):
            raise WaveformError(f"an array of clips is (samples,) or (batch, samples), not {raw.shape}; pass a list")
        raw = [raw] if raw.ndim == 1 or is_channels_last(raw.shape) else list(raw)
    if not isinstance(raw, (list, tuple)) or len(raw) == 0:
        raise WaveformError("no clips: pass an array, or a list with at least one array")
    first = raw[0]
    is_row = isinstance(first, (list, tuple, np.ndarray)) and len(first) > 0 and np.isscalar(first[0])
    return [raw] if np.isscalar(first) or (is_row and is_channels_last((len(raw), len(first)))) else raw
