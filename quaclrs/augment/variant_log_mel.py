"""Log-mels of clips and of their augmented copies, made by the code that augments in training (paper, section 3)."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import QuaclrsError
from ..models.log_mel import LogMelSpectrogram
from .draws import Draws, clip_key
from .pipeline import AugmentedLogMel
from .policy import variant_policy
from .variants import VARIANTS, parent_and_variant


class VariantLogMel:
    """Makes any of the paper's variants of a clip, always the same for the same seed and clip.

    Clips go one by one: so a copy is the same to the bit in every batch, and a batch may hold any variants. The
    original is what feature extractor and front end make of the clip.

    Args:
        log_mel: the front end, on the CPU.
        seed: of noise, masks and patches.
    """

    def __init__(self, log_mel: LogMelSpectrogram, seed: int = 0) -> None:
        self.seed = seed
        self._variants = {name: AugmentedLogMel(variant_policy(name), log_mel) for name in VARIANTS}

    def __call__(self, waveform: np.ndarray, clip_id: str) -> torch.Tensor:
        """The log-mel that an id stands for: (n_mels, frames), float32 in [0, 1].

        Args:
            waveform: the original at its true length and the front end's rate, float32 (samples,), at least one sample.
            clip_id: as `copy_id` gives it.

        Raises:
            QuaclrsError: the seed is below 0, or the waveform is not one.
        """
        if waveform.ndim != 1 or len(waveform) == 0:
            raise QuaclrsError(f"a waveform is (samples,) with at least one sample, not {waveform.shape}")
        _, variant = parent_and_variant(clip_id)
        draws = Draws([clip_key(clip_id)], self.seed)
        return self._variants[variant](torch.from_numpy(waveform)[None], [len(waveform)], draws)[0]
