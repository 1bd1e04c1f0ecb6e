"""Decode, mix, resample and encode clips in several processes. Light to import, as every worker process imports it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tqdm.auto import tqdm

from quaclrs.audio import AudioError, encode_flac, read_recording
from quaclrs.data import STORED_SAMPLING_RATE
from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES

from .sources import SourceClip

_CLIPS_PER_TASK = 16


def transcode_clips(clips: Sequence[SourceClip], num_proc: int = 1) -> Iterator[dict[str, Any]]:
    """Yield the data set's rows in the order of `clips`, whatever the number of processes.

    Raises:
        QuaclrsError: at the end, when clips could not be decoded; it names the first and says how many more.
    """
    progress = tqdm(total=len(clips), desc="transcoding", unit="clip")
    broken: list[str] = []
    with progress:
        for result in _map(clips, num_proc):
            progress.update()
            if isinstance(result, str):
                broken.append(result)
            else:
                yield result
    refuse_broken(broken)


def refuse_broken(reasons: Sequence[str]) -> None:
    """Raise the first reason why a clip cannot be decoded, with the number of other clips; none raises nothing."""
    if reasons:
        others = f" ({len(reasons) - 1} more files are broken too)" if len(reasons) > 1 else ""
        raise QuaclrsError(f"{reasons[0]}{others}")


def _map(clips: Sequence[SourceClip], num_proc: int) -> Iterator[dict[str, Any] | str]:
    if num_proc == 1:
        yield from map(_transcode, clips)
        return
    # Fresh interpreters: forking a process that holds threads of Arrow or BLAS can deadlock.
    with ProcessPoolExecutor(num_proc, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_transcode, clips, chunksize=_CLIPS_PER_TASK)


def _transcode(clip: SourceClip) -> dict[str, Any] | str:
    """A row of the data set, or the reason why the clip cannot be decoded."""
    try:
        recording = read_recording(clip.path)
    except AudioError as error:
        return str(error)
    flac = encode_flac(recording.mono(STORED_SAMPLING_RATE), STORED_SAMPLING_RATE)
    return {
        "audio": {"bytes": flac, "path": f"{clip.clip_id.replace('/', '_')}.flac"},
        "label": CLASS_NAMES.index(clip.label),
        "clip_id": clip.clip_id,
        "source": clip.source,
        "recording_id": clip.recording_id,
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
