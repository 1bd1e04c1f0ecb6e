"""The rows of the data set before any is made: their columns, their order, and the shard set of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from datasets import Audio, ClassLabel, Features, Image, Value

from quaclrs.augment import ORIGINAL
from quaclrs.data import STORED_SAMPLING_RATE
from quaclrs.models import LogMelConfig

from ..sources.source import SourceClip
from .pictures import (
    ClipVariants,
    LibrosaFrontEnd,
    PictureRows,
    check_kind,
    choose_copies,
    picture_columns,
)
from .shards import ShardSet, shard_sets
from .transcode import RowDrawer


def make_features(class_names: Sequence[str], kind: str = "audio") -> Features:
    """The row contract, with labels that index into `class_names`.

    A recording must not be split over folds: `fold` is the strict dealing, `fold_paper` the paper's. Rows of the kinds
    `spectrogram` and `augmented` hold an `image` instead of `audio`, those of `augmented` also `parent_clip_id` and
    `variant`.
    """
    features = Features(
        {
            "audio": Audio(sampling_rate=STORED_SAMPLING_RATE),
            "label": ClassLabel(names=list(class_names)),
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
    if kind == "audio":
        return features
    return Features(picture_columns(features, Image(), Value("string"), named=kind == "augmented"))


@dataclass(frozen=True)
class BuildConfig:
    """How the Parquet folder is written.

    Args:
        num_proc: processes that decode and transcode.
        skip_broken: leave out files that cannot be decoded; without it they stop the build.
        kind: `audio`, `spectrogram` (a picture of every clip) or `augmented` (of every clip and its variants).
        image_size: height and width of pictures in pixels, the front end's 224 where absent; Inception takes 299.
        seed: of the draws in augmented variants.
        fill_per_fold: with `augmented`, rows to which every class and paper fold is filled; all variants where absent.
        shard_bytes: a shard is closed once its audio or pictures exceed this many bytes.
        rows_per_group: rows of a Parquet row group, the unit in which readers stream.
    """

    num_proc: int = 1
    skip_broken: bool = False
    kind: str = "audio"
    image_size: int | None = None
    seed: int = 0
    fill_per_fold: int | None = None
    shard_bytes: int = 450_000_000
    rows_per_group: int = 100

    def __post_init__(self) -> None:
        check_kind(self.kind, self.image_size, self.seed, self.fill_per_fold)


@dataclass(frozen=True)
class RowPlan:
    """The rows of a data set before any is made, for the Parquet folder and the `datasets` builder alike.

    Attributes:
        tasks: clips in the order of their rows: originals as they are, augmented copies as `ClipVariants`.
        draw: makes rows with pictures of them; None makes rows with audio.
        sets: shard set of every clip's original.
        class_names: labels index into these.
        features: columns of the rows.
    """

    tasks: list[SourceClip]
    draw: RowDrawer | None
    sets: dict[str, ShardSet]
    class_names: list[str]
    features: Features

    def set_of(self, row: dict[str, Any]) -> ShardSet:
        """The shard set that a row belongs to."""
        original = self.sets[row.get("parent_clip_id", row["clip_id"])]
        return replace(original, copies=row.get("variant", ORIGINAL) != ORIGINAL)


def plan_rows(clips: list[SourceClip], class_names: list[str], config: BuildConfig) -> RowPlan:
    """Say which rows the clips become; prints a line where `fill_per_fold` is out of reach.

    Args:
        clips: every clip with recording and fold, by shard set and id.
        class_names: of the labels.
        config: see `BuildConfig`.
    """
    sets = shard_sets(clips)
    tasks, draw = list(clips), None
    if config.kind != "audio":
        log_mel = LogMelConfig(image_size=config.image_size or LogMelConfig.image_size).to_dict()
        named = config.kind == "augmented"
        draw = PictureRows(LibrosaFrontEnd(log_mel), log_mel["image_size"], config.seed, named)
    if config.kind == "augmented":
        copies, short = choose_copies(clips, config.fill_per_fold)
        if short:
            more = f" and {len(short) - 6} more" if len(short) > 6 else ""
            print(
                f"--fill-per-fold {config.fill_per_fold} is not reached where clips are few, though all 12 variants of "
                f"each are made: {', '.join(short[:6])}{more}"
            )
        tasks += [ClipVariants.of(clip, copies[clip.clip_id]) for clip in clips if copies[clip.clip_id]]
        tasks.sort(key=lambda t: (replace(sets[t.clip_id], copies=isinstance(t, ClipVariants)), t.clip_id))
    return RowPlan(tasks, draw, sets, class_names, make_features(class_names, config.kind))
