"""The data card (README.md): `configs` and `dataset_info` for `load_dataset`, and what was built, read from the shards.

Everything in it is counted in the Parquet files beside it, so that it cannot say anything else than what they hold.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import yaml
from datasets import DatasetInfo, Features
from datasets.info import DatasetInfosDict
from datasets.splits import SplitDict, SplitInfo
from huggingface_hub import DatasetCardData

from quaclrs.augment import ORIGINAL, parent_and_variant
from quaclrs.folds import SPLITS, FoldPlan, find_complete_folds
from quaclrs.models import LogMelConfig

from ..sources.report import SourceReport
from ..table.rows import BuildConfig
from ..table.shards import ShardSet, files_of_split
from .class_pictures import draw_classes
from .text import describe

#: Licences of sources, the most restrictive first -> their names on the Hub.
_LICENCES = {"CC BY-NC 3.0": "cc-by-nc-3.0", "CC BY 4.0": "cc-by-4.0", "Apache-2.0": "apache-2.0"}


def write_card(
    folder: Path, sets: set[ShardSet], reports: list[SourceReport], config: BuildConfig | None = None
) -> dict[str, Any]:
    """Write README.md into a folder whose shards lie in `data/`.

    Args:
        folder: the data set's folder.
        sets: the shard sets that were written.
        reports: what was found, and missing, of each source.
        config: how the rows were made.

    Returns:
        Figures of the build: `clips`, `clips_by_class`, `recordings`, `complete_folds`, `synthetic`.
    """
    config = config or BuildConfig()
    rows = read_rows(folder)
    clips = rows[[parent_and_variant(clip_id)[1] == ORIGINAL for clip_id in rows["clip_id"]]]
    folds, sources = clips["fold"].tolist(), clips["source"].tolist()
    complete = find_complete_folds(folds, sources)
    plans = {
        fold: FoldPlan.for_fold(fold, folds, sources, clips["recording_id"].tolist())
        for fold in (complete if len(complete) > 2 or _trains_elsewhere(clips, complete) else ())
    }
    synthetic = bool(reports) and all(report.synthetic for report in reports)
    figures = {
        "clips": len(clips),
        "clips_by_class": clips["label"].value_counts().sort_index().to_dict(),
        "recordings": clips["recording_id"].nunique(),
        "complete_folds": list(complete),
        "synthetic": synthetic,
        "kind": config.kind,
        "log_mel": LogMelConfig().to_dict(),
    }
    header = {
        "pretty_name": "UrbanSound13" + (" (synthetic sample)" if synthetic else ""),
        "license": _licence(set(clips["licence"])),
        "task_categories": ["audio-classification"],
        "tags": ["audio", "urban-sound", "environmental-sound-classification"] + (["synthetic"] if synthetic else []),
        "size_categories": [_size_category(len(rows))],
        **_loading_metadata(folder, sorted(sets), plans),
    }
    if config.kind == "audio":
        draw_classes(folder, clips)
    text = describe(header["pretty_name"], clips, reports, figures)
    card = f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n{text}"
    (folder / "README.md").write_text(card, encoding="utf-8", errors="backslashreplace")
    return figures


def read_rows(folder: Path) -> pd.DataFrame:
    """Every row but its audio or image, labels by name, with the columns `file` and `row` (in the file)."""
    files = sorted((folder / "data").glob("*.parquet"))
    heavy = {"audio", "image"}
    tables = []
    for file in files:
        table = pq.read_table(file, columns=[name for name in pq.read_schema(file).names if name not in heavy])
        tables.append(table.to_pandas().assign(file=file.name, row=range(table.num_rows)))
    clips = pd.concat(tables, ignore_index=True)
    clips["label"] = pd.Categorical.from_codes(clips["label"], _features(files[0])["label"].names).astype(str)
    return clips


def _features(file: Path) -> Features:
    return Features.from_arrow_schema(pq.read_schema(file))


def _trains_elsewhere(clips: pd.DataFrame, complete: tuple[int, ...]) -> bool:
    """True if two complete folds can test and validate with clips of other folds left to train on."""
    return len(complete) == 2 and not set(clips["fold"]) <= set(complete)


def _loading_metadata(folder: Path, sets: list[ShardSet], plans: dict[int, FoldPlan]) -> dict[str, Any]:
    """`configs`: `default` with one split and a strict config a complete fold, all naming the same files.

    `datasets` caches a local folder under its name and a hash of these entries alone: without the sizes and the
    fingerprint, a folder built anew in the same place would give the old clips.
    """
    splits_of: dict[str, dict[str, list[str]]] = {"default": {"train": ["data/*.parquet"]}}
    for fold, plan in plans.items():
        splits_of[f"fold{fold}"] = {split: files_of_split(split, sets, plan) for split in SPLITS}
    fingerprint = _fingerprint(folder)
    configs, infos = [], DatasetInfosDict()
    for name, splits in splits_of.items():
        configs.append(
            {
                "config_name": name,
                **({"default": True} if name == "default" else {}),
                "description": f"content {fingerprint}",
                "data_files": [{"split": split, "path": paths} for split, paths in splits.items()],
            }
        )
        infos[name] = _info(folder, splits)
    card = DatasetCardData()
    infos.to_dataset_card_data(card)
    return {"configs": configs, "dataset_info": card.to_dict()["dataset_info"]}


def _info(folder: Path, splits: dict[str, list[str]]) -> DatasetInfo:
    files_of = {split: sorted({f for p in paths for f in folder.glob(p)}) for split, paths in splits.items()}
    every = {file for files in files_of.values() for file in files}
    metadata = {file: pq.read_metadata(file) for file in every}

    def size(file: Path) -> int:
        return sum(metadata[file].row_group(i).total_byte_size for i in range(metadata[file].num_row_groups))

    split_infos = {
        split: SplitInfo(split, sum(map(size, files)), sum(metadata[file].num_rows for file in files))
        for split, files in files_of.items()
    }
    return DatasetInfo(
        features=_features(min(every)),
        splits=SplitDict(split_infos),
        download_size=sum(file.stat().st_size for file in every),
        dataset_size=sum(info.num_bytes for info in split_infos.values()),
    )


def _fingerprint(folder: Path) -> str:
    """Hash of every shard's name and bytes."""
    digest = hashlib.sha256()
    for file in sorted((folder / "data").glob("*.parquet")):
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def _licence(licences: set[str]) -> str:
    """The Hub's name of the licence of the whole: its most restrictive part's, where all parts have a known one."""
    if not licences <= _LICENCES.keys():
        return "other"
    return next(name for licence, name in _LICENCES.items() if licence in licences)


def _size_category(rows: int) -> str:
    return "n<1K" if rows < 1000 else "1K<n<10K" if rows < 10_000 else "10K<n<100K"
