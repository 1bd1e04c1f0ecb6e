"""Data sets of others: what a card says and the files hold is one, and every row is what it is taken for.

All of it is looked at once, when a data set is loaded, without decoding any audio.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Collection, Iterator, Sequence
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import QuaclrsError, QuaclrsWarning, first_line_of
from .files import refuse_pointer

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import DatasetBuilder, Features

#: Columns that hold what a row stands for, beside its sound; each of them in every row.
NEEDED = ("label", "clip_id", "source", "recording_id", "fold")

#: Columns of text and of folds that may be there; text may be null.
_MORE_TEXT, _MORE_FOLDS = ("nearest_clip", "licence", "attribution"), ("fold_paper",)

#: Columns that `refuse_faulty_rows` looks at where they are there.
LIGHT = (*NEEDED, *_MORE_FOLDS, *_MORE_TEXT)

_FOLDS = range(1, 11)

_ADVICE = "correct the data set, or build it with python -m dataset_builder build"


def open_dataset(name: str, config: str | None = None, split: str | None = None, streaming: bool = False) -> Any:
    """`datasets.load_dataset`, without three of its traps.

    It takes the label names of a card for true, whatever the files beside it call them. It gives the rows that it has
    cached of a folder of the same name and card, whatever lies in this one. And it fails where its cache is damaged,
    again and again; here that is told in a warning, and the cache is made again.

    Args:
        name: folder or Hub repository.
        config, split, streaming: as of `load_dataset`.

    Raises:
        QuaclrsError: a file calls its labels otherwise than the card, or than another file; of a stream only the first
            file is looked at. A file of a folder is not a whole Parquet file, or holds other rows than the card counts.
    """
    import pyarrow as pa
    from datasets import load_dataset_builder
    from datasets.exceptions import SplitsVerificationError

    for file in sorted(Path(name).rglob("*.parquet")):
        if file.is_file():
            _refuse_no_parquet(file)
    cache = _cache_of(Path(name))
    try:
        builder = load_dataset_builder(name, config, cache_dir=cache)
    except (JSONDecodeError, UnicodeDecodeError) as error:
        if cache is None or not os.path.isdir(cache):
            raise
        _warn_of_damage(name, error)
        shutil.rmtree(cache)
        builder = load_dataset_builder(name, config, cache_dir=cache)
    if streaming:
        refuse_renamed_labels(name, builder.info.features or {}, _schemas(builder, most=1))
        return builder.as_streaming_dataset(split=split)
    try:
        builder.download_and_prepare()
    except SplitsVerificationError as error:
        raise QuaclrsError(
            f"dataset_info in README.md of {name} counts other rows than its files hold; correct it, remove it, or "
            "restore the files"
        ) from error
    refuse_renamed_labels(name, builder.info.features or {}, _schemas(builder))
    try:
        return builder.as_dataset(split=split)
    except (pa.ArrowException, OSError) as error:
        _warn_of_damage(name, error)
        builder.download_and_prepare(download_mode="reuse_cache_if_exists")
        return builder.as_dataset(split=split)


def _warn_of_damage(name: str, error: Exception) -> None:
    message = f"the cache of data set {name} is damaged ({first_line_of(error)}); it is made again"
    warnings.warn(message, QuaclrsWarning, stacklevel=3)


def _refuse_no_parquet(file: Path) -> None:
    """Refuse a file that is not Parquet or has no rows, and name it, which `datasets` would not."""
    import pyarrow.parquet as pq

    refuse_pointer(file)
    try:
        rows = pq.read_metadata(file).num_rows
    except (ValueError, OSError) as error:  # Arrow's of a damaged footer are both
        raise QuaclrsError(
            f"{file} is damaged or cut short, or no Parquet file; copy it from its source again"
        ) from error
    if not rows:
        raise QuaclrsError(f"{file} holds no rows; copy it from its source again, or leave it out")


def reason_of(error: Exception) -> str:
    """First line of what went wrong: `datasets` hides it behind an error of its own."""
    from datasets.exceptions import DatasetGenerationError

    hidden = error.__cause__ if isinstance(error, DatasetGenerationError) else None
    return first_line_of(hidden or error)


def _cache_of(folder: Path) -> str | None:
    """A cache of its own for what lies in a folder now; the usual one for a repository."""
    from datasets.config import HF_DATASETS_CACHE

    if not folder.is_dir():
        return None
    place = folder.resolve()
    facts = [(str(file), file.stat()) for file in sorted(place.rglob("*.parquet"))]
    state = repr([place, *((file, found.st_size, found.st_mtime_ns) for file, found in facts)])
    return os.path.join(HF_DATASETS_CACHE, "folders", hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()[:16])


def refuse_renamed_labels(name: str, told: Any, schemas: Iterator[tuple[str, pa.Schema]]) -> None:
    """Raise a `QuaclrsError` where files call labels otherwise than told.

    Args:
        name: of the data set, for the message.
        told: features by which it is read, those of its card or of its first file.
        schemas: of its files, by their names. What `datasets` has not written says nothing of names.
    """
    from datasets import ClassLabel, Features

    for file, schema in schemas:
        for column, own in Features.from_arrow_schema(schema).items():
            expected = told.get(column)
            if isinstance(own, ClassLabel) and isinstance(expected, ClassLabel) and own.names != expected.names:
                where = next((i for i, (a, b) in enumerate(zip(own.names, expected.names)) if a != b), None)  # noqa: B905
                differ = (
                    f"{len(own.names)} names and not {len(expected.names)}"
                    if where is None
                    else f"{where} {own.names[where]} and not {expected.names[where]}"
                )
                raise QuaclrsError(
                    f"{file} calls {column} {differ}, as dataset_info in README.md or another file of {name} does; "
                    "which is right only its author knows: correct the wrong one"
                )


def _schemas(builder: DatasetBuilder, most: int | None = None) -> Iterator[tuple[str, pa.Schema]]:
    """Schemas of the Parquet files of a data set; of files on the Hub those that were downloaded."""
    import pyarrow.parquet as pq

    splits: Any = getattr(builder.config, "data_files", None) or {}
    files = sorted({str(file) for of_split in splits.values() for file in of_split})
    for file in [file for file in files if file.endswith(".parquet")][:most]:
        if "://" not in file:
            yield file, pq.read_schema(file)
        elif (cached := _downloaded(file)) is not None:
            yield file, pq.read_schema(cached)
        elif most is not None:
            import fsspec

            with fsspec.open(file) as remote:
                yield file, pq.read_schema(remote)


def _downloaded(address: str) -> str | None:
    """Find a file `hf://datasets/NAMESPACE/NAME@REVISION/PATH` in the cache of the Hub's client."""
    from huggingface_hub import try_to_load_from_cache

    place, _, rest = address.removeprefix("hf://datasets/").partition("@")
    revision, _, path = rest.partition("/")
    found = try_to_load_from_cache(place, path, revision=revision, repo_type="dataset") if path else None
    return found if isinstance(found, str) else None


def refuse_missing_columns(columns: Collection[str], wanted: Sequence[str], name: str) -> None:
    """Raise a `QuaclrsError` that names the columns a data set lacks."""
    if missing := [column for column in wanted if column not in columns]:
        raise QuaclrsError(
            f"data set {name} has no column {', '.join(missing)}; it needs {', '.join(wanted)}: {_ADVICE}"
        )


def refuse_faulty_rows(rows: pa.Table, features: Features, name: str) -> None:
    """Raise a `QuaclrsError` where rows of a whole data set cannot be what training and evaluation take them for.

    Args:
        rows: with the columns `NEEDED`, and those of `LIGHT` that are there.
        features: of these columns.
        name: of the data set, for the message.
    """
    refuse_missing_columns(rows.column_names, NEEDED, name)
    _refuse_other_types(rows, features, name)
    ids = rows["clip_id"].to_numpy()
    for column in (*NEEDED, *_MORE_FOLDS):
        if column in rows.column_names:
            _refuse(np.asarray(rows[column].is_null()), ids, f"no {column}", name)
    _refuse(ids == "", ids, "an empty clip_id", name)
    count = len(features["label"].names)
    labels = rows["label"].to_numpy()
    _refuse((labels < 0) | (labels >= count), ids, f"a label outside 0 to {count - 1}, the {count} classes", name)
    for column in ("fold", *_MORE_FOLDS):
        if column in rows.column_names:
            outside = ~np.isin(rows[column].to_numpy(), _FOLDS)
            _refuse(outside, ids, f"a {column} outside {_FOLDS[0]} to {_FOLDS[-1]}", name)
    _, first = np.unique(ids, return_index=True)
    again = np.ones(len(ids), dtype=bool)
    again[first] = False
    _refuse(again, ids, "the clip_id of another one", name)


def refuse_faulty_files(files: Sequence[Path], name: str, told: Any = None) -> Features:
    """The features of the Parquet files of a whole data set; errors as of `refuse_faulty_rows`, and where files differ.

    Args:
        files: of sounds (`audio`) or pictures (`image`).
        name: of the data set, for the message.
        told: features of its card; those of the first file where absent.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

    try:
        schemas = {str(file): pq.read_schema(file) for file in files}
        tables = [pq.read_table(file, columns=[c for c in LIGHT if c in schemas[str(file)].names]) for file in files]
        rows = pa.concat_tables(tables, promote_options="default")
        features = Features.from_arrow_schema(next(iter(schemas.values())))
    except (pa.ArrowException, OSError) as error:
        raise QuaclrsError(f"data set {name} cannot be read ({first_line_of(error)}); build it again") from error
    refuse_faulty_rows(rows, features, name)
    refuse_renamed_labels(name, told or features, iter(schemas.items()))
    for file in files:
        _refuse_nulls(file)
    return features


def _refuse_nulls(file: Path) -> None:
    """Raise where a Parquet file says that rows of it hold no sound or picture; nothing of them is read."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(file)
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            what, _, part = column.path_in_schema.partition(".")
            counted = what in ("audio", "image") and part == "bytes" and column.is_stats_set
            if counted and column.statistics.has_null_count and column.statistics.null_count:
                raise QuaclrsError(f"{file} has clips without {what} ({column.statistics.null_count}); {_ADVICE}")


def refuse_without_sound(present: np.ndarray, clip_ids: np.ndarray, name: str) -> None:
    """Raise a `QuaclrsError` that names the first clip without the bytes of a sound; a path alone leads nowhere.

    Args:
        present: bool (clips,).
        clip_ids: (clips,).
        name: of the data set, for the message.
    """
    _refuse(~present, clip_ids, "no audio, or a path without bytes", name)


def _refuse(faulty: np.ndarray, clip_ids: np.ndarray, what: str, name: str) -> None:
    rows = np.flatnonzero(faulty)
    if len(rows):
        clip = clip_ids[rows[0]] or "without a clip_id"
        clips = "1 clip has" if len(rows) == 1 else f"{len(rows):,} clips have"
        raise QuaclrsError(f"data set {name}: {clips} {what}: {clip} in row {rows[0]}; {_ADVICE}")


def _refuse_other_types(rows: pa.Table, features: Features, name: str) -> None:
    import pyarrow.types as is_a
    from datasets import ClassLabel

    if not isinstance(features["label"], ClassLabel) or not features["label"].names:
        raise QuaclrsError(f"data set {name}: column label names no classes (it is not a ClassLabel); {_ADVICE}")
    whole = ("label", "fold", *_MORE_FOLDS)
    for column in LIGHT:
        if column in rows.column_names:
            held = rows.schema.field(column).type
            is_right = is_a.is_integer(held) if column in whole else is_a.is_string(held) or is_a.is_large_string(held)
            may_be_null = is_a.is_null(held) and column in _MORE_TEXT
            if not is_right and not may_be_null:
                wanted = "whole numbers" if column in whole else "text"
                raise QuaclrsError(f"data set {name}: column {column} holds {held} and not {wanted}; {_ADVICE}")
