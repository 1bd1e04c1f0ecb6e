"""Decode, mix, resample and encode clips in several processes. Light to import, as every worker process imports it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

from tqdm.auto import tqdm

from quaclrs.audio import encode_flac, read_recording
from quaclrs.data import STORED_SAMPLING_RATE

from ..recordings.broken import decoded_again
from ..recordings.workers import OrderedMap, map_in_this_process
from ..sources.report import SourceClip

_CLIPS_PER_TASK = 16

#: A row with audio to the rows that stand for it instead, for instance with pictures.
RowDrawer = Callable[[dict[str, Any]], list[dict[str, Any]]]


def transcode_clips(
    clips: Sequence[SourceClip],
    class_names: Sequence[str],
    ordered_map: OrderedMap = map_in_this_process,
    draw: RowDrawer | None = None,
) -> Generator[dict[str, Any], None, None]:
    """Yield the data set's rows in the order of `clips`, whatever the number of processes.

    Args:
        clips: with recording and fold.
        class_names: a row's `label` is the index of the clip's label in these.
        ordered_map: runs it in other processes (see `workers`).
        draw: called in those processes, so it can be pickled; without it every clip is one row with audio.

    Raises:
        AudioError: a clip cannot be decoded (`leave_out_broken` finds such clips before).
    """
    transcode = partial(transcode_clip, class_names=tuple(class_names), draw=draw)
    with tqdm(total=len(clips), desc="transcoding", unit="clip") as progress:
        for rows in ordered_map(transcode, clips, _CLIPS_PER_TASK):
            progress.update()
            yield from rows


def transcode_clip(clip: SourceClip, class_names: Sequence[str], draw: RowDrawer | None = None) -> list[dict[str, Any]]:
    """The rows of a clip, one unless `draw` makes several."""
    with decoded_again(clip.path):
        recording = read_recording(clip.path)
        flac = encode_flac(recording.mono(STORED_SAMPLING_RATE), STORED_SAMPLING_RATE)
    row = {
        "audio": {"bytes": flac, "path": f"{clip.clip_id.replace('/', '_')}.flac"},
        "label": class_names.index(clip.label),
        "clip_id": clip.clip_id,
        "source": clip.source,
        "recording_id": clip.recording_id,
        "nearest_clip": clip.nearest_clip,
        "fold": clip.fold,
        "fold_paper": clip.fold_paper,
        "start": clip.start,
        "end": clip.end,
        "salience": clip.salience,
        "duration": recording.duration,
        "original_sampling_rate": recording.sampling_rate,
        "original_channels": recording.waveform.shape[0],
        "licence": clip.licence,
        "attribution": clip.attribution,
    }
    return [row] if draw is None else draw(row)
