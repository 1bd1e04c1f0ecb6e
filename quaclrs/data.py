"""Load UrbanSound13 and split it by fold without leaks. What makes model input of its rows is in `transforms.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .dataset_checks import (
    LIGHT,
    NEEDED,
    open_dataset,
    reason_of,
    refuse_faulty_rows,
    refuse_missing_columns,
    refuse_without_sound,
)
from .errors import QuaclrsError
from .extras import named_extra
from .files import refuse_unwritable_cache
from .folds import SPLITS, FoldPlan, FoldProtocol, find_complete_folds, fold_column, folds_of_recordings
from .hub import may_be_repo_id
from .labels import URBANSOUND8K
from .models import LogMelConfig
from .neighbours import describe_leaks, leak_by_class

if TYPE_CHECKING:
    from datasets import Dataset

#: What belongs beside figures of synthetic clips.
SYNTHETIC_WARNING = "the clips are synthetic: these figures show that everything works, and say nothing about streets"

DEFAULT_REPO = "quaclrs/urbansound13"

#: Sampling rate in Hz at which clips are stored: the front end's (paper, Table 1).
STORED_SAMPLING_RATE = LogMelConfig().sampling_rate


def load_urbansound13(
    path_or_repo: str | os.PathLike[str] = DEFAULT_REPO,
    fold: int | None = None,
    split: str | None = None,
    protocol: FoldProtocol = "strict",
    streaming: bool = False,
) -> Any:
    """Load the data set with its audio still encoded, so that neither torchcodec nor FFmpeg is needed.

    Args:
        path_or_repo: a folder that the builder wrote, or a repository id on the Hub.
        fold: test fold; without it all clips come as one `Dataset`.
        split: `train`, `validation` or `test` of that fold; without it a `DatasetDict` of the three.
        protocol: `strict` or `paper` (see `FoldPlan`).
        streaming: read rows as they are needed (`IterableDataset`), by the ready strict configs of the data set.

    Raises:
        QuaclrsError: the folder or repository is not there or is not such a data set, a row of it is faulty (see
            `refuse_faulty_rows`), its card renames labels, the fold is unknown or incomplete, a recording lies in two
            folds that the builder dealt, or the paper protocol is asked of a stream.
    """
    with named_extra():
        from datasets import DatasetDict

    if split is not None and fold is None:
        raise QuaclrsError(f"split {split!r} needs a test fold; pass fold=1 (or another complete fold)")
    if split is not None:
        _refuse_unknown(split)
    if streaming:
        if protocol != "strict":
            raise QuaclrsError("a stream follows the strict protocol only; load without streaming for protocol 'paper'")
        return _load(path_or_repo, config=f"fold{fold}" if fold else "default", split=split, streaming=True)
    dataset = _load(path_or_repo, split="train")
    _refuse_split_recordings(dataset)
    if fold is None:
        return dataset
    if split is not None:
        return select_split(dataset, fold, split, protocol)
    plan = plan_folds(dataset, fold, protocol)
    return DatasetDict({name: dataset.select(getattr(plan, name)) for name in SPLITS})


def select_split(dataset: Dataset, fold: int, split: str, protocol: FoldProtocol = "strict") -> Dataset:
    """A split of a test fold of a loaded data set; errors as `load_urbansound13`."""
    _refuse_unknown(split)
    return dataset.select(getattr(plan_folds(dataset, fold, protocol), split))


def _refuse_unknown(split: str) -> None:
    if split not in SPLITS:
        raise QuaclrsError(f"unknown split {split!r}; choose {', '.join(SPLITS)}")


def plan_folds(dataset: Dataset, test_fold: int, protocol: FoldProtocol = "strict") -> FoldPlan:
    """The `FoldPlan` of a loaded data set; errors as `FoldPlan.for_fold`."""
    return FoldPlan.for_fold(
        test_fold, _folds(dataset, protocol), dataset["source"][:], dataset["recording_id"][:], protocol=protocol
    )


def complete_folds(dataset: Dataset, protocol: FoldProtocol = "strict") -> tuple[int, ...]:
    """Folds of a loaded data set that can be tested on, ascending: those with clips of all of its sources."""
    return find_complete_folds(_folds(dataset, protocol), dataset["source"][:])


def _folds(dataset: Dataset, protocol: FoldProtocol) -> list[int]:
    column = fold_column(protocol)
    if column not in dataset.column_names:
        raise QuaclrsError(f"protocol {protocol!r} needs the column {column}, which the data set lacks; add it")
    return dataset[column][:]


def is_synthetic(dataset: Dataset) -> bool:
    """True where any clip is of the embedded sample, by its attribution."""
    known = "attribution" in dataset.column_names
    return known and any(map(_says_synthetic, dataset.unique("attribution")))


def synthetic_clips(dataset: Dataset) -> list[bool]:
    """Flag the clips of the embedded sample."""
    if "attribution" not in dataset.column_names:
        return [False] * len(dataset)
    return list(map(_says_synthetic, dataset["attribution"][:]))


def _says_synthetic(attribution: str | None) -> bool:
    return attribution is not None and attribution.startswith("synthesised")


def leak_warning(dataset: Dataset, protocol: FoldProtocol = "strict") -> str:
    """Notice beside figures of the new classes: how far the folds of the whole data set still leak.

    Empty where it was built without nearest neighbours, or has no class whose folds were dealt.
    """
    if "nearest_clip" not in dataset.column_names:
        return ""
    names = class_names(dataset)
    labels = [names[label] for label in dataset["label"][:]]
    clips, nearest, recordings = (dataset[name][:] for name in ("clip_id", "nearest_clip", "recording_id"))
    return describe_leaks(leak_by_class(labels, clips, nearest, recordings, _folds(dataset, protocol)))


def class_names(dataset: Dataset) -> list[str]:
    """Class names in the order of the label indices."""
    return list(dataset.features["label"].names)


def _load(
    path_or_repo: str | os.PathLike[str], config: str = "default", split: str | None = None, streaming: bool = False
) -> Any:
    from datasets import Audio

    name = os.fspath(path_or_repo)
    if not Path(name).is_dir() and not may_be_repo_id(name):
        raise QuaclrsError(f"data set folder {name} does not exist; build one with python -m dataset_builder build")
    if Path(name).is_dir() and not (Path(name) / "README.md").is_file():
        raise QuaclrsError(f"{name} holds no built data set (no README.md); run python -m dataset_builder build")
    try:
        dataset = open_dataset(name, config, split, streaming)
        first = dataset if split else next(iter(dataset.values()))
        refuse_missing_columns(first.column_names or (), ("audio", *NEEDED), name)
        dataset = dataset.cast_column("audio", Audio(decode=False))
    except QuaclrsError:
        raise
    except Exception as error:  # the Hub client and the Parquet reader fail in many ways
        refuse_unwritable_cache(error)
        raise QuaclrsError(
            f"data set {name} cannot be loaded ({reason_of(error)}); give a folder or a Hub repository"
        ) from error
    if not streaming:
        _refuse_faulty(dataset, name)
    return dataset


def _refuse_faulty(dataset: Dataset, name: str) -> None:
    light = dataset.select_columns([column for column in LIGHT if column in dataset.column_names])
    rows = light.with_format("arrow")[:]
    refuse_faulty_rows(rows, light.features, name)
    sounds = dataset.data.column("audio")
    present = [np.asarray(_has_bytes(chunk)) for chunk in sounds.chunks]
    refuse_without_sound(np.concatenate([np.zeros(0, dtype=bool), *present]), rows["clip_id"].to_numpy(), name)


def _has_bytes(sounds: Any) -> Any:
    """True for each sound of an Arrow array that holds bytes."""
    import pyarrow.compute as pc

    length = pc.binary_length(sounds.field("bytes"))
    return pc.and_(sounds.is_valid(), pc.fill_null(pc.greater(length, 0), False))


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
