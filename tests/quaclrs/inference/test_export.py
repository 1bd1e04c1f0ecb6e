"""ONNX exports against PyTorch, and in processes that have no torch."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from quaclrs import QuaclrsError, load_classifier, load_urbansound13
from quaclrs.cli import main
from quaclrs.inference.export import export_onnx
from quaclrs.inference.onnx import load_onnx_classifier
from quaclrs.inference.quantization import quantize_export

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

RATE = 48_000
FILES = {"model.onnx", "classifier.onnx", "config.json", "predict.py", "README.md"}


@pytest.fixture(scope="module")
def classifier(tiniest_classifier_folder):
    return load_classifier(tiniest_classifier_folder, device="cpu")


@pytest.fixture(scope="module")
def exported(tiniest_classifier_folder, tmp_path_factory) -> tuple[Path, dict]:
    """What `quaclrs export` wrote, and what it printed."""
    folder, output = tmp_path_factory.mktemp("exports") / "onnx", io.StringIO()
    with redirect_stdout(output):
        status = main(["export", "--model", str(tiniest_classifier_folder), "--output-dir", str(folder), "--json"])
    assert status == 0
    return folder, json.loads(output.getvalue())


@pytest.fixture(scope="module")
def export(exported) -> Path:
    return exported[0]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> list[Path]:
    """Noise, a stereo tone of another rate and a short click, as files."""
    folder = tmp_path_factory.mktemp("sounds")
    generator = np.random.default_rng(0)
    tone = 0.4 * np.sin(2 * np.pi * 700 * np.arange(6 * 44_100) / 44_100)
    click = np.zeros(4_000)
    click[1_000] = 0.9
    made = {"noise": (generator.normal(0, 0.1, 4 * RATE), RATE), "tone": (np.stack([tone, tone / 2], 1), 44_100)}
    for name, (samples, rate) in (made | {"click": (click, RATE)}).items():
        soundfile.write(folder / f"{name}.wav", samples, rate, subtype="FLOAT")
    return [folder / f"{name}.wav" for name in ("noise", "tone", "click")]


@pytest.fixture(scope="module")
def without_torch(tmp_path_factory) -> dict[str, str]:
    """Environment of a child process in which torch, transformers and timm cannot be imported."""
    folder = tmp_path_factory.mktemp("blocked")
    for name in ("torch", "transformers", "timm", "torchaudio"):
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} is not installed here')\n")
    root = Path(__file__).parents[3]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(root)])}


def by_label(predictions: list[dict]) -> dict[str, float]:
    return {entry["label"]: entry["score"] for entry in predictions}


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_the_graph_gives_pytorchs_probabilities_for_batches_of_any_size(batch_size, export, classifier, sounds):
    inputs = classifier.prepare(sounds)[:batch_size]
    session = onnxruntime.InferenceSession(export / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input_values": inputs})
    with torch.inference_mode():
        expected = classifier.model(input_values=torch.from_numpy(inputs)).logits.softmax(-1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_graph_without_front_end_gives_pytorchs_logits(export, classifier, sounds):
    with torch.inference_mode():
        log_mels = classifier.model.quaclrs.log_mel(torch.from_numpy(classifier.prepare(sounds)))
        expected = classifier.model(input_features=log_mels).logits.numpy()
    session = onnxruntime.InferenceSession(export / "classifier.onnx", providers=["CPUExecutionProvider"])
    for rows in (slice(0, 1), slice(0, 3)):
        (found,) = session.run(None, {"input_features": log_mels[rows].numpy()})
        np.testing.assert_allclose(found, expected[rows], atol=1e-4)


def test_the_classifier_of_an_export_predicts_as_pytorch_does(export, classifier, sounds):
    for found, wanted in zip(load_onnx_classifier(export).predict(sounds), classifier.predict(sounds), strict=True):
        assert by_label(found) == pytest.approx(by_label(wanted), abs=1e-4)


def test_predict_with_onnx_runs_where_there_is_no_torch(export, classifier, sounds, without_torch):
    command = [sys.executable, "-m", "quaclrs.cli", "predict", *map(str, sounds), "--backend", "onnx", "--json"]
    command += ["--model", str(export), "--top-k", "13"]
    child = subprocess.run(command, env=without_torch, capture_output=True, text=True, timeout=120)
    assert child.returncode == 0, child.stderr
    for line, file, wanted in zip(child.stdout.splitlines(), sounds, classifier.predict(sounds), strict=True):
        answer = json.loads(line)
        assert answer["file"] == str(file)
        assert by_label(answer["predictions"]) == pytest.approx(by_label(wanted), abs=1e-4)


def test_the_script_in_the_export_runs_without_torch_and_without_quaclrs(
    export, classifier, sounds, without_torch, tmp_path
):
    (tmp_path / "quaclrs.py").write_text("raise ImportError('quaclrs is not installed here')\n")
    environment = {**without_torch, "PYTHONPATH": f"{tmp_path}{os.pathsep}{without_torch['PYTHONPATH']}"}
    broken = {"notes.wav": b"notes", "empty.wav": b"", "nan.wav": None}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content or b"")
    soundfile.write(tmp_path / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    files = [*sounds, *(tmp_path / name for name in broken), tmp_path]
    child = subprocess.run(
        [sys.executable, export / "predict.py", *files], env=environment, capture_output=True, text=True, timeout=120
    )
    assert child.returncode == 2
    errors = child.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in errors] == [str(file) for file in files[len(sounds) :]]
    for line, file, wanted in zip(child.stdout.splitlines(), sounds, classifier.predict(sounds), strict=True):
        name, *answers = line.split("\t")
        assert name == str(file)
        found = [re.fullmatch(r"([a-z_]+) (\d+\.\d)%", answer).groups() for answer in answers]
        assert [label for label, _ in found] == [entry["label"] for entry in wanted[:3]]
        assert [float(s) for _, s in found] == pytest.approx([100 * e["score"] for e in wanted[:3]], abs=0.06)


def test_the_script_answers_where_the_terminal_cannot_write_a_files_name(export, tmp_path):
    soundfile.write(tmp_path / "雨.wav", np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    child = subprocess.run(
        [sys.executable, export / "predict.py", tmp_path / "雨.wav"],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert re.search(r"/\\u96e8\.wav\t[a-z_]+ \d", child.stdout)


def test_the_script_is_short(export):
    assert len([line for line in (export / "predict.py").read_text().splitlines() if line.strip()]) <= 95


def test_an_export_is_whole_and_says_how_far_it_is_from_pytorch(exported):
    folder, printed = exported
    assert {file.name for file in folder.iterdir()} == FILES
    assert printed["folder"] == str(folder) and 0 <= printed["difference"] <= 1e-4
    assert "python predict.py clip.wav" in (folder / "README.md").read_text()


def test_a_folder_that_holds_something_is_left_as_it_is(classifier, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(QuaclrsError, match="is not empty; choose another --output-dir"):
        export_onnx(classifier, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.fixture
def clips(classifier, sample_dataset) -> np.ndarray:
    rows = load_urbansound13(str(sample_dataset), fold=2, split="test")
    return classifier.prepare([audio["bytes"] for audio in rows["audio"]][:24])


@pytest.fixture
def told_apart(classifier, clips, tmp_path) -> tuple[Path, np.ndarray, np.ndarray]:
    """An export of two classes that lie far apart, twelve clips of them, and their labels."""
    embeddings = classifier.embed_waveforms(clips)
    centre = embeddings.mean(0)
    along = np.linalg.svd(embeddings - centre, full_matrices=False)[2][0]
    order = np.argsort((embeddings - centre) @ along)
    weight = torch.from_numpy(np.outer([-10, 10], along).astype(np.float32))
    other = copy.deepcopy(classifier)
    linear = other.model.classifier
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.fill_(-1000)
        linear.weight[:2], linear.bias[:2] = weight, -weight @ torch.from_numpy(centre)
    export_onnx(other, tmp_path / "export")
    return tmp_path / "export", clips[np.concatenate([order[:6], order[-6:]])], np.repeat([0, 1], 6)


def test_int8_that_labels_as_well_is_kept_and_is_smaller(told_apart):
    export, clips, labels = told_apart
    accuracy = quantize_export(export, clips, clips, labels)
    assert (accuracy.float32, accuracy.int8, accuracy.agreement) == (1, 1, 1)
    assert (load_onnx_classifier(export, int8=True).classify(clips).argmax(1) == labels).all()
    # Most of so small a network's graph is the front end, which stays in float32.
    assert (export / "model_int8.onnx").stat().st_size < 0.8 * (export / "model.onnx").stat().st_size


def test_int8_that_labels_worse_is_not_kept(export, clips, tmp_path):
    shutil.copytree(export, tmp_path / "export")
    labels = load_onnx_classifier(export).classify(clips).argmax(1)
    # Scales taken from silence alone cut off whatever is louder.
    with pytest.raises(QuaclrsError, match="it is not kept; the float32 graph is"):
        quantize_export(tmp_path / "export", np.zeros_like(clips[:1]), clips, labels)
    assert {file.name for file in (tmp_path / "export").iterdir()} == FILES


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backend", "onnx", "--model", "nowhere"], "model folder nowhere does not exist"),
        (["--backend", "onnx", "--model", "."], "model.onnx does not exist; write it with `quaclrs export"),
        (["--threads", "-1"], "--threads is -1; it must be 1 or more"),
        (["--backend", "onnx", "--model", "x", "--device", "cpu"], "--device has no use with --backend onnx"),
    ],
)
def test_a_wrong_onnx_command_is_one_line(arguments, words, sounds, expect_one_error_line):
    assert main(["predict", str(sounds[0]), *arguments]) == 2
    expect_one_error_line(words)


def test_an_export_that_is_damaged_is_named(export, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    (tmp_path / "config.json").write_text((export / "config.json").read_text())
    with pytest.raises(QuaclrsError, match=r"cannot be loaded .*export it anew"):
        load_onnx_classifier(tmp_path)


def test_the_script_names_what_it_cannot_run_where_its_graph_is_a_pointer_or_cut_short(export, sounds, tmp_path):
    folder = shutil.copytree(export, tmp_path / "export")
    graph = (folder / "model.onnx").read_bytes()
    for content in (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n", graph[: len(graph) // 2]):
        (folder / "model.onnx").write_bytes(content)
        child = subprocess.run([sys.executable, folder / "predict.py", sounds[0]], capture_output=True, text=True)
        assert (child.returncode, child.stdout) == (2, "")
        assert re.fullmatch(rf"error: {re.escape(str(sounds[0]))}: .*model\.onnx.*\n", child.stderr)


def test_an_export_is_not_taken_for_a_model_with_weights(export, sounds, expect_one_error_line):
    assert main(["predict", str(sounds[0]), "--backend", "torch", "--model", str(export)]) == 2
    expect_one_error_line(f"model {export} is an export, which only ONNX Runtime runs; give the model/ folder")


def test_what_nobody_hears_is_silence_to_the_graph_and_to_the_script(export, tmp_path):
    dither = np.random.default_rng(0).integers(-1, 2, RATE) / 32_768
    classifier, files = load_onnx_classifier(export), []
    for number, sound in enumerate((np.zeros(RATE), 1e-20 * dither, dither)):
        assert classifier.predict(sound) == [{"label": "silence", "score": 1.0}]
        np.testing.assert_allclose(classifier.probabilities([sound]), 1 / 13, atol=1e-6)
        files.append(str(tmp_path / f"{number}.wav"))
        soundfile.write(files[-1], sound, RATE, subtype="DOUBLE")
    child = subprocess.run([sys.executable, export / "predict.py", *files], capture_output=True, text=True, check=True)
    assert child.stdout.splitlines() == [f"{file}\tsilence 100.0%" for file in files]
