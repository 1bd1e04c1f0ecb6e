"""`model.onnx` beside a model's weights: against PyTorch, with other weights, and graphs that do not belong there."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from quaclrs import QuaclrsError, load_classifier
from quaclrs.cli import main
from quaclrs.default_model import DEFAULT_MODEL
from quaclrs.inference import OnnxClassifier
from quaclrs.inference.pytorch import TorchClassifier
from quaclrs.models import QuaclrsForAudioClassification

onnx = pytest.importorskip("onnx")

RATE = 48_000
EXAMPLES = Path(__file__).parents[3] / "spaces" / "examples"


@pytest.fixture(scope="module")
def model(made_once, tiniest_classifier_folder) -> Path:
    """A model's folder with its graph; do not write into it."""

    def write(folder: Path) -> None:
        shutil.copytree(tiniest_classifier_folder, folder)
        assert main(["export", "--in-place", "--model", str(folder)]) == 0

    return made_once("model_with_graph", write)


@pytest.fixture
def copy(model, tmp_path) -> Path:
    """A copy of it to write into."""
    return Path(shutil.copytree(model, tmp_path / "copy"))


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    """Noise, a tone, a short click and silence."""
    generator = np.random.default_rng(0)
    tone = 0.4 * np.sin(2 * np.pi * 700 * np.arange(6 * RATE) / RATE)
    click = np.zeros(4_000)
    click[1_000] = 0.9
    return [generator.normal(0, 0.1, 4 * RATE), tone, click, np.zeros(RATE)]


def assert_equal(found: OnnxClassifier, wanted: TorchClassifier, sounds: list) -> None:
    """Scores within 1e-4, embeddings within 1e-4 of their largest number."""
    np.testing.assert_allclose(found.probabilities(sounds), wanted.probabilities(sounds), atol=1e-4)
    embeddings = wanted.embed(sounds)
    np.testing.assert_allclose(found.embed(sounds), embeddings, atol=1e-4 * np.abs(embeddings).max())


def test_the_packaged_model_runs_by_onnx_as_by_pytorch() -> None:
    sounds = sorted(EXAMPLES.glob("*.ogg"))
    found, wanted = load_classifier(), load_classifier(backend="torch")
    assert isinstance(found, OnnxClassifier) and isinstance(wanted, TorchClassifier)
    assert_equal(found, wanted, sounds)


def test_real_clips_score_by_onnx_as_by_pytorch(shared_data) -> None:
    clips = sorted((shared_data / "UrbanSound8K").glob("**/*.ogg"))[::200]
    clips += sorted((shared_data / "sireNNet").glob("**/*.ogg"))[::50]
    assert len(clips) >= 20
    assert_equal(load_classifier(), load_classifier(backend="torch"), clips)


def test_the_packaged_graph_holds_no_weights_and_no_path_of_the_machine_that_wrote_it() -> None:
    graph = (DEFAULT_MODEL / "model.onnx").read_bytes()
    assert len(graph) < 1 << 20
    names = {tensor.name for tensor in onnx.load_from_string(graph).graph.initializer}
    assert not names & {name.removeprefix("quaclrs.") for name in load_file(DEFAULT_MODEL / "model.safetensors")}
    for path in (b"/work", b"/home", b"site-packages", b".py"):
        assert path not in graph


def test_a_model_gets_its_graph_by_one_command_and_then_runs_by_onnx(model, tiniest_classifier_folder, sounds) -> None:
    found = load_classifier(model)
    assert isinstance(found, OnnxClassifier)
    assert_equal(found, load_classifier(tiniest_classifier_folder), sounds)


def test_a_model_without_graph_runs_by_pytorch(tiny_classifier_folder) -> None:
    assert isinstance(load_classifier(tiny_classifier_folder), TorchClassifier)
    with pytest.raises(QuaclrsError, match=r"has no model.onnx; write it with `quaclrs export --in-place"):
        load_classifier(tiny_classifier_folder, backend="onnx")


def test_a_device_asks_for_pytorch(model) -> None:
    assert isinstance(load_classifier(model, "cpu"), TorchClassifier)
    with pytest.raises(QuaclrsError, match="device has no use with the backend onnx"):
        load_classifier(model, "cpu", backend="onnx")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_graph_serves_other_weights_of_any_precision_and_another_classifier(dtype, copy, sounds) -> None:
    """As after training on, and as after learning other classes."""
    network = QuaclrsForAudioClassification.from_pretrained(copy, num_labels=3, ignore_mismatched_sizes=True)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 + 0.1 * torch.rand(parameter.shape, generator=generator))
        network.classifier.weight.normal_(std=0.3, generator=generator)
    network.config.problem_type = "multi_label_classification"
    network.save_pretrained(copy)
    weights = load_file(copy / "model.safetensors")
    save_file({n: w.to(dtype) if w.is_floating_point() else w for n, w in weights.items()}, copy / "model.safetensors")
    found = load_classifier(copy)
    assert isinstance(found, OnnxClassifier)
    assert found.labels == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert_equal(found, load_classifier(copy, backend="torch"), sounds)
    assert found.probabilities(sounds[-1:]).max() < 1e-9  # of several labels a silent clip has none


def rewritten(folder: Path, **options) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **options}))


def test_a_graph_of_another_encoder_is_named_though_its_weights_would_fit(copy) -> None:
    rewritten(copy, image_mean=[0.4, 0.4, 0.4])
    with pytest.raises(QuaclrsError, match=r"model.onnx cannot be loaded \(it is the graph of another encoder"):
        load_classifier(copy)


def test_options_that_act_outside_the_graph_may_change(copy) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        values = json.loads((copy / name).read_text())
        values["log_mel"] |= {"pad_mode": "repeat", "silence_dbfs": -60.0}
        (copy / name).write_text(json.dumps(values))
    assert load_classifier(copy).predict(np.full(4_000, 5e-4)) == [{"label": "silence", "score": 1.0}]


def stored_elsewhere(graph: onnx.ModelProto) -> None:
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="model.safetensors")


def without_weight(weights: dict) -> None:
    del weights["quaclrs.backbone.network.conv_stem.weight"]


def of_another_shape(weights: dict) -> None:
    weights["quaclrs.backbone.network.conv_stem.weight"] = torch.zeros(3, 3)


def not_finite(weights: dict) -> None:
    weights["quaclrs.backbone.network.conv_stem.weight"][0, 0, 0, 0] = float("nan")


def without_classifier(weights: dict) -> None:
    del weights["classifier.bias"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_weight, "model.onnx cannot be loaded"),
        (of_another_shape, "model.onnx cannot be loaded"),
        (not_finite, "weights are damaged: quaclrs.backbone.network.conv_stem.weight holds NaN"),
        (without_classifier, "has no classifier of its 13 classes"),
    ],
)
def test_weights_that_do_not_belong_to_the_graph_are_one_line(damage, words, copy, capfd) -> None:
    weights = load_file(copy / "model.safetensors")
    damage(weights)
    save_file(weights, copy / "model.safetensors")
    soundfile.write(copy / "a.wav", np.full(1000, 0.1), 1000)
    assert main(["predict", str(copy / "a.wav"), "--model", str(copy)]) == 2
    output = capfd.readouterr()
    assert output.out == "" and len(output.err.splitlines()) == 1
    assert words in output.err and str(copy) in output.err


def test_a_graph_that_names_files_is_refused_beside_weights_too(copy) -> None:
    graph = onnx.load(copy / "model.onnx")
    stored_elsewhere(graph)
    (copy / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(QuaclrsError, match="lie in another file, which is not read"):
        load_classifier(copy)


def test_a_graph_whose_weights_are_lost_or_a_pickle_is_no_export(copy) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(QuaclrsError, match=r"pytorch_model.bin are not read, for such a file can hold code"):
        load_classifier(copy)
    (copy / "pytorch_model.bin").unlink()
    with pytest.raises(QuaclrsError, match=r"has no model\.safetensors"):
        load_classifier(copy)


@pytest.mark.parametrize("content", [b"", b"no graph\n" * 100, b"half"])
def test_a_damaged_graph_is_one_line(content, copy) -> None:
    whole = (copy / "model.onnx").read_bytes()
    (copy / "model.onnx").write_bytes(whole[: len(whole) // 2] if content == b"half" else content)
    with pytest.raises(QuaclrsError) as error:
        load_classifier(copy)
    assert str(copy) in str(error.value) and "\n" not in str(error.value)


def test_the_packaged_model_labels_without_torch_transformers_and_the_heavy_libraries() -> None:
    code = """
import sys
import quaclrs
classifier = quaclrs.load_classifier()
print(classifier.predict(sys.argv[1], top_k=1)[0]["label"], classifier.embed(sys.argv[1]).shape)
print(*sorted(sys.modules.keys() & set("torch transformers timm pandas scipy sklearn librosa onnx datasets".split())))
"""
    command = [sys.executable, "-c", code, str(EXAMPLES / "ambulance.ogg")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0].endswith("(6158,)") and lines[1] == ""


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_that_share_a_batch_change_no_score(threads, model, sounds) -> None:
    alone = load_classifier(model, threads=1)
    together = load_classifier(model, threads=threads)
    clips = alone.prepare(sounds)
    np.testing.assert_allclose(together.classify(clips), [alone.classify(clip[None])[0] for clip in clips], atol=1e-5)


def test_a_classifier_goes_to_another_process_wherever_that_works(copy, sounds, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(copy.parent)
    classifier = load_classifier(copy.name, threads=1)
    content = pickle.dumps(classifier)
    monkeypatch.chdir("/")
    again = pickle.loads(content)
    np.testing.assert_array_equal(again.probabilities(sounds, RATE), classifier.probabilities(sounds, RATE))
    assert (again.threads, len(content) < 1000) == (1, True)
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(OnnxClassifier(classifier.session, classifier.labels, classifier.log_mel_config))
