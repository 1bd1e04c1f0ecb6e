"""Give every clip a recording and its folds. Light to import, as worker processes that group clips import it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from quaclrs.audio import read_recording
from quaclrs.grouping import group_recordings

from ..sources.report import SourceClip
from .broken import decoded_again
from .folds import deal_paper_folds, deal_strict_folds
from .nearest import mel_quantiles, nearest_in_other_groups
from .runs import join_into_runs
from .workers import OrderedMap, map_in_this_process


def assign_recordings_and_folds(
    clips: Sequence[SourceClip], ordered_map: OrderedMap = map_in_this_process
) -> list[SourceClip]:
    """Give clips without a known recording one by content, and deal recordings without a known fold whole to folds.

    Of clips that are grouped, `nearest_clip` names the one of another recording that sounds most alike.

    Args:
        clips: UrbanSound8K's know recording and fold already; others are grouped and dealt class by class.
        ordered_map: groups classes in other processes (see `workers`).
    """
    recorded = [clip for clip in clips if clip.recording_id is not None]
    classes = _by_class(clip for clip in clips if clip.recording_id is None)
    groups_of_class = ordered_map(_group, [[clip.path for clip in of_class] for of_class in classes], 1)
    for of_class, (groups, nearest) in zip(classes, groups_of_class, strict=True):
        # A recording is named after its first clip: the groups' numbers depend on the order of the search.
        first_clip: dict[int, str] = {}
        for clip, group, index in zip(of_class, groups, nearest, strict=True):
            recording = first_clip.setdefault(group, clip.clip_id)
            like = None if index is None else of_class[index].clip_id
            recorded.append(replace(clip, recording_id=recording, nearest_clip=like))
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


def _group(paths: Sequence[Path]) -> tuple[list[int], list[int | None]]:
    """The group of each clip, and the nearest clip of another group; each file is decoded once."""
    descriptions: list[np.ndarray] = []

    def decode() -> Iterator[tuple[np.ndarray, int]]:
        for path in paths:  # one at a time, as grouping keeps only a small version of each
            with decoded_again(path):
                recording = read_recording(path)
                mono = recording.mono(recording.sampling_rate)
                descriptions.append(mel_quantiles(mono, recording.sampling_rate))
            yield mono, recording.sampling_rate

    groups = group_recordings(decode()).labels.tolist()
    return groups, nearest_in_other_groups(np.array(descriptions), groups)


def _deal(clips: Sequence[SourceClip]) -> list[SourceClip]:
    """Deal the clips of one class: by whole runs of neighbouring recordings, and one by one as the paper does."""
    clips_of_recording: dict[str, list[str]] = defaultdict(list)
    for clip in clips:
        clips_of_recording[str(clip.recording_id)].append(clip.clip_id)
    grouped_by_content = any(clip.nearest_clip for clip in clips)  # who names recordings knows where they end
    runs = join_into_runs(clips_of_recording) if grouped_by_content else {r: [r] for r in clips_of_recording}
    fold_of_run = deal_strict_folds(
        {run: [c for r in members for c in clips_of_recording[r]] for run, members in runs.items()}
    )
    strict = {recording: fold_of_run[run] for run, members in runs.items() for recording in members}
    paper = deal_paper_folds(clip.clip_id for clip in clips)
    return [replace(c, fold=strict[str(c.recording_id)], fold_paper=paper[c.clip_id]) for c in clips]
