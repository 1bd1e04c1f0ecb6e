"""Give every clip a recording and its folds. Light to import, as worker processes that group clips import it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from quaclrs.audio import read_recording

from ..sources.source import SourceClip
from ..table.folds import deal_paper_folds, deal_strict_folds
from ..table.shards import shard_sets
from ..table.workers import OrderedMap, map_in_this_process
from .grouping import group_recordings


def assign_recordings_and_folds(
    clips: Sequence[SourceClip], ordered_map: OrderedMap = map_in_this_process
) -> list[SourceClip]:
    """Give clips without a known recording one by content, deal whole recordings to folds, and sort by shard and id.

    Args:
        clips: UrbanSound8K's know recording and folds already; others are grouped class by class.
        ordered_map: groups classes in other processes (see `workers`).
    """
    assigned = [clip for clip in clips if clip.recording_id is not None]
    classes: dict[tuple[str, str], list[SourceClip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.clip_id):
        if clip.recording_id is None:
            classes[clip.source, clip.label].append(clip)
    groups_of_class = ordered_map(_group, [[clip.path for clip in of_class] for of_class in classes.values()], 1)
    for of_class, groups in zip(classes.values(), groups_of_class, strict=True):
        assigned += _deal(of_class, groups)
    sets = shard_sets(assigned)
    return sorted(assigned, key=lambda clip: (sets[clip.clip_id], clip.clip_id))


def _group(paths: Sequence[Path]) -> list[int]:
    return group_recordings(_decode_mono(paths)).labels.tolist()


def _decode_mono(paths: Sequence[Path]) -> Iterator[tuple[np.ndarray, int]]:
    """One at a time, as grouping keeps only a small version of each."""
    for path in paths:
        recording = read_recording(path)
        yield recording.waveform.mean(axis=0), recording.sampling_rate


def _deal(clips: Sequence[SourceClip], groups: Sequence[int]) -> list[SourceClip]:
    """Clips of a class with recording and folds. A recording is named after its first clip, whatever the order."""
    clips_of_group: dict[int, list[str]] = defaultdict(list)
    for clip, group in zip(clips, groups, strict=True):
        clips_of_group[group].append(clip.clip_id)
    clips_of_recording = {clip_ids[0]: clip_ids for clip_ids in clips_of_group.values()}
    strict, paper = deal_strict_folds(clips_of_recording), deal_paper_folds(clip.clip_id for clip in clips)
    recording_of_clip = {clip_id: name for name, clip_ids in clips_of_recording.items() for clip_id in clip_ids}
    return [
        replace(clip, recording_id=recording, fold=strict[recording], fold_paper=paper[clip.clip_id])
        for clip in clips
        for recording in [recording_of_clip[clip.clip_id]]
    ]
