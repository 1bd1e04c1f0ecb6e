"""Load UrbanSound13, split it by fold without leaks, and turn its rows into model input."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .audio import load_audio
from .errors import QuaclrsError
from .folds import SPLITS, FoldPlan, folds_of_recordings
from .folds import Protocol as FoldProtocol
from .labels import URBANSOUND8K

if TYPE_CHECKING:
    from datasets import Dataset

DEFAULT_REPO = "quaclrs/urbansound13"

#: Sampling rate in Hz at which clips are stored; equal to the front end's default (paper, Table 1).
STORED_SAMPLING_RATE = 48_000


class FeatureExtractor(Protocol):
    """What `ClipTransform` needs of a feature extractor: its rate, and a call that makes `input_values`."""

    @property
    def sampling_rate(self) -> int: ...

    def __call__(self, raw_speech: Any, sampling_rate: int | None = None) -> Any: ...


def load_urbansound13(
    path_or_repo: str | os.PathLike = DEFAULT_REPO,
    fold: int | None = None,
    split: str | None = None,
    protocol: FoldProtocol = "strict",
) -> Any:
    """Load the data set with its audio still encoded, so that neither torchcodec nor FFmpeg is needed.

    Args:
        path_or_repo: a folder that the builder wrote, or a repository id on the Hub.
        fold: test fold; without it all clips come as one `Dataset`.
        split: `train`, `validation` or `test` of that fold; without it a `DatasetDict` of the three.
        protocol: `strict` or `paper` (see `FoldPlan`).

    Raises:
        QuaclrsError: the folder or repository is not there or is no such data set, the fold is unknown or incomplete,
            or a recording lies in two folds that the builder dealt.
    """
    from datasets import DatasetDict

    if split is not None and fold is None:
        raise QuaclrsError(f"split {split!r} needs a test fold; pass fold=1 (or another complete fold)")
    if split is not None and split not in SPLITS:
        raise QuaclrsError(f"unknown split {split!r}; choose {', '.join(SPLITS)}")
    dataset = _load_all_clips(path_or_repo)
    _refuse_split_recordings(dataset)
    if fold is None:
        return dataset
    plan = plan_folds(dataset, fold, protocol)
    if split is not None:
        return dataset.select(getattr(plan, split))
    return DatasetDict({name: dataset.select(getattr(plan, name)) for name in SPLITS})


def plan_folds(dataset: Dataset, test_fold: int, protocol: FoldProtocol = "strict") -> FoldPlan:
    """The `FoldPlan` of a loaded data set; errors as `FoldPlan.for_fold`."""
    column = "fold_paper" if protocol == "paper" else "fold"
    return FoldPlan.for_fold(
        test_fold, dataset[column][:], dataset["source"][:], dataset["recording_id"][:], protocol=protocol
    )


def class_names(dataset: Dataset) -> list[str]:
    """Class names in the order of the label indices."""
    return list(dataset.features["label"].names)


def _load_all_clips(path_or_repo: str | os.PathLike) -> Dataset:
    from datasets import Audio, load_dataset

    name = os.fspath(path_or_repo)
    if not Path(name).is_dir() and (Path(name).is_absolute() or name.count("/") != 1 or name.startswith(".")):
        raise QuaclrsError(f"data set folder {name} does not exist; build one with python -m dataset_builder build")
    if Path(name).is_dir() and not (Path(name) / "README.md").is_file():
        raise QuaclrsError(f"{name} holds no built data set (no README.md); run python -m dataset_builder build")
    try:
        dataset = load_dataset(name, split="train")
    except Exception as error:  # the Hub client and the Parquet reader fail in many ways
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise QuaclrsError(f"data set {name} cannot be loaded ({reason}); give a folder or a Hub repository") from error
    missing = sorted({"audio", "label", "clip_id", "source", "recording_id", "fold"} - set(dataset.column_names))
    if missing:
        raise QuaclrsError(f"data set {name} has no column {', '.join(missing)}; run python -m dataset_builder build")
    return dataset.cast_column("audio", Audio(decode=False))


def _refuse_split_recordings(dataset: Dataset) -> None:
    """UrbanSound8K's official folds split a few recordings, which `FoldPlan` excludes; dealt folds may split none."""
    dealt = [i for i, source in enumerate(dataset["source"][:]) if source != URBANSOUND8K]
    folds, recordings = dataset["fold"][:], dataset["recording_id"][:]
    for recording, found in folds_of_recordings([folds[i] for i in dealt], [recordings[i] for i in dealt]).items():
        if len(found) > 1:
            raise QuaclrsError(
                f"recording {recording} lies in folds {', '.join(map(str, found))}, so training would see test "
                "recordings; build the data set again with python -m dataset_builder build"
            )


class ClipTransform:
    """Turns rows into `input_values` and `labels`: for `Dataset.with_transform`, in any number of workers.

    Args:
        feature_extractor: makes each clip mono, of its rate and of its length.
    """

    def __init__(self, feature_extractor: FeatureExtractor) -> None:
        self.feature_extractor = feature_extractor

    def __call__(self, rows: dict[str, list]) -> dict[str, Any]:
        rate = self.feature_extractor.sampling_rate
        clips = [load_audio(audio["bytes"], rate, name=audio.get("path")) for audio in rows["audio"]]
        batch: dict[str, Any] = {"input_values": self.feature_extractor(clips, sampling_rate=rate)["input_values"]}
        if "label" in rows:
            batch["labels"] = np.asarray(rows["label"], dtype=np.int64)
        return batch
