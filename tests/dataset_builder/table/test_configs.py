"""The configs of a build: the same rows every time, those of audio in the `datasets` builder too."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from built_pictures import build, rows_of, write_sources
from datasets import Audio, load_dataset

from dataset_builder import urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES


def test_audio_is_the_default_config(sources, built, tmp_path):
    assert build(sources, tmp_path / "default") == 0
    assert rows_of(tmp_path / "default") == rows_of(built["audio"])


@pytest.mark.parametrize(
    "kind", ["audio", *(pytest.param(kind, marks=pytest.mark.weekly) for kind in ("spectrogram", "augmented"))]
)
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


def make_builder(sources: Path, cache: Path, **options):
    given = {"urbansound8k": str(sources / "UrbanSound8K"), "sirennet": str(sources / "sireNNet")}
    return urbansound13.UrbanSound13(cache_dir=str(cache), **given, **options)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_builder_has_the_rows_of_the_parquet_folder(sources, built, tmp_path, processes):
    builder = make_builder(sources, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking a process with threads, as datasets does
        builder.download_and_prepare(num_proc=processes)
    dataset = builder.as_dataset("train")
    assert dataset.features == load_dataset(str(built["audio"]), split="train").features
    by_id = {row["clip_id"]: row for row in dataset.cast_column("audio", Audio(decode=False))}
    expected = {row["clip_id"]: row for row in rows_of(built["audio"])}
    assert by_id == expected
    assert len(dataset) == len(expected)
    assert len(builder.as_dataset("train[:50%]")) == len(expected) // 2


def test_the_builder_streams_from_local_folders(sources, built, tmp_path):
    stream = make_builder(sources, tmp_path).as_streaming_dataset("train").cast_column("audio", Audio(decode=False))
    first, second = list(stream.take(2))
    expected = {row["clip_id"]: row for row in rows_of(built["audio"])}
    for row in (first, second):
        assert row == expected[row["clip_id"]]
    assert first["clip_id"] != second["clip_id"]


def test_the_builder_has_one_config_and_asks_for_sources(tmp_path):
    assert tuple(urbansound13.UrbanSound13.builder_configs) == ("audio",)
    builder = urbansound13.UrbanSound13(cache_dir=str(tmp_path))
    assert builder.config.name == "audio"
    assert builder.info.features["label"].names == list(CLASS_NAMES)
    with pytest.raises(QuaclrsError, match="urbansound8k=FOLDER"):
        builder.as_streaming_dataset("train")


def test_the_builder_makes_new_rows_of_changed_recordings_and_options(tmp_path):
    sources = write_sources(tmp_path / "s")
    cache = tmp_path / "cache"
    first = make_builder(sources, cache)
    assert make_builder(sources, cache).cache_dir == first.cache_dir
    assert make_builder(sources, cache, keep_siren=True).cache_dir != first.cache_dir
    clip = next((sources / "UrbanSound8K" / "audio").rglob("*.wav"))
    soundfile.write(clip, np.zeros(5_000), 22_050)
    assert make_builder(sources, cache).cache_dir != first.cache_dir


def test_a_wrong_config_is_one_line_and_status_2_with_nothing_written(sources, tmp_path, capsys):
    assert build(sources, tmp_path / "built", "--config", "pictures") == 2
    error = capsys.readouterr().err
    assert "--config" in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
    with pytest.raises(QuaclrsError, match="--config is 'pictures'; choose audio, spectrogram, augmented"):
        urbansound13.BuildConfig(kind="pictures")
