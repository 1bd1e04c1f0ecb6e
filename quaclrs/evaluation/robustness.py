"""Robustness of a classifier to noise: its probabilities for the same clips at falling signal-to-noise ratios.

Noise is added to the waveform that the model hears, at its true length, before padding; to each window of a longer clip
by itself. A clip's noise is a function of the seed, the clip's id and the window's place alone, and is only scaled from
one ratio to the next, so the ratios can be compared and neither order nor batch size changes anything.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..augment.draws import Draws, clip_key
from ..augment.noise import BackgroundNoise, GaussianNoise
from ..inference.batches import batches
from ..inference.classifier import AudioClassifier
from ..inference.windows import Window
from .metrics import classification_metrics

#: The signal-to-noise ratio of a clip as it is, dB.
CLEAN = math.inf
GAUSSIAN = "gaussian"

Noise = GaussianNoise | BackgroundNoise

#: Draws after which a clip stays without noise.
_MOST_DRAWS = 20


def make_noise(kind_or_folder: str | os.PathLike[str], sampling_rate: int) -> Noise:
    """White Gaussian noise for `gaussian`, or that of the recordings of a folder that no model trains with.

    Args:
        kind_or_folder: `gaussian`, or a folder as `find_noise` takes it, of which the side `test` is heard.
        sampling_rate: Hz.

    Raises:
        QuaclrsError: the folder does not exist, has no recording on its test side, or one that cannot be decoded.
    """
    if kind_or_folder == GAUSSIAN:
        return GaussianNoise()
    return BackgroundNoise(kind_or_folder, split="test", sampling_rate=sampling_rate)


def add_noise(
    noise: Noise, waveforms: Sequence[np.ndarray], clip_ids: Sequence[str], snr_db: float, seed: int = 0
) -> list[np.ndarray]:
    """Each clip (samples,) with noise of its own over its whole length; a silent clip stays silent.

    Args:
        noise: made by `make_noise`.
        waveforms: float32, each of its own length.
        clip_ids: what each clip's noise depends on.
        snr_db: 10 log10 of the clip's mean power over the noise's, dB; `CLEAN` for none.
        seed: of the noise.
    """
    if snr_db == CLEAN:
        return list(waveforms)
    noise.snr_db = (snr_db, snr_db)
    noisy = list(waveforms)
    waiting = [place for place, waveform in enumerate(waveforms) if waveform.any()]
    # Recordings are often filled up with digital silence; a clip that met nothing else draws again.
    for attempt in range(_MOST_DRAWS):
        if not waiting:
            break
        clips = [torch.from_numpy(waveforms[place]) for place in waiting]
        draws = Draws([clip_key(clip_ids[place]) for place in waiting], seed, view=attempt)
        for place, made in zip(waiting, noise(clips, draws), strict=True):
            noisy[place] = made.numpy()
        waiting = [place for place in waiting if np.array_equal(noisy[place], waveforms[place])]
    return noisy


def probabilities_over_snr(
    classifier: AudioClassifier,
    windows: Iterable[tuple[int, Window]],
    clip_ids: Sequence[str],
    classes: Sequence[str],
    snrs_db: Iterable[float] = (CLEAN,),
    noise: Noise | None = None,
    seed: int = 0,
    batch_size: int = 32,
) -> dict[float, np.ndarray]:
    """Class probabilities of every clip at every ratio; a clip is decoded once and not kept.

    Args:
        classifier: the model.
        windows: of clips one after the other, each with the place of its clip, as `EvaluationClips.decode` gives them.
            A clip whose windows break off is left out.
        clip_ids: by place, what a clip's noise depends on.
        classes: of the model, which a prediction may be; the probabilities are those given that it is one of them.
        snrs_db: `CLEAN`, or dB.
        noise: for ratios other than `CLEAN`.
        seed: of the noise.
        batch_size: windows that go through the model at once.

    Returns:
        Ratio -> (clips, classes), float64.
    """
    columns = [classifier.labels.index(name) for name in classes]
    tallies = {snr_db: classifier.tally() for snr_db in snrs_db}
    found: dict[float, list[np.ndarray]] = {snr_db: [] for snr_db in tallies}
    for batch in batches(windows, batch_size):
        ids = [clip_ids[place] + (f" from {window.start:g} s" if window.start else "") for place, window in batch]
        clean = [window.waveform for _, window in batch]
        for snr_db, tally in tallies.items():
            noisy = clean if noise is None else add_noise(noise, clean, ids, snr_db, seed)
            heard = tally([(place, replace(w, waveform=made)) for (place, w), made in zip(batch, noisy, strict=True)])
            found[snr_db] += [of_clip.probabilities[columns] for of_clip in heard]
    scores = {snr_db: np.reshape(rows, (-1, len(columns))) for snr_db, rows in found.items()}
    return {snr_db: rows / rows.sum(axis=1, keepdims=True) for snr_db, rows in scores.items()}


def metrics_over_snr(
    probabilities: Mapping[float, np.ndarray],
    labels: np.ndarray,
    class_names: Sequence[str],
    sources: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """`classification_metrics` at every ratio, the cleanest first, each with its `snr_db`: dB, or `"clean"`."""
    return [
        {
            "snr_db": "clean" if snr_db == CLEAN else snr_db,
            **classification_metrics(labels, probabilities[snr_db], class_names, sources),
        }
        for snr_db in sorted(probabilities, reverse=True)
    ]
