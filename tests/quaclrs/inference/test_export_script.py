"""What the `predict.py` of an export says of files that it cannot hear, or not wholly; the graph is a stand-in."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from quaclrs.models import LogMelConfig

SCRIPT = Path(__file__).parents[3] / "quaclrs" / "inference" / "onnx_script.py.txt"
RATE = 48_000
ANSWER = "kettle 75.0%\tbell 25.0%"

Run = Callable[..., tuple[int, list[str], list[str]]]


class Session:
    """Of a graph that hears a kettle everywhere."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def run(self, _: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert np.isfinite(inputs["input_values"]).all()
        return [np.array([[0.75, 0.25]], np.float32)]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys) -> Run:
    """Runs the script in its folder; gives its status and the lines on standard output and standard error."""
    (tmp_path / "predict.py").write_text(SCRIPT.read_text())
    config = {"id2label": {"0": "kettle", "1": "bell"}, "log_mel": LogMelConfig().to_dict()}
    (tmp_path / "config.json").write_text(json.dumps(config))
    runtime = ModuleType("onnxruntime")
    runtime.InferenceSession = Session
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    monkeypatch.chdir(tmp_path)

    def of(*arguments: str) -> tuple[int, list[str], list[str]]:
        monkeypatch.setattr(sys, "argv", ["predict.py", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(tmp_path / "predict.py"))
        output = capsys.readouterr()
        return ended.value.code or 0, output.out.splitlines(), output.err.splitlines()

    return of


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_script_says_how_it_is_used(option, run):
    status, said, errors = run(option)
    assert (status, said[0], errors) == (0, "usage: python predict.py FILE...", [])


def test_the_script_calls_a_folder_a_folder(run, tmp_path):
    (tmp_path / "sounds").mkdir()
    assert run("sounds") == (2, [], ["error: sounds: is a folder; give its files"])


def test_the_script_says_that_a_file_holds_no_samples(run):
    soundfile.write("none.wav", np.zeros(0), RATE)
    assert run("none.wav") == (2, [], ["error: none.wav: holds no samples"])


def test_the_script_names_a_file_that_is_no_sound_once(run, tmp_path):
    (tmp_path / "notes.wav").write_text("notes")
    status, said, errors = run("notes.wav")
    assert (status, said) == (2, []) and errors[0].startswith("error: notes.wav: ") and errors[0].count("notes") == 1


def test_the_script_calls_nan_and_infinite_samples_by_their_name(run):
    sound = noise(1)
    sound[100], sound[200] = np.nan, np.inf
    soundfile.write("some.wav", sound, RATE, subtype="FLOAT")
    said = f"some.wav\t{ANSWER}"
    assert run("some.wav") == (0, [said], ["warning: some.wav: holds NaN or infinite samples, heard as silence"])
    soundfile.write("all.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    assert run("all.wav") == (2, [], ["error: all.wav: holds little but NaN or infinite samples"])


@pytest.mark.parametrize("seconds", [3, 25])  # of which the decoder gives the part in one block or after another
@pytest.mark.parametrize("name", ["cut.flac", "cut.wav"])
def test_the_script_hears_what_is_there_of_a_file_that_is_cut_short(name, seconds, run):
    soundfile.write(name, noise(seconds), RATE)
    content = Path(name).read_bytes()
    Path(name).write_bytes(content[: 2 * len(content) // 3])
    warning = f"warning: {name}: is damaged, cut short or not finished; quaclrs says what is lost of it"
    assert run(name) == (0, [f"{name}\t{ANSWER}"], [warning])
