"""Accuracy in which every recording counts once, however many clips were cut from it.

Of UrbanSound8K's clips hundreds are slices of one jackhammer: a figure over clips is mostly about a few recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .bootstrap import cluster_clips, draw_recordings


def accuracy_over_recordings(
    labels: np.ndarray,
    right: np.ndarray,
    recordings: Sequence[str],
    sources: Sequence[str],
    replicates: int = 2000,
    confidence: float = 0.95,
) -> dict[str, dict[str, Any]]:
    """Mean over recordings of the share of a recording's clips that are named rightly.

    Args:
        labels: (clips,) integers.
        right: (clips,) shares in [0, 1]: 1 where a clip is named rightly, or a mean over seeds.
        recordings: (clips,) of every clip. Clips of one recording and two classes count as two recordings.
        sources: (clips,) the data set each clip comes from.
        replicates, confidence: of the bootstrap over recordings, stratified by class.

    Returns:
        `all` and every source -> `value`, `interval` and `recordings`.
    """
    recording_of_clip, class_of_recording = cluster_clips(labels, recordings)
    count = len(class_of_recording)
    clips = np.bincount(recording_of_clip, minlength=count)
    share = np.bincount(recording_of_clip, weights=right, minlength=count) / clips
    source_of = np.empty(count, dtype=object)
    source_of[recording_of_clip] = np.asarray(sources, dtype=object)
    weights = draw_recordings(class_of_recording, replicates, seed=0)  # (recordings, replicates)
    ends = (1 - confidence) / 2, (1 + confidence) / 2
    found = {}
    for name in ("all", *dict.fromkeys(sources)):
        chosen = np.ones(count, dtype=bool) if name == "all" else source_of == name
        drawn = weights[chosen]
        values = share[chosen] @ drawn / drawn.sum(axis=0)
        found[name] = {
            "value": float(share[chosen].mean()),
            "interval": [float(end) for end in np.quantile(values, ends)],
            "recordings": int(chosen.sum()),
        }
    return found
