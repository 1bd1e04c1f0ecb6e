"""Clips of ESC-50 or UrbanSound13 with their features, draws of a few of them, and recalls with intervals."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from quaclrs.audio import find_audio_files, load_audio
from quaclrs.data import load_urbansound13
from quaclrs.evaluation.bootstrap import cluster_clips, draw_recordings
from quaclrs.inference.loading import load_classifier
from quaclrs.inference.windows import windows_of

#: Folds that are tested in turn.
TESTED = (1, 2, 3)


@dataclass(frozen=True)
class Clips:
    """Clips with their features; windows are those that `predict` hears.

    Attributes:
        labels, folds, recordings: (clips,).
        windows: (windows, hidden_size) embeddings, and `owners` the clip of each.
        mfcc: (clips, 80) means and deviations of 40 coefficients.
        seconds: features -> seconds a clip that they took.
    """

    labels: np.ndarray
    folds: np.ndarray
    recordings: np.ndarray
    windows: np.ndarray
    owners: np.ndarray
    mfcc: np.ndarray
    seconds: dict[str, float]


def sounds_of(dataset: str) -> Iterable[tuple[Any, str, int, str]]:
    """Sound, label, fold and recording of each clip of ESC-50 (a folder a kind) or of UrbanSound13."""
    files = find_audio_files(dataset) if not (Path(dataset) / "data").is_dir() else []
    for file in files:
        fold, recording, *_ = file.stem.split("-")
        yield str(file), file.parent.name, int(fold), f"{fold}-{recording}"
    if not files:
        rows = load_urbansound13(dataset)
        names = rows.features["label"].names
        columns = [rows[name][:] for name in ("label", "fold", "recording_id")]
        for place, (label, fold, recording) in enumerate(zip(*columns, strict=True)):
            if fold in TESTED:
                yield rows[place]["audio"]["bytes"], names[label], fold, recording


def read_clips(dataset: str, with_mfcc: bool) -> Clips:
    """Embed every clip, and describe it by MFCCs."""
    import librosa

    classifier = load_classifier()
    found = list(sounds_of(dataset))
    windows, owners, mfcc = [], [], []
    spent = {"embeddings": 0.0, "mfcc": 0.0}
    for clip, (sound, *_) in enumerate(tqdm(found, desc="features", disable=None)):
        begun = time.perf_counter()
        cut = list(windows_of(sound, classifier.log_mel_config))
        waveforms = np.stack([classifier.log_mel_config.fit(window.waveform) for window in cut])
        windows.append(classifier.embed_waveforms(waveforms))
        owners += [clip] * len(cut)
        spent["embeddings"] += time.perf_counter() - begun
        if with_mfcc:
            begun = time.perf_counter()
            values = librosa.feature.mfcc(y=load_audio(sound, 22_050), sr=22_050, n_mfcc=40)
            mfcc.append(np.concatenate([values.mean(axis=1), values.std(axis=1)]))
            spent["mfcc"] += time.perf_counter() - begun
    names = [label for _, label, _, _ in found]
    return Clips(
        np.unique(names, return_inverse=True)[1],
        np.array([fold for *_, fold, _ in found]),
        np.array([recording for *_, recording in found], dtype=object),
        np.concatenate(windows),
        np.array(owners),
        np.array(mfcc),
        {name: seconds / len(found) for name, seconds in spent.items()},
    )


def choose(clips: Clips, train: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    """Draw `count` clips of every class (all without it), of different recordings as far as there are enough."""
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for label in np.unique(clips.labels):
        order = rng.permutation(np.flatnonzero(train & (clips.labels == label)))
        taken: dict[str, int] = {}
        ranked = []
        for clip in order.tolist():
            taken[clips.recordings[clip]] = taken.get(clips.recordings[clip], -1) + 1
            ranked.append((taken[clips.recordings[clip]], clip))
        chosen += [clip for _, clip in sorted(ranked, key=lambda entry: entry[0])[:count]]
    return np.sort(chosen)


def recall_of(clips: Clips, tested: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """Mean recall of the classes, `value`, and its 95 % interval by bootstrap over recordings, `low` and `high`.

    Args:
        clips: all of them.
        tested: (n,) places of those that were tested.
        values: (n,) share of the draws with which each was named rightly, or a difference of two such.
    """
    labels = clips.labels[tested]
    cluster, of_cluster = cluster_clips(labels, [str(name) for name in clips.recordings[tested]])
    drawn = draw_recordings(of_cluster, 2000, seed=0)
    sums, sizes = (np.bincount(cluster, weights, len(of_cluster)) for weights in (values, None))
    recalls, points = [], []
    for label in np.unique(labels):
        own = of_cluster == label
        recalls.append(sums[own] @ drawn[own] / (sizes[own] @ drawn[own]))
        points.append(values[labels == label].mean())
    low, high = np.quantile(np.mean(recalls, axis=0), (0.025, 0.975))
    return {"value": float(np.mean(points)), "low": float(low), "high": float(high)}
