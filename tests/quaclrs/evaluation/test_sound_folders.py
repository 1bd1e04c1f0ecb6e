"""Labels of sounds in a folder: the layouts in which people have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.sound_folders import label_sounds


def labels_of(folder: Path, *files: str, **options) -> dict[str, str | None]:
    sounds, _ = label_sounds(folder, [Path(file) for file in files], **options)
    return {sound.file.as_posix(): sound.label for sound in sounds}


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("table", "text", "file"),
    [
        ("metadata.csv", "file_name,label\ndata/1.wav,dog\n", "data/1.wav"),  # datasets' audiofolder
        ("data/metadata.csv", "file_name,label\n1.wav,dog\n", "data/1.wav"),
        ("metadata.jsonl", json.dumps({"file_name": "1.wav", "label": "dog"}), "1.wav"),
        ("meta/esc50.csv", "filename,fold,target,category\n1-1-A-0.wav,1,0,dog\n", "audio/1-1-A-0.wav"),  # ESC-50
        ("UrbanSound8K.csv", "slice_file_name,fsID,classID,class\n1-3-0-0.wav,1,3,dog\n", "fold10/1-3-0-0.wav"),
        ("train.csv", "fname,label\n0006ae4e,dog\n", "audio_train/0006ae4e.wav"),  # FSDKaggle without its endings
        ("labels.tsv", "path\tlabel\n1.mp3\tdog\n", "clips/1.ogg"),  # transcoded since
        ("labels.csv", "\ufefffile;label\n1.wav;dog\n", "1.wav"),  # as spreadsheets write it
        ("metadata.csv", "file_name,label\nData\\1.WAV,dog\n", "data/1.wav"),  # as Windows does
    ],
)
def test_a_table_beside_the_sounds_labels_them(table, text, file, tmp_path):
    write(tmp_path / table, text)
    assert labels_of(tmp_path, file) == {file: "dog"}


def test_another_column_of_the_table_can_be_asked_for(tmp_path):
    write(tmp_path / "metadata.csv", "file_name,label,vehicle\n1.wav,siren,ambulance\n2.wav,siren,\n")
    assert labels_of(tmp_path, "1.wav", "2.wav", label_column="vehicle") == {"1.wav": "ambulance", "2.wav": None}
    with pytest.raises(QuaclrsError, match=r"no table of its sounds with a column colour.*metadata\.csv"):
        labels_of(tmp_path, "1.wav", label_column="colour")


def test_sounds_that_no_table_names_keep_the_name_of_their_folder_and_absent_ones_are_counted(tmp_path):
    write(tmp_path / "metadata.csv", "file_name,label\ncat/1.wav,dog\ncat/9.wav,dog\n")
    sounds, table = label_sounds(tmp_path, [Path("cat/1.wav"), Path("cat/2.wav"), Path("bee/1.wav")])
    assert [sound.label for sound in sounds] == ["dog", "cat", "bee"]
    assert table is not None and (table.tables, table.absent) == (("metadata.csv",), 1)


def test_a_name_that_several_sounds_have_names_none_of_them(tmp_path):
    write(tmp_path / "metadata.csv", "file_name,label\n1.wav,dog\nb/2.wav,dog\n")
    assert labels_of(tmp_path, "a/1.wav", "b/1.wav", "b/2.wav") == {"a/1.wav": "a", "b/1.wav": "b", "b/2.wav": "dog"}


def test_of_names_that_differ_in_case_alone_the_one_that_is_written_counts(tmp_path):
    write(tmp_path / "metadata.csv", "file_name,label\nx/A.wav,dog\nx/a.wav,cat\n")
    assert labels_of(tmp_path, "x/a.wav", "x/A.wav") == {"x/a.wav": "cat", "x/A.wav": "dog"}


@pytest.mark.parametrize(
    "text", ["predicted,score\ndog,1\n", "file,score\n1.wav,1\n", "file,label\nelsewhere.wav,dog\n", "", "\n\n"]
)
def test_a_table_of_something_else_is_passed_over(text, tmp_path):
    write(tmp_path / "results.csv", text)
    (tmp_path / "pixels.csv").write_bytes(b"\xff\xfe\x00\x81")
    sounds, table = label_sounds(tmp_path, [Path("dog/1.wav")])
    assert (sounds[0].label, table) == ("dog", None)


def test_two_labels_of_a_file_and_a_metadata_table_that_is_none_are_one_line(tmp_path):
    write(tmp_path / "metadata.csv", "file_name,label\n1.wav,dog\n1.wav,cat\n")
    with pytest.raises(QuaclrsError, match=r"metadata\.csv labels 1\.wav as cat and as dog"):
        labels_of(tmp_path, "1.wav")
    (tmp_path / "metadata.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(QuaclrsError, match="cannot be read as a table in UTF-8") as error:
        labels_of(tmp_path, "1.wav")
    assert "\n" not in str(error.value)


def splits_of(*files: str, **options) -> dict[str, tuple[str | None, str | None]]:
    sounds, _ = label_sounds(Path("nowhere"), [Path(file) for file in files], **options)
    return {sound.file.as_posix(): (sound.split, sound.label) for sound in sounds}


def test_folders_of_splits_are_no_classes():
    assert splits_of("train/dog/1.wav", "valid/dog/deep/2.wav", "testing/cat/3.wav", "test/4.wav") == {
        "train/dog/1.wav": ("train", "dog"),
        "valid/dog/deep/2.wav": ("validation", "dog"),
        "testing/cat/3.wav": ("test", "cat"),
        "test/4.wav": ("test", None),
    }
    assert splits_of("train/1.wav", "dog/2.wav") == {"train/1.wav": (None, "train"), "dog/2.wav": (None, "dog")}


def test_a_folder_around_all_others_is_no_class_but_a_class_may_be_alone():
    assert splits_of("sounds/audio/dog/1.wav", "sounds/audio/cat/2.wav") == {
        "sounds/audio/dog/1.wav": (None, "dog"),
        "sounds/audio/cat/2.wav": (None, "cat"),
    }
    assert splits_of("all/train/dog/1.wav")["all/train/dog/1.wav"] == ("train", "dog")
    assert splits_of("dog/1.wav") == {"dog/1.wav": (None, "dog")}
    nights = splits_of("dog/monday/1.wav", "dog/tuesday/2.wav", known=["dog"])
    assert {label for _, label in nights.values()} == {"dog"}
