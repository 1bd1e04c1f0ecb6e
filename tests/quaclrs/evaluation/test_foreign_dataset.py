"""Label maps and other people's data sets: what is read of them, and the mistakes that are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import ClassLabel, Dataset, Features, Value

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.foreign_dataset import (
    is_folder_of_sounds,
    label_names,
    load_foreign_dataset,
    load_label_map,
)

RATE = 48_000
AUDIO = {"bytes": Value("binary"), "path": Value("string")}


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """`siren/` with two files, one of them deeper down, `dog/` with one, and one outside any class."""
    folder = tmp_path / "sounds"
    for name in ("siren/b.wav", "siren/night/a.flac", "dog/c.wav", "stray.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, np.full(100, 0.1), RATE)
    (folder / "notes.txt").write_text("not a sound")
    return folder


def write_table(folder: Path, features: dict, **splits: list) -> Path:
    """A data set of silent clips in Parquet, one file a split, whose column `label` holds the given values."""
    folder.mkdir()
    for split, labels in splits.items():
        audio = [{"bytes": b"", "path": None}] * len(labels)
        rows = Dataset.from_dict({"audio": audio, "label": labels}, features=Features({"audio": AUDIO, **features}))
        rows.to_parquet(folder / f"{split}.parquet")
    return folder


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.yaml", "dog: dog_bark\nengine: engine_idling  # standing\nrain: null\n7: car_horn\n'8': ~\n"),
        ("map.json", '{\n\t"dog": "dog_bark", "engine": "engine_idling", "rain": null, "7": "car_horn", "8": null}'),
    ],
)
def test_yaml_and_json_give_the_same_map(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert load_label_map(tmp_path / name) == {
        "dog": "dog_bark",
        "engine": "engine_idling",
        "rain": None,
        "7": "car_horn",
        "8": None,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("- dog", "one `their_label: our_label` a line"),
        ("", "one `their_label: our_label` a line"),
        ("dog: [dog_bark]", "'dog'"),
        ("dog: 3", "'dog'"),
        ("yes: dog_bark", "True"),
        ("dog: null", "maps no label"),
        ("dog: {", "cannot be read"),
    ],
)
def test_what_is_no_label_map_is_named_in_one_line(text: str | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(QuaclrsError) as error:
        load_label_map(file)
    assert words in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_of_sounds_takes_its_labels_from_the_sub_folders_and_its_ids_from_the_paths(sounds: Path) -> None:
    assert is_folder_of_sounds(sounds)
    clips = load_foreign_dataset(sounds)
    assert (clips.split, clips.labels_from) == (None, ())
    rows = clips.rows
    assert dict(zip(rows["clip_id"], label_names(rows), strict=True)) == {
        "dog/c.wav": "dog",
        "siren/b.wav": "siren",
        "siren/night/a.flac": "siren",
        "stray.wav": "(no label)",
    }
    for row in rows:
        assert row["audio"] == {"bytes": None, "path": str(sounds / row["clip_id"])}


def test_a_built_data_set_and_an_empty_folder_are_no_folders_of_sounds(sample_dataset: Path, tmp_path: Path) -> None:
    assert not is_folder_of_sounds(sample_dataset)
    assert not is_folder_of_sounds(tmp_path)
    assert not is_folder_of_sounds("namespace/name")


@pytest.mark.parametrize(
    ("feature", "labels", "names"),
    [
        (ClassLabel(names=["cat", "dog"]), [1, 0, None], ["dog", "cat", "(no label)"]),
        (Value("string"), ["dog", "cat", None], ["dog", "cat", "(no label)"]),
        (Value("int64"), [11, 0, 3], ["11", "0", "3"]),
    ],
)
def test_labels_are_read_by_name_from_class_labels_text_and_numbers(
    feature: ClassLabel | Value, labels: list, names: list[str], tmp_path: Path
) -> None:
    clips = load_foreign_dataset(write_table(tmp_path / "table", {"label": feature}, train=labels))
    assert (clips.split, clips.label_column) == ("train", "label")
    assert label_names(clips.rows) == names
    assert clips.rows[0]["audio"] == {"bytes": b"", "path": None}


def test_of_several_splits_the_asked_one_is_loaded_and_test_by_default(tmp_path: Path) -> None:
    table = write_table(tmp_path / "table", {"label": Value("string")}, train=["a", "b"], test=["c"])
    for asked, loaded, labels in ((None, "test", ["c"]), ("train", "train", ["a", "b"])):
        clips = load_foreign_dataset(table, asked)
        assert clips.split == loaded
        assert label_names(clips.rows) == labels


def test_of_the_splits_of_a_folder_of_sounds_the_asked_one_is_loaded_and_test_by_default(tmp_path: Path) -> None:
    for name in ("train/dog/1.wav", "train/cat/2.wav", "test/dog/3.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, np.full(100, 0.1), RATE)
    assert load_foreign_dataset(tmp_path).rows["clip_id"][:] == ["test/dog/3.wav"]
    train = load_foreign_dataset(tmp_path, "train")
    assert (label_names(train.rows), train.split) == (["cat", "dog"], "train")
    with pytest.raises(QuaclrsError, match="no split 'exam'; give --split test or train"):
        load_foreign_dataset(tmp_path, "exam")


def test_what_cannot_be_loaded_is_named_in_one_line(sounds: Path, tmp_path: Path) -> None:
    text = {"label": Value("string")}
    parts = write_table(tmp_path / "parts", text, train=["a"], validation=["b"])
    one = write_table(tmp_path / "one", text, train=["a"])
    floats = write_table(tmp_path / "floats", {"label": Value("float32")}, train=[0.5])
    mute = tmp_path / "mute"
    mute.mkdir()
    (mute / "data.jsonl").write_text(json.dumps({"label": "a"}))
    (tmp_path / "empty").mkdir()
    for mistake, words in (
        (lambda: load_foreign_dataset(tmp_path / "absent"), "absent does not exist"),
        (lambda: load_foreign_dataset(tmp_path / "empty"), "empty cannot be loaded"),
        (lambda: load_foreign_dataset(parts), "--split train or validation"),
        (lambda: load_foreign_dataset(one, "test"), "no split 'test'"),
        (lambda: load_foreign_dataset(sounds, "test"), "no splits"),
        (lambda: load_foreign_dataset(mute), "no column audio"),
        (lambda: label_names(load_foreign_dataset(one).rows, "category"), r"--label-column \(label\)"),
        (lambda: label_names(load_foreign_dataset(floats).rows), "neither text nor whole numbers"),
    ):
        with pytest.raises(QuaclrsError, match=words) as error:
            mistake()
        assert "\n" not in str(error.value)
