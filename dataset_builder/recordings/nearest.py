"""The clip that sounds most like another one, by the mel spectrum alone: no proof of one recording, but a sign."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import soxr

_SAMPLING_RATE = 16000
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def mel_quantiles(waveform: np.ndarray, rate: int) -> np.ndarray:
    """Quantiles over time of the level in 64 mel bands up to 8 kHz, in dB under the loudest; (320,).

    Args:
        waveform: mono, float (samples,).
        rate: Hz.
    """
    from librosa.core import power_to_db
    from librosa.feature import melspectrogram

    samples = soxr.resample(np.asarray(waveform, dtype=np.float32), rate, _SAMPLING_RATE)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_fft=")  # a short clip is padded with silence
        mel = melspectrogram(y=samples, sr=_SAMPLING_RATE, n_fft=1024, hop_length=320, n_mels=64)
    return np.quantile(power_to_db(mel, ref=np.max), _QUANTILES, axis=1).T.ravel()


def nearest_in_other_groups(descriptions: np.ndarray, groups: Sequence[int]) -> list[int | None]:
    """The nearest clip of another group, for each clip, by the distance of standardised descriptions.

    Args:
        descriptions: (clips, numbers).
        groups: of each clip.

    Returns:
        Index of the nearest clip; None where all clips are of one group.
    """
    if not len(descriptions):
        return []
    spread = descriptions.std(axis=0)
    scaled = (descriptions - descriptions.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    squares = (scaled**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * scaled @ scaled.T
    of_group = np.asarray(groups)
    distances[of_group[:, None] == of_group] = np.inf
    nearest = distances.argmin(axis=1)
    return [int(j) if np.isfinite(distances[i, j]) else None for i, j in enumerate(nearest)]
