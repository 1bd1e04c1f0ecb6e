"""Build UrbanSound13: give every clip a recording and a fold, and write Parquet shards fold by fold."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Audio, ClassLabel, Features, Value

from quaclrs.audio import AudioError, read_recording
from quaclrs.data import STORED_SAMPLING_RATE
from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES

from .card import write_card
from .folds import deal_paper_folds, deal_strict_folds
from .grouping import group_recordings
from .shards import shard_sets
from .sources import SourceClip, SourceReport
from .transcode import refuse_broken, transcode_clips

#: The row contract. A recording must not be split over folds: `fold` is the strict dealing, `fold_paper` the paper's.
FEATURES = Features(
    {
        "audio": Audio(sampling_rate=STORED_SAMPLING_RATE),
        "label": ClassLabel(names=list(CLASS_NAMES)),
        "clip_id": Value("string"),
        "source": Value("string"),
        "recording_id": Value("string"),
        "fold": Value("int8"),
        "fold_paper": Value("int8"),
        "start": Value("float32"),
        "end": Value("float32"),
        "salience": Value("int8"),
        "duration": Value("float32"),
        "original_sampling_rate": Value("int32"),
        "original_channels": Value("int8"),
        "licence": Value("string"),
        "attribution": Value("string"),
    }
)


@dataclass(frozen=True)
class BuildConfig:
    """How the Parquet folder is written.

    Args:
        num_proc: processes that transcode.
        shard_bytes: a shard is closed once its audio exceeds this many bytes.
        rows_per_group: rows of a Parquet row group, the unit in which readers stream.
    """

    num_proc: int = 1
    shard_bytes: int = 450_000_000
    rows_per_group: int = 100


def build_urbansound13(reports: list[SourceReport], output: Path, config: BuildConfig | None = None) -> dict[str, Any]:
    """Write the data set of some sources as a folder that `load_dataset` reads.

    Args:
        reports: what was found of each source.
        output: a folder that does not exist yet; it appears complete or not at all.
        config: see `BuildConfig`.

    Returns:
        The figures that the card shows: clips by class, fold and source.

    Raises:
        QuaclrsError: the folder exists, or clips cannot be decoded (the message names the first and their number).
    """
    config = config or BuildConfig()
    with written_at_once(output) as partial:
        clips = assign_recordings_and_folds([clip for report in reports for clip in report.clips])
        (partial / "data").mkdir()
        sets = shard_sets(clips)
        rows = transcode_clips(clips, config.num_proc)
        for name, rows_of_set in groupby(rows, key=lambda row: sets[row["clip_id"]].name):
            _write_shards(partial / "data", name, rows_of_set, config)
        return write_card(partial, clips, set(sets.values()), reports)


def assign_recordings_and_folds(clips: list[SourceClip]) -> list[SourceClip]:
    """Give clips without a known recording one by content, deal whole recordings to folds, and sort by fold and id."""
    assigned = [clip for clip in clips if clip.recording_id is not None]
    clips_of_class: dict[tuple[str, str], list[SourceClip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.clip_id):
        if clip.recording_id is None:
            clips_of_class[clip.source, clip.label].append(clip)
    for of_class in clips_of_class.values():
        assigned += _group_and_deal(of_class)
    sets = shard_sets(assigned)
    return sorted(assigned, key=lambda clip: (sets[clip.clip_id], clip.clip_id))


def _group_and_deal(clips: list[SourceClip]) -> list[SourceClip]:
    groups = group_recordings(_decode_mono(clips)).labels.tolist()
    # A recording is named after its first clip, so its name depends on nothing but the set of clips.
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


def _decode_mono(clips: list[SourceClip]) -> list[Any]:
    waveforms, broken = [], []
    for clip in clips:
        try:
            recording = read_recording(clip.path)
            waveforms.append((recording.waveform.mean(axis=0), recording.sampling_rate))
        except AudioError as error:
            broken.append(str(error))
    refuse_broken(broken)
    return waveforms


def _write_shards(folder: Path, name: str, rows: Iterable[dict[str, Any]], config: BuildConfig) -> None:
    """Write rows as shards `fold01-00000.parquet`, …, each at most about `shard_bytes` large."""
    writer, shard, written = None, 0, 0
    rows = iter(rows)
    while batch := list(islice(rows, config.rows_per_group)):
        if writer is None or written > config.shard_bytes:
            if writer is not None:
                writer.close()
            writer = pq.ParquetWriter(folder / f"{name}-{shard:05d}.parquet", FEATURES.arrow_schema)
            shard, written = shard + 1, 0
        writer.write_table(pa.Table.from_pylist(batch, schema=FEATURES.arrow_schema))
        written += sum(len(row["audio"]["bytes"]) for row in batch)
    if writer is not None:
        writer.close()


@contextmanager
def written_at_once(output: Path) -> Iterator[Path]:
    """Yield a folder beside `output` that is renamed to it on success and removed on failure.

    Raises:
        QuaclrsError: `output` exists and is not an empty folder, or cannot be created.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise QuaclrsError(f"{output} exists already; choose another --output or remove it")
    partial = output.with_name(output.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    except OSError as error:
        raise QuaclrsError(f"{output} cannot be created ({error.strerror}); choose another --output") from error
    try:
        yield partial
        if output.exists():
            output.rmdir()
        partial.rename(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
