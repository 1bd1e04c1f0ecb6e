"""An archive to one table: whole, killed and resumed, by two processes, with broken files; rows against `timeline`."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs import load_classifier
from quaclrs.cli import main

FILES = 8


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """Noise and tones of several lengths, a recorder's name among them, and one file that is broken."""
    folder = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(0)
    (folder / "night").mkdir()
    for number in range(FILES):
        seconds = 3 + 4 * number
        tone = 0.3 * np.sin(2 * np.pi * 500 * np.arange(seconds * 16_000) / 16_000)
        half = len(tone) // 2
        sound = np.concatenate([tone[:half], rng.normal(0, 0.02, len(tone) - half)])
        name = f"night/SM4_20230415_2359{number:02}.wav" if number % 2 else f"{number}.flac"
        soundfile.write(folder / name, sound, 16_000)
    (folder / "broken.wav").write_text("no sound\n")
    return folder


def command(archive: Path, output: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "quaclrs.annotate", ".", "--output", str(output), "--threads", "1", *more]


def annotate(archive: Path, output: Path, *more: str) -> None:
    done = subprocess.run(command(archive, output, *more), cwd=archive, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    assert "broken.wav is text, no sound" in done.stderr


@pytest.fixture(scope="module")
def whole(archive, tmp_path_factory) -> Path:
    """The table of a run that nobody disturbed."""
    output = tmp_path_factory.mktemp("whole") / "labels.csv"
    annotate(archive, output)
    return output


def test_rows_are_the_segments_of_a_timeline_with_levels_and_the_recorders_time(archive, whole):
    with whole.open() as file:
        rows = list(csv.DictReader(file))
    assert sorted({row["file"] for row in rows}) == [row["file"] for row in rows if row["start"] == "0.0"]
    classifier = load_classifier(backend="onnx", threads=1)
    for path in (archive / "2.flac", archive / "night/SM4_20230415_235907.wav"):
        of_file = [row for row in rows if row["file"] == str(path.relative_to(archive))]
        sound, rate = soundfile.read(path)
        assert float(of_file[-1]["end"]) == pytest.approx(len(sound) / rate, abs=1e-3)
        for row in of_file:
            part = sound[round(float(row["start"]) * rate) : round(float(row["end"]) * rate)]
            assert float(row["level"]) == pytest.approx(10 * np.log10(np.square(part).mean()), abs=0.2)
        # The first window, whatever is heard between it and the next.
        first = classifier.predict(sound[: 4 * rate], rate)[0]
        assert (of_file[0]["label"], float(of_file[0]["score"])) == (
            first["label"],
            pytest.approx(first["score"], abs=0.2),
        )
    assert of_file[0]["time"] == "2023-04-15T23:59:07.000"
    assert all(row["time"] == "" for row in rows if row["file"].endswith(".flac"))


def lines_in(journal: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in journal.glob("*.jsonl"))


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_table(archive, whole, tmp_path):
    output = tmp_path / "labels.csv"
    journal = tmp_path / "labels.csv.journal"
    for wanted in (1, 3, 6):
        child = subprocess.Popen(command(archive, output), cwd=archive, stderr=subprocess.DEVNULL)
        while child.poll() is None and lines_in(journal) < wanted:
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert not output.exists()
    heard = lines_in(journal)
    for file in journal.glob("*.jsonl"):  # what a power cut may leave
        with file.open("ab") as torn:
            torn.write(b'{"file":"2.flac","size":1')
    annotate(archive, output)
    assert output.read_bytes() == whole.read_bytes()
    assert lines_in(journal) - heard <= FILES + 1 - 6 + 2  # what was finished was not heard again, but for broken ones


def test_two_processes_share_the_files_and_write_the_table_of_one(archive, whole, tmp_path):
    output = tmp_path / "labels.csv"
    ranks = [
        subprocess.Popen(
            command(archive, output),
            cwd=archive,
            env=os.environ | {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
            stderr=subprocess.DEVNULL,
        )
        for rank in range(2)
    ]
    assert [rank.wait(timeout=300) for rank in ranks] == [0, 0]
    assert output.read_bytes() == whole.read_bytes()
    heard = [
        [json.loads(line)["file"] for line in file.read_text().splitlines()]
        for file in output.with_name("labels.csv.journal").glob("*.jsonl")
    ]
    assert len(heard) == 2  # both had a share
    files = [name for journal in heard for name in journal if name != "broken.wav"]  # which each may try
    assert len(files) == len(set(files)) == FILES


def test_a_file_that_a_dead_process_worked_on_is_taken_over(archive, whole, tmp_path):
    for attempt in range(5):
        output = tmp_path / f"{attempt}.csv"
        first = subprocess.Popen(command(archive, output), cwd=archive, stderr=subprocess.DEVNULL)
        while lines_in(tmp_path / f"{attempt}.csv.journal") < 2:
            time.sleep(0.002)
        first.send_signal(signal.SIGSTOP)  # it holds its claims, and does nothing
        second = subprocess.Popen(command(archive, output), cwd=archive, stderr=subprocess.DEVNULL)
        time.sleep(3)
        waits = second.poll() is None
        first.send_signal(signal.SIGKILL)
        assert second.wait(timeout=300) == 2
        first.wait()
        assert output.read_bytes() == whole.read_bytes()
        if waits:  # else the first was stopped between two files
            return
    pytest.fail("the second process never waited for the first")


def test_new_files_are_added_and_other_options_refused(archive, tmp_path, monkeypatch, expect_one_error_line, capsys):
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        soundfile.write(f"{number}.wav", np.random.default_rng(number).normal(0, 0.1, 48_000), 48_000)
        assert main(["annotate", ".", "--output", "out/labels.jsonl", "--quiet"]) == 0
    assert [json.loads(line)["file"] for line in Path("out/labels.jsonl").read_text().splitlines()] == [
        "0.wav",
        "1.wav",
    ]
    assert lines_in(Path("out/labels.jsonl.journal")) == 2
    capsys.readouterr()
    assert main(["annotate", ".", "--output", "out/labels.jsonl", "--min-score", "0.5"]) == 2
    expect_one_error_line("labels.jsonl.journal was begun with other settings (min_score); give the same, ")


def test_another_folder_into_the_same_table_says_whose_rows_it_is_without(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000)
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "a.wav", noise, 16_000)
    assert main(["annotate", "monday", "--output", "t.csv", "--quiet"]) == 0
    assert capsys.readouterr().err == "t.csv: 2 s in 1 of 1 file\n"
    assert main(["annotate", "tuesday", "--output", "t.csv", "--quiet"]) == 0
    assert "warning: t.csv: 1 file of an earlier run is not among these sounds" in capsys.readouterr().err
    assert main(["annotate", "monday", "tuesday", "--output", "t.csv", "--quiet"]) == 0
    with (tmp_path / "t.csv").open() as file:
        assert {row["file"] for row in csv.DictReader(file)} == {"monday/a.wav", "tuesday/a.wav"}


def test_parquet_holds_the_rows_of_csv_and_selection_tables_those_of_a_file(archive, whole, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    annotate(archive, tmp_path / "labels.parquet", "--embeddings", str(tmp_path / "kept"))
    with whole.open() as file:
        expected = list(csv.DictReader(file))
    found = parquet.read_table(tmp_path / "labels.parquet").to_pylist()
    assert [(row["file"], row["label"], row["time"] or "") for row in found] == [
        (row["file"], row["label"], row["time"]) for row in expected
    ]
    for name in ("start", "end", "score", "level"):
        assert [row[name] for row in found] == pytest.approx([float(row[name]) for row in expected], abs=1e-5)
    kept = np.load(tmp_path / "kept/6.flac.npy")
    sound, rate = soundfile.read(archive / "6.flac")
    classifier = load_classifier(backend="onnx", threads=1)
    second = classifier.embed(sound[4 * rate : 8 * rate].astype(np.float32), rate)
    assert len(kept) == -(-len(sound) // (4 * rate))
    assert np.corrcoef(kept[1], second)[0, 1] > 0.99  # resampled piece by piece

    annotate(archive, tmp_path / "raven", "--format", "raven")
    table = (tmp_path / "raven/6.flac.Table.1.selections.txt").read_text().splitlines()
    assert table[0].split("\t")[:5] == ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)"]
    of_file = [row for row in expected if row["file"] == "6.flac"]
    assert [line.split("\t")[7] for line in table[1:]] == [row["label"] for row in of_file]
    assert [float(line.split("\t")[4]) for line in table[1:]] == [float(row["end"]) for row in of_file]


@pytest.mark.parametrize(
    ("output", "words"),
    [("labels.txt", "ends in none of .parquet, .csv, .jsonl"), ("labels", "give a folder and --format audacity or")],
)
def test_an_output_that_names_no_format_is_refused_before_any_work(output, words, tmp_path, expect_one_error_line):
    assert main(["annotate", str(tmp_path), "--output", str(tmp_path / output)]) == 2
    expect_one_error_line(words)


def test_sounds_that_are_not_there_are_named_and_leave_no_table(tmp_path, expect_one_error_line):
    for mistyped in (str(tmp_path / "archve"), "-"):
        assert main(["annotate", mistyped, "--output", str(tmp_path / "out" / "labels.csv")]) == 2
        expect_one_error_line(f"{mistyped} does not exist; give sound files, or folders of them")
    assert not list(tmp_path.iterdir())


def test_a_folder_without_sounds_is_named(tmp_path, expect_one_error_line):
    assert main(["annotate", str(tmp_path), "--output", str(tmp_path / "out" / "labels.csv")]) == 2
    expect_one_error_line("holds no sound files")
