"""Give every clip a recording and its folds. Light to import, as worker processes that group clips import it."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from quaclrs.audio import AudioWarning, read_recording

from ..sources.report import SourceClip
from .folds import deal_paper_folds, deal_strict_folds
from .grouping import group_recordings
from .workers import OrderedMap, map_in_this_process


def assign_recordings_and_folds(
    clips: Sequence[SourceClip], ordered_map: OrderedMap = map_in_this_process
) -> list[SourceClip]:
    """Give clips without a known recording one by content, and deal recordings without a known fold whole to folds.

    Args:
        clips: UrbanSound8K's know recording and fold already; others are grouped and dealt class by class.
        ordered_map: groups classes in other processes (see `workers`).
    """
    recorded = [clip for clip in clips if clip.recording_id is not None]
    classes = _by_class(clip for clip in clips if clip.recording_id is None)
    groups_of_class = ordered_map(_group, [[clip.path for clip in of_class] for of_class in classes], 1)
    for of_class, groups in zip(classes, groups_of_class, strict=True):
        # A recording is named after its first clip: the groups' numbers depend on the order of the search.
        first_clip: dict[int, str] = {}
        for clip, group in zip(of_class, groups, strict=True):
            recorded.append(replace(clip, recording_id=first_clip.setdefault(group, clip.clip_id)))
    assigned = [clip for clip in recorded if clip.fold is not None]
    for of_class in _by_class(clip for clip in recorded if clip.fold is None):
        assigned += _deal(of_class)
    return assigned


def _by_class(clips: Iterable[SourceClip]) -> list[list[SourceClip]]:
    """Clips of each source and class, in the order of their ids."""
    classes: dict[tuple[str, str], list[SourceClip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.clip_id):
        classes[clip.source, clip.label].append(clip)
    return list(classes.values())


def _group(paths: Sequence[Path]) -> list[int]:
    return group_recordings(_decode_mono(paths)).labels.tolist()


def _decode_mono(paths: Sequence[Path]) -> Iterator[tuple[np.ndarray, int]]:
    """One at a time, as grouping keeps only a small version of each."""
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AudioWarning)  # `leave_out_broken` has said it
            recording = read_recording(path)
            mono = recording.mono(recording.sampling_rate)
        yield mono, recording.sampling_rate


def _deal(clips: Sequence[SourceClip]) -> list[SourceClip]:
    clips_of_recording: dict[str, list[str]] = defaultdict(list)
    for clip in clips:
        clips_of_recording[str(clip.recording_id)].append(clip.clip_id)
    strict, paper = deal_strict_folds(clips_of_recording), deal_paper_folds(clip.clip_id for clip in clips)
    return [replace(c, fold=strict[str(c.recording_id)], fold_paper=paper[c.clip_id]) for c in clips]
