"""`quaclrs info`: what it tells of models, of exports and of what was learned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from quaclrs.cli import main
from quaclrs.labels import CLASS_NAMES


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def export(tmp_path) -> Path:
    """What `quaclrs info` reads of an export: no graph is run."""
    config = {"id2label": {"0": "kettle", "1": "bell"}, "log_mel": {"duration": 2.0}}
    config["false_alarms"] = {"1": {"threshold": 0.9, "recall": 0.25}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.onnx").write_bytes(b"a graph")
    return tmp_path


def test_info_says_what_the_files_of_a_model_hold(tiny_classifier_folder, capsys):
    assert run("info", tiny_classifier_folder, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    weights = load_file(tiny_classifier_folder / "model.safetensors")
    assert told["parameters"] == sum(tensor.size for tensor in weights.values())
    assert told["bytes"] == (tiny_classifier_folder / "model.safetensors").stat().st_size
    assert told["labels"] == list(CLASS_NAMES)
    assert told["has_heard"] == "nobody knows what"
    assert (told["backbone"], told["log_mel"]["image_size"], told["dtype"]) == ("mobilenetv3_small_050", 96, "F32")
    assert run("info", tiny_classifier_folder) == 0
    assert "mobilenetv3_small_050" in capsys.readouterr().out


def test_info_takes_its_model_as_other_commands_do_but_only_one(tiny_classifier_folder, capsys, expect_one_error_line):
    assert run("info", tiny_classifier_folder) == 0
    told = capsys.readouterr().out
    assert run("info", "--model", tiny_classifier_folder) == 0
    assert capsys.readouterr().out == told
    assert run("info", tiny_classifier_folder, "--model", "other") == 2
    expect_one_error_line(f"two models are given, {tiny_classifier_folder} and --model other; give one")


def test_info_of_an_export_tells_its_labels_front_end_and_false_alarms(export, capsys):
    assert run("info", export) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told] == [
        *("model", "export", "hears", "classes", "at 1 false alarm an hour", "licence")
    ]
    assert told[2].startswith("hears: 2 s at 48000 Hz")
    assert told[3:5] == ["classes: kettle, bell", "at 1 false alarm an hour: score 0.90, recall 25.0%"]
    assert run("info", export, "--json") == 0
    assert json.loads(capsys.readouterr().out)["labels"] == ["kettle", "bell"]


def test_info_of_a_damaged_export_is_one_line(export, expect_one_error_line):
    (export / "config.json").write_text('{"id2label": {"1": "kettle"}, "log_mel": {}}')
    assert run("info", export) == 2
    expect_one_error_line("cannot be loaded")


def test_info_of_a_learned_model_tells_the_accuracy_that_learning_found(tiny_classifier_folder, tmp_path, capsys):
    learned = shutil.copytree(tiny_classifier_folder, tmp_path / "learned")
    report = {"accuracy": 0.835, "interval": [0.7, 0.9], "tested": {"clips": 24, "recordings": 12}}
    (learned / "learned.json").write_text(json.dumps(report))
    assert run("info", learned) == 0
    assert "accuracy (24 held-out clips of 12 recordings): 83.5%" in capsys.readouterr().out.splitlines()


def test_info_of_a_folder_without_a_model_is_one_line(tmp_path, expect_one_error_line):
    assert run("info", tmp_path) == 2
    expect_one_error_line("cannot be loaded (it has no config.json)")
