"""A learned model as a folder that loads like any other: the encoder of its base, a head of its own, and a card."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import QuaclrsError
from ..files import holds_anything, must_stay, name_unwritable, written
from ..inference.encoder_graph import HEAD
from ..inference.head import LinearHead
from ..saved_model import CONFIG, GRAPH, PREPROCESSOR, WEIGHTS, SavedModel
from ..text_files import read_mapping

#: Entries of the base's configuration that say what its classes are, or what it heard.
_OF_THE_BASE = ("id2label", "label2id", "num_labels", "false_alarms", "training_data", "normalized_parts")

LICENCE, CARD, REPORT = "LICENSE", "README.md", "report.html"


def save_learned(
    folder: Path, base: SavedModel, head: LinearHead, labels: Sequence[str], card: str, files: Mapping[str, bytes]
) -> None:
    """Write a model's folder, complete or not at all.

    Args:
        folder: new or empty; one that `quaclrs learn` wrote is replaced, the base's own too. What others put there
            stays.
        base: whose encoder, graph and licence are copied.
        head: the classifier.
        labels: class names in the order of its scores.
        card: text of the model card, `README.md`.
        files: name -> content of what else lies in the folder.

    Raises:
        QuaclrsError: the folder cannot be written.
    """
    config = {k: v for k, v in read_mapping(base.folder / CONFIG).items() if k not in _OF_THE_BASE}
    config |= {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }
    if head.parts:
        config["normalized_parts"] = list(head.parts)
    with name_unwritable(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with written(folder) as unfinished:
            unfinished.mkdir()
            _write_json(unfinished / CONFIG, config)
            (unfinished / CARD).write_text(card, encoding="utf-8")
            _write_weights(base.folder / WEIGHTS, unfinished / WEIGHTS, head)
            for name in (PREPROCESSOR, GRAPH, LICENCE):
                if (base.folder / name).is_file():
                    shutil.copyfile(base.folder / name, unfinished / name)
            for name, content in files.items():
                (unfinished / name).write_bytes(content)
            if is_learned(folder):
                _make_way(folder, unfinished, {CONFIG, CARD, WEIGHTS, PREPROCESSOR, GRAPH, LICENCE, *files})


def _make_way(folder: Path, unfinished: Path, written_here: Collection[str]) -> None:
    """Take a former model away; what others put beside it, notes or `.git`, will lie beside the new one."""
    if must_stay(folder):
        for name in written_here:
            (folder / name).unlink(missing_ok=True)
        return
    former = unfinished.with_name("former")  # which goes with what is left of the unfinished one
    folder.rename(former)
    for entry in former.iterdir():
        if entry.name not in written_here:
            entry.rename(unfinished / entry.name)


#: What marks a folder as one that may be replaced.
SUMMARY = "learned.json"


def is_learned(folder: str | os.PathLike[str]) -> bool:
    """True for a folder that `quaclrs learn` wrote."""
    return Path(folder, SUMMARY).is_file() and Path(folder, WEIGHTS).is_file()


def refuse_other_folder(folder: Path, option: str = "--output") -> None:
    """Raise a `QuaclrsError` for a folder that holds something else than a learned model, or is a file."""
    if folder.exists() and not folder.is_dir():
        raise QuaclrsError(f"{folder} is a file; choose another {option}")
    if holds_anything(folder) and not is_learned(folder):
        raise QuaclrsError(f"{folder} is not empty and was not written by `quaclrs learn`; choose another {option}")


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_weights(source: Path, target: Path, head: LinearHead) -> None:
    """Copy weights as they are stored, but for the classifier's: NumPy lacks some of their types, so bytes are copied.

    A safetensors file is the length of its header, the header in JSON, and the tensors one after the other.
    """
    from safetensors import deserialize

    tensors = [
        (name, entry["dtype"], list(entry["shape"]), bytes(entry["data"]))
        for name, entry in deserialize(source.read_bytes())
        if not name.startswith(HEAD)
    ]
    for name, values in (("weight", head.weight), ("bias", head.bias)):
        array = np.ascontiguousarray(values, dtype="<f4")
        tensors.append((f"{HEAD}{name}", "F32", list(array.shape), array.tobytes()))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, dtype, shape, data in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    with target.open("wb") as file:
        file.write(len(told).to_bytes(8, "little") + told)
        for _, _, _, data in tensors:
            file.write(data)
