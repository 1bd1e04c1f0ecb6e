"""The model in the package: what lies there, what it says of real sounds, and what must not sway it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import soxr
import torch
from safetensors import safe_open

from quaclrs import CLASS_NAMES, load_classifier, load_urbansound13
from quaclrs.cli import main
from quaclrs.default_model import DEFAULT_MODEL
from quaclrs.evaluation.training_data import TrainingData
from quaclrs.inference.pytorch import TorchClassifier
from quaclrs.labels import OTHER
from quaclrs.models import QuaclrsForAudioClassification, QuaclrsModel

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
    assert sum(file.stat().st_size for file in DEFAULT_MODEL.iterdir() if file.is_file()) <= 18_000_000
    with safe_open(DEFAULT_MODEL / "model.safetensors", "numpy") as weights:
        assert weights.get_slice("classifier.weight").get_dtype() == "F16"
    assert {parameter.dtype for parameter in classifier.model.parameters()} == {torch.float32}
    assert classifier.labels == [*CLASS_NAMES, OTHER]
    licence = (DEFAULT_MODEL / "LICENSE").read_text()
    assert "CC BY-NC 4.0" in licence and "Apache License 2.0" in licence


#: The eight largest of YAMNet's 1024 embedding dimensions for `sweep()`, by TensorFlow 2.21 from the published
#: checkpoint, with the sum over all and how many are not 0.
BY_TENSORFLOW = {
    953: 3.8592, 690: 2.9063, 713: 2.8105, 156: 2.7393, 389: 2.5141, 55: 2.5122, 326: 2.3228, 272: 2.2868,
}  # fmt: skip
SUM, ACTIVE = 83.56401, 119

#: The same dimensions by TensorFlow 2.21: its layers, with the weights of the package as they are, half precision, on
#: the log-mel of `yamnets_log_mel`.
BY_TENSORFLOW_WITH_OUR_WEIGHTS = {
    953: 3.86105, 690: 2.90715, 713: 2.81478, 156: 2.73788, 389: 2.51731, 55: 2.51639, 326: 2.32344, 272: 2.28903,
}  # fmt: skip


def sweep() -> np.ndarray:
    """0.975 s from 200 to 4000 Hz at 16 kHz: one of YAMNet's patches."""
    seconds = np.arange(15_600) / 16_000
    return 0.5 * np.sin(2 * np.pi * (200 * seconds + 3800 / (2 * 0.975) * seconds**2))


def yamnets_log_mel(waveform: np.ndarray) -> np.ndarray:
    """As YAMNet's published code has it (features.py): 400 samples a frame, from the very first; (mels, frames)."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 400)[::160] * np.hanning(401)[:400]
    bank = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None)
    return np.log(bank @ np.abs(np.fft.rfft(frames, 512)).T + 0.001)


def _encoder_of(backbone: str) -> QuaclrsModel:
    encoder = QuaclrsForAudioClassification.from_pretrained(DEFAULT_MODEL, dtype=torch.float32).quaclrs
    (found,) = [e for e in (encoder, *encoder.more_encoders) if e.config.backbone == backbone]
    return found


def test_its_encoder_embeds_as_tensorflows_yamnet_does() -> None:
    backbone = _encoder_of("yamnet").backbone.eval()
    log_mel = yamnets_log_mel(sweep())
    picture = torch.from_numpy(log_mel[::-1, :96].copy()).float().expand(1, 3, -1, -1)  # its own level

    with torch.no_grad():
        embedding = backbone.network(backbone.split(picture))[0].numpy()

    assert set(np.argsort(-embedding)[:8].tolist()) == set(BY_TENSORFLOW)
    # TensorFlow's mel bands are triangles over mels, librosa's over hertz; our weights are in half precision.
    np.testing.assert_allclose(embedding[list(BY_TENSORFLOW)], list(BY_TENSORFLOW.values()), atol=5e-3)
    expected = list(BY_TENSORFLOW_WITH_OUR_WEIGHTS.values())
    np.testing.assert_allclose(embedding[list(BY_TENSORFLOW_WITH_OUR_WEIGHTS)], expected, atol=2e-5)
    assert embedding.sum() == pytest.approx(SUM, rel=1e-3)
    assert (embedding > 0).sum() == pytest.approx(ACTIVE, abs=1)


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
        (lambda x, rate: (soxr.resample(soxr.resample(x, rate, 20_000), 20_000, rate), rate), 18),
        (lambda x, rate: (x.clip(-0.5 * np.abs(x).max(), 0.5 * np.abs(x).max()), rate), 14),
    ],
    ids=[
        "30 dB quieter",
        "stereo",
        "0.2 s of silence before",
        "the first half",
        "22.05 kHz",
        "nothing above 10 kHz",
        "clipped",
    ],
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


def test_an_original_and_its_copy_of_half_the_band_get_one_answer(classifier, formats, shared_data) -> None:
    copies = {file.stem: file for file in (shared_data / "UrbanSound8K" / "audio").rglob("*.*")}
    twins = [(file, copies[file.stem]) for file, _ in formats if file.stem in copies]
    differing = [
        file.name for file, copy in twins if loudest(classifier.predict(file)) != loudest(classifier.predict(copy))
    ]
    assert len(twins) >= 10
    assert len(differing) <= 1, differing


def test_sounds_of_no_class_are_other_and_street_sounds_are_not(classifier, shared_data) -> None:
    esc50 = shared_data / "ESC-50" / "audio"
    for kind in ("rain", "cat", "footsteps"):
        answers = [loudest(answer) for answer in classifier.predict(sorted((esc50 / kind).iterdir())[:8])]
        assert answers.count(OTHER) >= 5, (kind, answers)


def test_the_command_line_needs_no_option(formats, capsys, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["predict", str(formats[0][0])]) == 0
    assert "dog_bark" in capsys.readouterr().out
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    assert "the model in the package" in said and str(DEFAULT_MODEL / "LICENSE") in said


def test_it_knows_the_clips_that_it_was_trained_on_and_takes_no_others_for_them(shared_data, sample_dataset) -> None:
    config = json.loads((DEFAULT_MODEL / "config.json").read_text())
    heard = TrainingData.of_model(config["training_data"])
    assert heard.complete
    dogs = [file for file in (shared_data / "UrbanSound8K" / "audio").rglob("*.*") if file.name.split("-")[1] == "3"]
    trained = [str(file) for file in [*dogs, *(shared_data / "sireNNet" / "police").iterdir()]]
    assert len(trained) > 50 and heard.has_heard_files(trained).all()
    esc50 = shared_data / "ESC-50" / "audio"
    rain = [str(file) for file in (esc50 / "rain").iterdir()]
    assert heard.has_heard_files(rain).all()  # background of `other`
    fireworks = [str(file) for kind in ("fireworks", "chainsaw", "train") for file in (esc50 / kind).iterdir()]
    assert heard.has_heard_files(fireworks).sum() <= len(fireworks) / 20  # some are of one recording at Freesound
    assert not heard.has_heard(load_urbansound13(sample_dataset), "strict").any()


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_model_alone(tmp_path) -> None:
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, root], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"quaclrs/default_model/{name}" for name in ("model.safetensors", "LICENSE", "README.md")} <= set(names)
    assert "quaclrs/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"quaclrs"}
    assert wheel.stat().st_size < 25e6
