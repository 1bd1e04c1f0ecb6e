"""Data sets of others: whatever is wrong with a row, or between card and files, is one line at load."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Audio, ClassLabel, Features, Value

from quaclrs import load_urbansound13
from quaclrs.data import is_synthetic, leak_warning, plan_folds
from quaclrs.errors import QuaclrsError, QuaclrsWarning
from quaclrs.evaluation.evaluation_clips import choose_clips
from quaclrs.evaluation.foreign_dataset import label_names, load_foreign_dataset

NAMES = ["dog_bark", "siren_a", "siren_b"]

FEATURES = {
    "audio": Audio(sampling_rate=48_000),
    "label": ClassLabel(names=NAMES),
    **{name: Value("string") for name in ("clip_id", "source", "recording_id", "nearest_clip", "attribution")},
    "fold": Value("int8"),
    "fold_paper": Value("int8"),
}


def make_rows() -> list[dict[str, Any]]:
    """Nine clips: one of each class in folds 1, 2 and 3."""
    return [
        {
            "audio": {"bytes": b"fLaC", "path": f"clip{i}.flac"},
            "label": i % 3,
            "clip_id": f"a/clip{i}",
            "source": "a",
            "recording_id": f"a/recording{i}",
            "nearest_clip": None,
            "attribution": "somebody",
            "fold": i // 3 + 1,
            "fold_paper": i // 3 + 1,
        }
        for i in range(9)
    ]


def write(
    folder: Path,
    rows: list[dict[str, Any]],
    features: dict[str, Any] | None = None,
    told: dict[str, Any] | None = None,
    shards: int = 1,
) -> Path:
    """A data set folder; `told` are the features of its card, where it names any."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    schema = Features(features or FEATURES).arrow_schema
    for shard in range(shards):
        table = pa.Table.from_pylist(rows[shard::shards], schema=schema)
        pq.write_table(table, folder / "data" / f"rows-{shard}.parquet")
    header: dict[str, Any] = {"configs": [{"config_name": "default", "data_files": "data/*.parquet"}]}
    if told is not None:
        header["dataset_info"] = {"config_name": "default", "features": Features(told)._to_yaml_list()}
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(header)}---\n")
    return folder


def refusal_of(load: Callable[[Any], Any], folder: Path) -> str:
    with pytest.raises(QuaclrsError) as error:
        load(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    return str(error.value)


def test_a_data_set_in_order_loads(tmp_path):
    clips = load_urbansound13(write(tmp_path, make_rows(), told=FEATURES, shards=2))
    assert sorted(clips["clip_id"][:]) == [f"a/clip{i}" for i in range(9)]


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("label", None, "no label: a/clip5 in row 5"),
        ("label", -1, "a label outside 0 to 2, the 3 classes: a/clip5"),
        ("label", 3, "a label outside 0 to 2"),
        ("label", 999, "a label outside 0 to 2"),
        ("fold", None, "no fold: a/clip5"),
        ("fold", 0, "a fold outside 1 to 10"),
        ("fold", 11, "a fold outside 1 to 10"),
        ("fold", -3, "a fold outside 1 to 10"),
        ("fold_paper", None, "no fold_paper"),
        ("fold_paper", 99, "a fold_paper outside 1 to 10"),
        ("clip_id", None, "no clip_id: without a clip_id in row 5"),
        ("clip_id", "", "an empty clip_id"),
        ("clip_id", "a/clip0", "the clip_id of another one: a/clip0 in row 5"),
        ("source", None, "no source"),
        ("recording_id", None, "no recording_id"),
        ("audio", None, "no audio, or a path without bytes: a/clip5"),
        ("audio", {"bytes": None, "path": None}, "no audio, or a path without bytes"),
        ("audio", {"bytes": None, "path": "/etc/passwd"}, "no audio, or a path without bytes"),
        ("audio", {"bytes": b"", "path": "clip5.flac"}, "no audio, or a path without bytes"),
    ],
)
def test_a_row_that_is_not_what_it_is_taken_for_is_named_at_load(tmp_path, column, value, says):
    rows = make_rows()
    rows[5][column] = value
    write(tmp_path, rows)
    assert f"1 clip has {says}" in refusal_of(load_urbansound13, tmp_path)
    assert says in refusal_of(lambda folder: choose_clips(folder, NAMES), tmp_path)


def test_many_faulty_rows_are_counted(tmp_path):
    rows = [row | {"label": None} for row in make_rows()]
    assert "9 clips have no label: a/clip0 in row 0" in refusal_of(load_urbansound13, write(tmp_path, rows))


@pytest.mark.parametrize("column", ["audio", "label", "clip_id", "source", "recording_id", "fold"])
def test_a_column_that_is_missing_is_named_with_those_that_are_needed(tmp_path, column):
    features = {name: feature for name, feature in FEATURES.items() if name != column}
    message = refusal_of(load_urbansound13, write(tmp_path, make_rows(), features))
    assert f"no column {column}; it needs audio, label, clip_id, source, recording_id, fold" in message


@pytest.mark.parametrize("column", ["nearest_clip", "attribution", "fold_paper"])
def test_a_column_that_is_not_needed_may_be_missing_or_hold_nothing(tmp_path, column):
    features = {name: feature for name, feature in FEATURES.items() if name != column}
    lacking = [write(tmp_path / "without", make_rows(), features)]
    if column != "fold_paper":
        lacking.append(write(tmp_path / "null", [row | {column: None} for row in make_rows()]))
    for folder in lacking:
        clips = load_urbansound13(folder)
        assert not is_synthetic(clips) and not leak_warning(clips)
        plan_folds(clips, 1)
    if column == "fold_paper":
        with pytest.raises(QuaclrsError, match="protocol 'paper' needs the column fold_paper"):
            plan_folds(load_urbansound13(lacking[0]), 1, "paper")


@pytest.mark.parametrize(
    ("column", "feature", "value", "says"),
    [
        ("label", Value("int64"), 1, "column label names no classes"),
        ("label", Value("string"), "dog_bark", "column label names no classes"),
        ("fold", Value("string"), "1", "column fold holds string and not whole numbers"),
        ("fold", Value("float32"), 1.5, "column fold holds float and not whole numbers"),
        ("clip_id", Value("int64"), 1, "column clip_id holds int64 and not text"),
        ("attribution", Value("int64"), 1, "column attribution holds int64 and not text"),
        ("audio", Value("string"), "/etc/passwd", "no audio, or a path without bytes"),
        ("audio", Value("int64"), 1, "cannot be loaded"),
    ],
)
def test_a_column_of_another_type_is_named(tmp_path, column, feature, value, says):
    rows = [row | {column: value} for row in make_rows()]
    assert says in refusal_of(load_urbansound13, write(tmp_path, rows, FEATURES | {column: feature}))


PERMUTED = FEATURES | {"label": ClassLabel(names=[NAMES[1], NAMES[0], NAMES[2]])}


@pytest.mark.parametrize(
    "load",
    [
        load_urbansound13,
        lambda folder: load_urbansound13(folder, streaming=True),
        load_foreign_dataset,
        lambda folder: choose_clips(folder, NAMES),
    ],
    ids=["clips", "stream", "foreign", "evaluation"],
)
def test_a_card_that_permutes_the_names_of_labels_is_refused(tmp_path, load):
    message = refusal_of(load, write(tmp_path, make_rows(), told=PERMUTED))
    assert "calls label 0 dog_bark and not siren_a, as dataset_info in README.md" in message


def test_a_card_with_fewer_names_of_labels_is_refused(tmp_path):
    told = FEATURES | {"label": ClassLabel(names=NAMES[:2])}
    assert "3 names and not 2" in refusal_of(load_urbansound13, write(tmp_path, make_rows(), told=told))


def test_two_files_that_name_labels_differently_are_refused(tmp_path):
    write(tmp_path, make_rows())
    write(tmp_path / "other", [row | {"clip_id": f"b{i}"} for i, row in enumerate(make_rows())], PERMUTED)
    (tmp_path / "other" / "data" / "rows-0.parquet").rename(tmp_path / "data" / "rows-1.parquet")
    assert "rows-1.parquet calls label 0 siren_a and not dog_bark" in refusal_of(load_urbansound13, tmp_path)


def test_a_card_alone_may_name_labels(tmp_path):
    plain = FEATURES | {"label": Value("int64")}
    clips = load_urbansound13(write(tmp_path, make_rows(), plain, told=FEATURES))
    assert clips.features["label"].names == NAMES


@pytest.mark.parametrize("label", [-2, 3, 999])
def test_a_label_without_a_name_in_a_data_set_of_any_classes_is_named(tmp_path, label):
    rows = make_rows()
    rows[5]["label"] = label
    clips = load_foreign_dataset(write(tmp_path, rows)).rows
    with pytest.raises(QuaclrsError, match=f"column label holds {label} in row 5, and names 3 classes"):
        label_names(clips)


def test_a_path_of_a_data_set_leads_nowhere_outside_of_it(tmp_path):
    outside = tmp_path / "private.wav"
    outside.write_bytes(b"RIFF")
    rows = make_rows()
    for path in (outside, "/etc/passwd", "../private.wav", "private.wav"):
        rows[5]["audio"] = {"bytes": None, "path": str(path)}
        message = refusal_of(load_foreign_dataset, write(tmp_path / "set", rows))
        assert f"row 5 names the sound {path}, which is not a file of the data set" in message
    (tmp_path / "set" / "inside.wav").write_bytes(b"RIFF")
    rows[5]["audio"]["path"] = str(tmp_path / "set" / "inside.wav")
    assert len(load_foreign_dataset(write(tmp_path / "set", rows)).rows) == 9


def test_a_data_set_that_was_corrected_and_another_of_the_same_name_and_card_are_read_anew(tmp_path):
    rows = make_rows()
    rows[5]["fold"] = 0
    refusal_of(load_urbansound13, write(tmp_path / "one" / "set", rows))
    assert load_urbansound13(write(tmp_path / "one" / "set", make_rows()))["fold"][5] == 2
    other = [row | {"fold": 10} for row in make_rows()]
    assert set(load_urbansound13(write(tmp_path / "two" / "set", other))["fold"]) == {10}


@pytest.mark.parametrize("size", [0, 0.5])
@pytest.mark.parametrize("name", ["*.arrow", "dataset_info.json"])
def test_a_damaged_cache_of_a_data_set_is_told_and_made_again(tmp_path, monkeypatch, name, size):
    """A disk that was full, or a power cut, leaves such files; the data set itself is whole."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = write(tmp_path / "set", make_rows())
    rows = load_urbansound13(folder).to_list()
    (file,) = (tmp_path / "cache").rglob(name)
    os.truncate(file, int(file.stat().st_size * size))
    with pytest.warns(QuaclrsWarning, match=rf"the cache of data set {folder} is damaged .*; it is made again"):
        assert load_urbansound13(folder).to_list() == rows
    with warnings.catch_warnings():
        warnings.simplefilter("error", QuaclrsWarning)
        assert load_urbansound13(folder).to_list() == rows


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 45\n", "is a Git LFS pointer"),
        (b"", "is damaged or cut short, or no Parquet file"),
        (b"PAR1" + bytes(900), "is damaged or cut short, or no Parquet file"),
        (b"<html>", "is damaged or cut short, or no Parquet file"),
    ],
)
def test_a_file_that_is_no_whole_parquet_file_is_named(tmp_path, content, says):
    folder = write(tmp_path / "set", make_rows(), shards=2)
    file = sorted((folder / "data").iterdir())[1]
    file.write_bytes(content)
    for load in (load_urbansound13, load_foreign_dataset):
        with pytest.raises(QuaclrsError) as error:
            load(folder)
        assert str(error.value).startswith(f"{file} {says}")


def test_a_file_whose_footer_is_overwritten_is_named(tmp_path):
    folder = write(tmp_path / "set", make_rows())
    (file,) = (folder / "data").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-40] + b"\xff" * 32 + whole[-8:])
    with pytest.raises(QuaclrsError, match=f"^{re.escape(str(file))} is damaged or cut short"):
        load_urbansound13(folder)


def test_a_file_without_rows_is_named(tmp_path):
    folder = write(tmp_path / "set", make_rows(), shards=2)
    file = sorted((folder / "data").iterdir())[1]
    pq.write_table(pq.read_table(file).slice(0, 0), file)
    with pytest.raises(QuaclrsError, match=f"^{re.escape(str(file))} holds no rows; "):
        load_urbansound13(folder)


def test_a_card_that_counts_other_rows_than_the_files_hold_is_named(tmp_path):
    folder = write(tmp_path / "set", make_rows(), told=FEATURES)
    card = (folder / "README.md").read_text()
    counted = "splits:\n  - {name: train, num_bytes: 9, num_examples: 7}\n"
    header = yaml.safe_load(card.split("---")[1])
    header["dataset_info"] |= yaml.safe_load(counted)
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(header)}---\n")
    with pytest.raises(QuaclrsError, match=r"README\.md of .* counts other rows than its files hold; correct it"):
        load_urbansound13(folder)
