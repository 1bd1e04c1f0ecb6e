"""`quaclrs predict`: what it prints where, and with what status, in this process and in a child."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import warm_python
from transformers import pipeline

from quaclrs.cli import main, make_parser
from quaclrs.labels import CLASS_NAMES

RATE = 48_000


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two good files and one that is no sound."""
    folder = tmp_path_factory.mktemp("clips")
    seconds = np.arange(RATE) / RATE
    files = {name: folder / f"{name}.wav" for name in ("tone", "noise", "broken")}
    soundfile.write(files["tone"], 0.5 * np.sin(2 * np.pi * 440 * seconds), RATE, subtype="FLOAT")
    noise = np.random.default_rng(0).normal(0, 0.2, RATE)
    soundfile.write(files["noise"], noise, RATE, subtype="FLOAT")
    files["broken"].write_text("not a sound")
    return files


@pytest.fixture(scope="module")
def expected(tiny_classifier_folder: Path, clips: dict[str, Path]) -> dict[str, list[dict]]:
    """What transformers' pipeline finds in the good files, best first."""
    classify = pipeline("audio-classification", model=str(tiny_classifier_folder), device="cpu")
    return {name: classify(soundfile.read(clips[name], dtype="float32")[0], top_k=13) for name in ("tone", "noise")}


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def assert_same_predictions(found: list[dict], wanted: list[dict]) -> None:
    assert [list(entry) for entry in found] == [["label", "score"]] * len(wanted)
    assert [entry["label"] for entry in found] == [entry["label"] for entry in wanted]
    np.testing.assert_allclose([e["score"] for e in found], [e["score"] for e in wanted], atol=1e-5)


def test_the_table_names_the_file_and_its_best_labels_in_percent(
    capsys, clips: dict[str, Path], expected: dict[str, list[dict]], tiny_classifier_folder: Path
) -> None:
    assert run("predict", clips["tone"], clips["noise"], "--model", tiny_classifier_folder) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line, name in zip(lines, ("tone", "noise"), strict=True):
        assert line.startswith(f"{clips[name]}: ")
        found = re.findall(r"([a-z_]+) (\d+\.\d)%", line.removeprefix(f"{clips[name]}: "))
        assert [label for label, _ in found] == [entry["label"] for entry in expected[name][:3]]
        for (_, percent), entry in zip(found, expected[name], strict=False):
            assert float(percent) == pytest.approx(100 * entry["score"], abs=0.06)


@pytest.mark.parametrize(("option", "length"), [([], 3), (["--top-k", "1"], 1), (["--top-k", "99"], 13)])
def test_json_is_one_object_a_line_with_the_best_labels_first(
    option: list[str],
    length: int,
    capsys,
    clips: dict[str, Path],
    expected: dict[str, list[dict]],
    tiny_classifier_folder: Path,
) -> None:
    files = clips["noise"], clips["tone"]

    assert run("predict", *files, "--model", tiny_classifier_folder, "--json", *option) == 0

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [list(row) for row in rows] == [["file", "predictions", "heard", "duration"]] * 2
    assert [row["file"] for row in rows] == [str(file) for file in files]
    for row, name in zip(rows, ("noise", "tone"), strict=True):
        assert_same_predictions(row["predictions"], expected[name][:length])


@pytest.mark.parametrize("batch_size", [1, 8])
def test_a_broken_file_among_others_is_named_and_the_others_are_still_labelled(
    batch_size: int, capsys, clips: dict[str, Path], expected: dict[str, list[dict]], tiny_classifier_folder: Path
) -> None:
    absent = clips["tone"].with_name("absent.wav")
    files = clips["tone"], clips["broken"], absent, clips["noise"]

    status = run("predict", *files, "--model", tiny_classifier_folder, "--json", "--batch-size", batch_size)

    output = capsys.readouterr()
    assert status == 2
    rows = [json.loads(line) for line in output.out.splitlines()]
    assert [row["file"] for row in rows] == [str(clips["tone"]), str(clips["noise"])]
    assert_same_predictions(rows[0]["predictions"], expected["tone"][:3])
    assert_same_predictions(rows[1]["predictions"], expected["noise"][:3])
    errors = [line for line in output.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert str(clips["broken"]) in errors[0]
    assert str(absent) in errors[1]
    assert "Traceback" not in output.err


def test_only_broken_files_give_status_2_and_no_output(
    capsys, clips: dict[str, Path], tiny_classifier_folder: Path
) -> None:
    assert run("predict", clips["broken"], "--model", tiny_classifier_folder) == 2

    output = capsys.readouterr()
    assert output.out == ""
    assert str(clips["broken"]) in output.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "CLIP", "--model", "/no/such/folder"], "/no/such/folder"),
        (["predict", "--model", "MODEL"], "FILE"),
        (["predict", "CLIP", "--model", "MODEL", "--top-k", "0"], "--top-k is 0"),
        (["predict", "CLIP", "--model", "MODEL", "--top-k", "three"], "--top-k"),
        (["predict", "CLIP", "--model", "MODEL", "--batch-size", "-1"], "--batch-size is -1"),
        (["predict", "CLIP", "--model", "MODEL", "--device", "toaster"], "toaster"),
        (["predict", "CLIP", "--model", "MODEL", "--loud"], "--loud is not understood (see quaclrs predict --help)"),
        (["predict", "CLIP", "--top_k=3"], "--top_k is not understood; did you mean --top-k? (see quaclrs predict"),
        (["export", "MODEL", "--output-dir", "o"], "is not understood (see quaclrs export --help)"),
        (["sing"], "sing"),
        ([], "COMMAND"),
    ],
)
def test_a_wrong_command_is_status_2_and_one_line_on_stderr(
    arguments: list[str], words: str, expect_one_error_line, clips: dict[str, Path], tiny_classifier_folder: Path
) -> None:
    stands_for = {"CLIP": str(clips["tone"]), "MODEL": str(tiny_classifier_folder)}

    assert run(*[stands_for.get(argument, argument) for argument in arguments]) == 2

    expect_one_error_line(words)


def test_words_that_begin_as_options_and_hold_a_space_are_values() -> None:
    options = make_parser().parse_args(["summary", "table.csv", "--title", "-- Main Street --"])
    assert options.title == "-- Main Street --"


def test_a_child_process_without_ffmpeg_labels_a_file_and_prints_nothing_else_on_stdout(
    clips: dict[str, Path], expected: dict[str, list[dict]], tiny_classifier_folder: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = ["predict", str(clips["noise"]), str(clips["broken"]), "--model", str(tiny_classifier_folder), "--json"]

    child = warm_python.run(["-m", "quaclrs.cli", *command], env=environment)

    assert child.returncode == 2
    (line,) = child.stdout.splitlines()
    assert_same_predictions(json.loads(line)["predictions"], expected["noise"][:3])
    assert {entry["label"] for entry in json.loads(line)["predictions"]} < set(CLASS_NAMES)
    assert "Traceback" not in child.stderr
    assert str(clips["broken"]) in child.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["evaluate", "--help"], ["--version"]])
def test_help_answers_without_importing_torch(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from quaclrs.cli import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "except SystemExit as end:\n"
        "    heavy = [m for m in ('torch', 'transformers', 'datasets', 'soundfile') if m in sys.modules]\n"
        "    print('status', end.code, 'imported', heavy)\n"
    )

    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "quaclrs" in child.stdout
    assert child.stdout.splitlines()[-1] == "status 0 imported []"
    assert child.stderr == ""
