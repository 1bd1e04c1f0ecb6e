"""Channels to one: their mean, unless they cancel in it, or the channel that is asked for."""

from __future__ import annotations

import warnings

import numpy as np

from ..models.waveforms import Channel, cancelling_channel, channel_number
from .errors import AudioError, AudioWarning


class Mixer:
    """Mixes one recording block by block.

    Once channels cancel, the channel that was the louder there stands for every block in which they do.

    Args:
        sampling_rate: Hz.
        channel: 1 for the first, `left`, `right` or `mean`; where absent the mean, or the louder channel of those that
            cancel in it.
        name: of the recording, in messages.
    """

    def __init__(self, sampling_rate: int, channel: Channel | None = None, name: str = "the recording") -> None:
        self.sampling_rate, self.channel, self.name = sampling_rate, channel, name
        self._louder: int | None = None

    def __call__(self, block: np.ndarray, around: np.ndarray | None = None) -> np.ndarray:
        """Mix float32 (channels, samples) to (samples,).

        Args:
            block: the samples.
            around: (channels, samples) in which channels may cancel, of a second or more; the block where absent.

        Raises:
            AudioError: the recording has no such channel.
        """
        block = np.ascontiguousarray(block)  # decoders interleave channels: numpy sums those four times as slowly
        try:
            chosen = channel_number(self.channel, len(block))
        except ValueError as error:
            raise AudioError(f"{self.name}: {error}") from error
        if chosen is None and self.channel is None:
            chosen = cancelling_channel(block if around is None else around, self.sampling_rate)
            if chosen is not None and self._louder is None:
                self._louder = chosen
                warnings.warn(
                    f"{self.name}: its channels cancel each other out; channel {chosen + 1}, the louder, is heard "
                    "instead of their mean (--channel or the argument channel chooses)",
                    AudioWarning,
                    stacklevel=2,
                )
            chosen = self._louder if chosen is not None else None
        return block.mean(axis=0, dtype=np.float32) if chosen is None else block[chosen]
