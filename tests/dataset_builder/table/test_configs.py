"""The configs of a build: the same rows every time, in the `datasets` builder too; what options are refused."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from built_pictures import KINDS, build, pixels_of, rows_of, write_sources
from datasets import Audio, load_dataset

from dataset_builder import urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES


def test_audio_is_the_default_config(sources, built, tmp_path):
    assert build(sources, tmp_path / "default") == 0
    assert rows_of(tmp_path / "default") == rows_of(built["audio"])


@pytest.mark.parametrize("kind", ["audio", "augmented", pytest.param("spectrogram", marks=pytest.mark.slow)])
def test_parquet_is_the_same_to_the_byte_from_another_path_in_another_order_by_two_processes(
    sources, built, tmp_path, monkeypatch, kind
):
    moved = tmp_path / "moved"
    shutil.copytree(sources, moved)
    scan = urbansound13.leave_out_broken

    def scan_backwards(reports, *options):
        reports = scan(reports, *options)[::-1]
        for report in reports:
            report.clips.reverse()
        return reports

    monkeypatch.setattr(urbansound13, "leave_out_broken", scan_backwards)
    assert build(moved, tmp_path / "two", "--config", kind, "--num-proc", "2") == 0
    first = {path.name: path.read_bytes() for path in (built[kind] / "data").iterdir()}
    second = {path.name: path.read_bytes() for path in (tmp_path / "two" / "data").iterdir()}
    assert first == second
    assert any("copies" in name for name in first) == (kind == "augmented")


def make_builder(sources: Path, cache: Path, kind: str | None, **options):
    given = {"urbansound8k": str(sources / "UrbanSound8K"), "sirennet": str(sources / "sireNNet")}
    return urbansound13.UrbanSound13(kind, cache_dir=str(cache), **given, **options)


def encoded(dataset, kind: str):
    """Rows of a builder's data set as the Parquet folder has them."""
    if kind == "audio":
        return list(dataset.cast_column("audio", Audio(decode=False)))
    return list(dataset.with_format("arrow").data.to_pylist())


@pytest.mark.parametrize(
    ("kind", "processes"),
    [*((kind, 1) for kind in KINDS), ("spectrogram", 2), pytest.param("augmented", 2, marks=pytest.mark.slow)],
)
def test_the_builder_has_the_rows_of_the_parquet_folder(sources, built, tmp_path, kind, processes):
    builder = make_builder(sources, tmp_path, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking a process with threads, as datasets does
        builder.download_and_prepare(num_proc=processes)
    dataset = builder.as_dataset("train")
    assert dataset.features == load_dataset(str(built[kind]), split="train").features
    by_id = {row["clip_id"]: row for row in encoded(dataset, kind)}
    expected = {row["clip_id"]: row for row in rows_of(built[kind])}
    assert by_id == expected
    assert len(dataset) == len(expected)
    assert len(builder.as_dataset("train[:50%]")) == len(expected) // 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_builder_streams_from_local_folders(sources, built, tmp_path, kind):
    stream = make_builder(sources, tmp_path, kind).as_streaming_dataset("train")
    if kind == "audio":
        stream = stream.cast_column("audio", Audio(decode=False))
    first, second = list(stream.take(2))
    expected = {row["clip_id"]: row for row in rows_of(built[kind])}
    for row in (first, second):
        twin = expected[row["clip_id"]]
        if kind == "audio":
            assert row == twin
        else:
            np.testing.assert_array_equal(np.asarray(row["image"]), pixels_of(twin))
    assert first["clip_id"] != second["clip_id"]


def test_the_builder_has_three_configs_and_audio_is_the_default(tmp_path):
    assert tuple(urbansound13.UrbanSound13.builder_configs) == KINDS
    builder = urbansound13.UrbanSound13(cache_dir=str(tmp_path))
    assert builder.config.name == "audio"
    assert builder.info.features["label"].names == list(CLASS_NAMES)
    with pytest.raises(QuaclrsError, match="urbansound8k=FOLDER"):
        builder.as_streaming_dataset("train")


def test_the_builder_makes_new_rows_of_changed_recordings_and_options(tmp_path):
    sources = write_sources(tmp_path / "s")
    cache = tmp_path / "cache"
    first = make_builder(sources, cache, "spectrogram", image_size=32)
    assert make_builder(sources, cache, "spectrogram", image_size=32).cache_dir == first.cache_dir
    assert make_builder(sources, cache, "spectrogram", image_size=48).cache_dir != first.cache_dir
    clip = next((sources / "UrbanSound8K" / "audio").rglob("*.wav"))
    soundfile.write(clip, np.zeros(5_000), 22_050)
    assert make_builder(sources, cache, "spectrogram", image_size=32).cache_dir != first.cache_dir


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--config", "pictures"], "--config"),
        (["--image-size", "224"], "--image-size has no meaning for --config audio"),
        (["--config", "spectrogram", "--image-size", "0"], "--image-size is 0"),
        (["--config", "augmented", "--seed", "-1"], "--seed is -1"),
        (
            ["--config", "spectrogram", "--fill-per-fold", "449"],
            "--fill-per-fold has no meaning for --config spectrogram",
        ),
        (["--config", "augmented", "--fill-per-fold", "0"], "--fill-per-fold is 0"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2_with_nothing_written(sources, tmp_path, capsys, options, says):
    assert build(sources, tmp_path / "built", *options) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
