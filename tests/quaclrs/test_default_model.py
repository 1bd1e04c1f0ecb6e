"""The model in the package: what lies there, what it says of real sounds, and what must not sway it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from safetensors import safe_open

from quaclrs import CLASS_NAMES, load_classifier
from quaclrs.cli import main
from quaclrs.default_model import DEFAULT_MODEL
from quaclrs.inference.pytorch import TorchClassifier

#: UrbanSound8K's classes by the second number of a file's name (its README).
URBANSOUND8K = (
    "air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling", "engine_idling", "gun_shot",
    "jackhammer", "siren", "street_music",
)  # fmt: skip
SIRENS = {"ambulance", "firetruck", "police"}


@pytest.fixture(scope="module")
def classifier() -> TorchClassifier:
    return load_classifier(device="cpu")


@pytest.fixture(scope="module")
def formats(shared_data) -> list[tuple[Path, set[str]]]:
    """Recordings of many encodings, each with the answers that are right."""
    files = sorted((shared_data / "formats").glob("*.wav"))
    right = [URBANSOUND8K[int(file.name.split("-")[1])] for file in files]
    assert len(files) == 18
    return [(file, SIRENS if label == "siren" else {label}) for file, label in zip(files, right, strict=True)]


def loudest(answers: list[dict]) -> str:
    return answers[0]["label"]


def test_it_is_small_safe_and_licensed_and_runs_in_float32(classifier) -> None:
    files = {file.name for file in DEFAULT_MODEL.iterdir()}
    assert {"config.json", "preprocessor_config.json", "model.safetensors", "README.md", "LICENSE"} <= files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert sum(file.stat().st_size for file in DEFAULT_MODEL.iterdir() if file.is_file()) <= 12e6
    with safe_open(DEFAULT_MODEL / "model.safetensors", "numpy") as weights:
        assert weights.get_slice("classifier.weight").get_dtype() == "F16"
    assert {parameter.dtype for parameter in classifier.model.parameters()} == {torch.float32}
    assert classifier.labels == list(CLASS_NAMES)
    licence = (DEFAULT_MODEL / "LICENSE").read_text()
    assert "CC BY-NC 4.0" in licence and "Apache License 2.0" in licence


def test_real_recordings_of_every_encoding_are_named_rightly(classifier, formats) -> None:
    wrong = [file.name for file, right in formats if loudest(classifier.predict(file)) not in right]
    assert len(wrong) <= 1, wrong


@pytest.mark.parametrize(
    ("change", "agree"),
    [
        (lambda x, rate: (x * 0.03, rate), 17),  # 30 dB down: levels are relative
        (lambda x, rate: (np.column_stack([x, x]), rate), 18),
        (lambda x, rate: (np.concatenate([np.zeros(rate // 5, np.float32), x]), rate), 15),
        (lambda x, rate: (x[: max(rate, len(x) // 2)], rate), 15),  # half of it, a second at least
        (lambda x, rate: (soxr.resample(x, rate, 22_050), 22_050), 16),
        (lambda x, rate: (x.clip(-0.5 * np.abs(x).max(), 0.5 * np.abs(x).max()), rate), 14),
    ],
    ids=["30 dB quieter", "stereo", "0.2 s of silence before", "the first half", "22.05 kHz", "clipped"],
)
def test_level_channels_place_length_rate_and_clipping_rarely_change_the_answer(classifier, formats, change, agree):
    same = 0
    for file, _ in formats:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        mono = samples.mean(axis=1)
        waveform, new_rate = change(mono, rate)
        before, after = classifier.predict(mono, rate), classifier.predict(waveform.T, new_rate)
        same += loudest(before) == loudest(after)
    assert same >= agree


def test_the_command_line_needs_no_option(formats, capsys, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["predict", str(formats[0][0])]) == 0
    assert "dog_bark" in capsys.readouterr().out
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    assert "the model in the package" in said and str(DEFAULT_MODEL / "LICENSE") in said


def test_evaluating_it_on_what_it_was_trained_on_is_warned_of(sample_dataset, capsys) -> None:
    assert main(["evaluate", "--dataset", str(sample_dataset), "--fold", "1"]) == 0
    assert "was trained on UrbanSound13: it has learned from these clips" in capsys.readouterr().out


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_model_alone(tmp_path) -> None:
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, root], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"quaclrs/default_model/{name}" for name in ("model.safetensors", "LICENSE", "README.md")} <= set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"quaclrs"}
    assert wheel.stat().st_size < 12e6
