"""The rows of the data set before any is made: their columns, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Audio, ClassLabel, Features, Image, Value

from quaclrs.data import STORED_SAMPLING_RATE
from quaclrs.errors import QuaclrsError

from .pictures import CONTENT_OF_KIND


def make_features(class_names: Sequence[str], kind: str = "audio") -> Features:
    """The row contract, with labels that index into `class_names`.

    A recording must not be split over folds: `fold` is the strict dealing, `fold_paper` the paper's. Rows of the kinds
    `spectrogram` and `augmented` hold an `image` instead of `audio`, and the `variant` of the clip that it shows.
    """
    content = {"audio": Audio(sampling_rate=STORED_SAMPLING_RATE)} if kind == "audio" else {"image": Image()}
    return Features(
        {
            **content,
            "label": ClassLabel(names=list(class_names)),
            "clip_id": Value("string"),
            **({} if kind == "audio" else {"variant": Value("string")}),
            "source": Value("string"),
            "recording_id": Value("string"),
            "nearest_clip": Value("string"),
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
    """Options of the Parquet folder.

    Args:
        num_proc: processes that decode and transcode.
        skip_broken: leave out files that cannot be decoded; without it they stop the build.
        kind: `audio`, `spectrogram` (a picture of every clip) or `augmented` (of every clip and its variants).
        shard_bytes: a shard is closed once its audio or pictures exceed this many bytes.
        rows_per_group: rows of a Parquet row group, the unit in which readers stream.
    """

    num_proc: int = 1
    skip_broken: bool = False
    kind: str = "audio"
    shard_bytes: int = 450_000_000
    rows_per_group: int = 100

    def __post_init__(self) -> None:
        if self.kind not in CONTENT_OF_KIND:
            raise QuaclrsError(f"--config is {self.kind!r}; choose {', '.join(CONTENT_OF_KIND)}")
