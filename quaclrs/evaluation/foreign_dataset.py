"""Other people's data sets for an evaluation: a folder of sounds or a data set of any classes, and a map to ours."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..audio import find_audio_files, has_audio_files
from ..dataset_checks import open_dataset, reason_of
from ..errors import QuaclrsError, first_line_of
from ..files import refuse_unwritable_cache, storable
from ..hub import may_be_repo_id
from ..text_files import read_json, read_yaml
from .sound_folders import TABLE_ENDINGS, label_sounds

if TYPE_CHECKING:
    from datasets import Dataset

#: A label of theirs -> a class of the model, or None for clips to leave out.
LabelMap = Mapping[str, str | None]

_FORM = "give a label map in YAML or JSON"

#: What a clip without a label is called.
NO_LABEL = "(no label)"


def load_label_map(file: str | os.PathLike[str]) -> LabelMap:
    """Read a label map from JSON (a file that ends in .json) or YAML: one `their_label: our_label` or `: null` a line.

    Numbers as their labels stand for the same digits as text. Labels that the map does not name are left out too.

    Raises:
        QuaclrsError: the file cannot be read, is not such a mapping, or maps nothing.
    """
    path = Path(file)
    values = read_json(path, _FORM) if path.suffix.lower() == ".json" else read_yaml(path, _FORM)
    if not isinstance(values, dict):
        raise QuaclrsError(f"label map {path} must hold one `their_label: our_label` a line")
    for theirs, ours in values.items():
        # YAML reads yes, no, on and off as truth values.
        if isinstance(theirs, bool) or not isinstance(theirs, (str, int)) or not isinstance(ours, (str, type(None))):
            raise QuaclrsError(
                f"label map {path}: {theirs!r}: {ours!r} must be two names, or a name and null; quote them"
            )
    if not any(values.values()):
        raise QuaclrsError(f"label map {path} maps no label to a class; add `their_label: our_label`")
    return {str(theirs): ours for theirs, ours in values.items()}


#: Tables of labels, which are read elsewhere and known to be no sounds.
_TABLES = tuple(f"*{ending}" for ending in TABLE_ENDINGS)


def is_folder_of_sounds(path_or_repo: str | os.PathLike[str]) -> bool:
    """True for a folder of plain sound files without the table of a data set."""
    folder = Path(path_or_repo)
    return folder.is_dir() and not any(folder.rglob("*.parquet")) and has_audio_files(folder, _TABLES)


@dataclass(frozen=True)
class ForeignClips:
    """Clips of any classes, their audio still encoded.

    Attributes:
        rows: `datasets.Dataset` with `audio` (`bytes` or `path`) and what else the data set has; of a folder of sounds
            `clip_id` (the path within the folder).
        label_column: where the labels are, null where a clip has none.
        split: name of the split; None where there are none.
        labels_from: the tables that gave the labels of a folder of sounds; none where its sub-folders did.
        absent: sounds that those tables list and that are not there.
    """

    rows: Dataset
    label_column: str
    split: str | None
    labels_from: tuple[str, ...] = ()
    absent: int = 0


def load_foreign_dataset(
    path_or_repo: str | os.PathLike[str],
    split: str | None = None,
    label_column: str | None = None,
    known: Collection[str] = (),
) -> ForeignClips:
    """Load clips of any classes.

    Args:
        path_or_repo: a folder of sounds, labelled as `label_sounds` finds it; or a folder or Hub repository that
            `datasets.load_dataset` takes.
        split: where absent, `test` or the only one.
        label_column: of the data set or of a table in the folder; `label`, or what such a table calls it, where absent.
        known: labels that are waited for.

    Raises:
        QuaclrsError: it cannot be loaded, has no such split, has no audio or names files outside of it, or its card
            renames labels.
    """
    name = os.fspath(path_or_repo)
    if is_folder_of_sounds(name):
        return _list_folder(Path(name), split, label_column, known)
    if not Path(name).is_dir() and not may_be_repo_id(name):
        raise QuaclrsError(f"data set folder {name} does not exist; give a folder or a Hub repository")
    from datasets import Audio

    try:
        splits: Any = open_dataset(name)
    except QuaclrsError:
        raise
    except Exception as error:  # the Hub client and the readers of many formats fail in many ways
        refuse_unwritable_cache(error)
        raise QuaclrsError(
            f"data set {name} cannot be loaded ({reason_of(error)}); give a Hub repository, a folder of Parquet "
            "files, or one with a sub-folder of sound files a class"
        ) from error
    chosen = _choose_split(name, list(splits), split)
    rows = splits[chosen]
    if "audio" not in rows.column_names:
        raise QuaclrsError(f"data set {name} has no column audio; it has {', '.join(rows.column_names)}")
    try:
        rows = rows.cast_column("audio", Audio(decode=False))
    except (ValueError, TypeError) as error:  # those of Arrow are among them
        raise QuaclrsError(f"data set {name}: column audio holds no sounds ({first_line_of(error)})") from error
    _refuse_paths_outside(rows, name)
    return ForeignClips(rows, label_column or "label", chosen)


def _refuse_paths_outside(rows: Dataset, name: str) -> None:
    """Raise where a row names a file of this machine that did not come with the data set."""
    from datasets.config import HF_CACHE_HOME, HF_DATASETS_CACHE
    from huggingface_hub.constants import HF_HUB_CACHE

    homes = [os.path.realpath(home) for home in (name, HF_CACHE_HOME, HF_DATASETS_CACHE, HF_HUB_CACHE)]
    row = 0
    for chunk in rows.data.column("audio").chunks:
        for has_bytes, path in zip(chunk.field("bytes").is_valid(), chunk.field("path").to_pylist(), strict=True):
            place = os.path.realpath(path) if path and not has_bytes.as_py() else None
            if place is not None and not any(place.startswith(home + os.sep) for home in homes):
                raise QuaclrsError(
                    f"data set {name}: row {row} names the sound {path}, which is not a file of the data set; put the "
                    "sounds themselves into it"
                )
            row += 1


def _choose_split(name: str, splits: Sequence[str], asked: str | None) -> str:
    chosen = asked or ("test" if "test" in splits or len(splits) > 1 else splits[0])
    if chosen not in splits:
        raise QuaclrsError(f"data set {name} has no split {chosen!r}; give --split {' or '.join(splits)}")
    return chosen


def label_names(rows: Dataset, column: str = "label") -> list[str]:
    """The label of every row by name, a number without a name as text, `NO_LABEL` where a row has none.

    Raises:
        QuaclrsError: the column does not exist, holds neither text nor whole numbers, or a number without a name.
    """
    from datasets import ClassLabel

    if column not in rows.column_names:
        others = ", ".join(name for name in rows.column_names if name != "audio")
        raise QuaclrsError(
            f"the data set has no column {column}; name that of its labels with --label-column ({others})"
        )
    feature, values = rows.features[column], rows[column][:]
    if isinstance(feature, ClassLabel):
        # -1 stands for an unknown label in data sets whose test split is kept secret.
        for row, value in enumerate(values):
            if value is not None and not -1 <= value < len(feature.names):
                raise QuaclrsError(
                    f"column {column} holds {value} in row {row}, and names {len(feature.names)} classes; correct it"
                )
        return [NO_LABEL if value is None or value < 0 else feature.names[value] for value in values]
    if not all(isinstance(value, (str, int, type(None))) for value in values):
        raise QuaclrsError(f"column {column} holds neither text nor whole numbers; choose another --label-column")
    return [NO_LABEL if value is None else str(value) for value in values]


def _list_folder(folder: Path, split: str | None, label_column: str | None, known: Collection[str]) -> ForeignClips:
    from datasets import Dataset, Features, Value

    files = [file.relative_to(folder) for file in find_audio_files(folder, _TABLES)]
    sounds, table = label_sounds(folder, files, label_column, known)
    splits = list(dict.fromkeys(sound.split for sound in sounds if sound.split is not None))
    if split is not None and not splits:
        raise QuaclrsError(f"{folder} is a folder of sound files and has no splits; leave --split out")
    chosen = _choose_split(str(folder), splits, split) if splits else None
    sounds = [sound for sound in sounds if sound.split == chosen]
    text = Value("string")
    rows = Dataset.from_dict(
        {
            "audio": [_encoded(folder / sound.file) for sound in sounds],
            "clip_id": [storable(sound.file.as_posix()) for sound in sounds],
            "label": [None if sound.label is None else storable(sound.label) for sound in sounds],
        },
        # Not the type `Audio`, which needs torchcodec to take a path in.
        features=Features({"audio": {"bytes": Value("binary"), "path": text}, "clip_id": text, "label": text}),
    )
    if table is None:
        return ForeignClips(rows, "label", chosen)
    return ForeignClips(rows, "label", chosen, table.tables, table.absent)


def _encoded(file: Path) -> dict[str, Any]:
    """A sound as a row holds it: by its path, or by its content where the path is not text."""
    path = storable(str(file))
    is_text = path == str(file) or not file.is_file()
    return {"bytes": None if is_text else file.read_bytes(), "path": path}
