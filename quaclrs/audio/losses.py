"""Losses of a sound: samples that are not numbers, and samples that its header names and the file lacks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..models.waveforms import LOUDEST
from .errors import AudioError
from .headers import Mended


class Losses:
    """Counts frames of a sound that is being read, and says what of it is lost.

    Args:
        name: what messages call the sound.
        sampling_rate: Hz.

    Attributes:
        heard: frames so far.
    """

    def __init__(self, name: str, sampling_rate: int) -> None:
        self.name, self.sampling_rate = name, sampling_rate
        self.heard = self._unusable = self._beyond = self._void = 0  # frames

    def cleaned(self, block: np.ndarray) -> np.ndarray:
        """Replace samples that are not numbers by silence in a block (frames, channels), and count their frames."""
        self.heard += len(block)
        if not max(block.max(), -block.min()) <= LOUDEST:  # NaN is not <= either
            beyond = np.abs(block) > LOUDEST  # infinite ones too
            unusable = beyond | np.isnan(block)
            self._unusable += int(unusable.any(axis=1).sum())
            self._void += int(unusable.all(axis=1).sum())
            self._beyond += int((beyond & np.isfinite(block)).any(axis=1).sum())
            block[unusable] = 0
        return block

    def refuse_unusable(self) -> None:
        """Raise an `AudioError` where none of the samples is usable, or most are beyond all scale."""
        if self._beyond * 2 > self.heard:
            raise AudioError(f"{self.name} holds samples beyond {LOUDEST:g}, where full scale is 1; scale them down")
        if self._void and self._void == self.heard:
            raise AudioError(f"{self.name} holds nothing but NaN or infinite samples; export it from its source again")

    def lines(self, lost: int, is_damaged: bool, mended: Mended | None) -> Iterator[str]:
        """The losses in words, for a warning.

        Args:
            lost: frames that cannot be decoded, as far as is known.
            is_damaged: damage was met.
            mended: the header's size, where that was too small and all of the sound was read.
        """
        if self._unusable:
            samples = "1 sample" if self._unusable == 1 else f"{self._unusable:,} samples"
            yield (
                f"{self.name} holds {samples} ({self._seconds(self._unusable)}) of NaN, infinite or beyond all scale; "
                "silence stands there"
            )
        if mended and mended.stated < mended.there:
            stated = self._seconds(round(self.heard * mended.stated / mended.there)) if mended.stated else "no samples"
            yield (
                f"{self.name} was not finished: its header says that it holds {stated}; "
                f"all that is there, {self._seconds(self.heard)}, is heard"
            )
        if lost > 0 or is_damaged:
            known = f"{self._seconds(lost)} of what its header names" if lost > 0 else "a part of unknown length"
            yield f"{self.name} is damaged or cut short: {known} cannot be decoded; the rest is heard"

    def _seconds(self, frames: int) -> str:
        seconds = frames / self.sampling_rate
        return f"{seconds:.2f} s" if seconds >= 0.01 else "under 0.01 s"
