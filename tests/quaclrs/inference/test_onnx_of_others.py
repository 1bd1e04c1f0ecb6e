"""Exports that somebody else made or damaged: graphs that are none, that name other files, or that give no scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs import QuaclrsError
from quaclrs.cli import main
from quaclrs.inference.onnx import load_onnx_classifier
from quaclrs.models import LogMelConfig

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

FRONT_END = LogMelConfig(sampling_rate=1000, duration=1.0, f_max=500.0, n_fft=64, hop_length=16)
FLOAT = onnx.TensorProto.FLOAT


def graph(weight: onnx.TensorProto | None = None, nodes: list | None = None, outputs: int = 2, samples: int = 1000):
    """Waveforms times a matrix, and a softmax over it."""
    weight = weight or onnx.numpy_helper.from_array(np.ones((samples, outputs), np.float32) / samples, "w")
    nodes = nodes or [
        onnx.helper.make_node("MatMul", ["x", "w"], ["logits"]),
        onnx.helper.make_node("Softmax", ["logits"], ["y"]),
    ]
    information = onnx.helper.make_tensor_value_info
    made = onnx.helper.make_graph(
        nodes, "g", [information("x", FLOAT, ["b", samples])], [information("y", FLOAT, ["b", outputs])], [weight]
    )
    return onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def stored_in(location: str) -> onnx.TensorProto:
    weight = onnx.TensorProto(name="w", data_type=FLOAT, dims=[1000, 2], data_location=onnx.TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value=location)
    return weight


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """An export of two classes, beside a file of numbers that it has no business with."""
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(graph().SerializeToString())
    config = {"id2label": {"0": "horn", "1": "bark"}, "log_mel": FRONT_END.to_dict()}
    (folder / "config.json").write_text(json.dumps(config))
    for place in (tmp_path / "secret.bin", folder / "inside.bin"):
        place.write_bytes(np.ones((1000, 2), np.float32).tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    return folder


def test_a_graph_in_one_file_is_run(export) -> None:
    scores = load_onnx_classifier(export).probabilities([np.ones(1000)])
    np.testing.assert_allclose(scores, [[0.5, 0.5]])


@pytest.mark.parametrize("place", ["../secret.bin", "inside.bin", "link.bin", "absolute", "/dev/zero"])
@pytest.mark.parametrize("onnx_is_installed", [True, False])
def test_weights_in_another_file_are_not_read(place, onnx_is_installed, export, tmp_path, monkeypatch) -> None:
    weight = stored_in(str(tmp_path / "secret.bin") if place == "absolute" else place)
    (export / "model.onnx").write_bytes(graph(weight).SerializeToString())
    if not onnx_is_installed:
        monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(QuaclrsError) as error:
        load_onnx_classifier(export)
    assert str(export) in str(error.value) and "\n" not in str(error.value)
    words = "lie in another file, which is not read" if onnx_is_installed else "may keep its weights in other files"
    assert words in str(error.value)


def test_weights_in_another_file_are_found_in_the_branch_of_a_condition(export) -> None:
    constant = onnx.helper.make_node("Constant", [], ["v"], value=stored_in("../secret.bin"))
    branch = onnx.helper.make_graph([constant], "branch", [], [onnx.helper.make_tensor_value_info("v", FLOAT, None)])
    chosen = onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    (export / "model.onnx").write_bytes(graph(nodes=[chosen]).SerializeToString())
    with pytest.raises(QuaclrsError, match="lie in another file"):
        load_onnx_classifier(export)


GRAPHS = {
    "nothing": (b"", "cannot be loaded"),
    "a text": (b"no graph\n" * 100, "cannot be loaded"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "model.onnx is a Git LFS pointer"),
    "half": (graph().SerializeToString()[:4000], "cannot be loaded"),
    "other classes": (graph(outputs=3).SerializeToString(), r"gives tensor\(float\) of shape \['b', 3\]"),
    "another length": (graph(samples=999).SerializeToString(), r"takes tensor\(float\) of shape \['b', 999\]"),
    "unknown operator": (
        graph(nodes=[onnx.helper.make_node("Evil", ["x"], ["y"], domain="evil")]).SerializeToString(),
        "cannot be loaded",
    ),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_what_is_no_such_graph_is_one_line(case, export, tmp_path, capfd) -> None:
    content, words = GRAPHS[case]
    (export / "model.onnx").write_bytes(content)
    with pytest.raises(QuaclrsError, match=words):
        load_onnx_classifier(export)
    soundfile.write(tmp_path / "a.wav", np.full(1000, 0.1), 1000)
    assert main(["predict", str(tmp_path / "a.wav"), "--backend", "onnx", "--model", str(export)]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("weight", "words"),
    [(np.full((1000, 2), np.nan), "are NaN or infinite"), (np.full((7, 2), 1.0), "the graph cannot be run")],
)
def test_a_graph_that_gives_no_scores_is_one_line(weight, words, export, tmp_path, capfd) -> None:
    made = onnx.numpy_helper.from_array(weight.astype(np.float32), "w")
    nodes = [
        onnx.helper.make_node("Shape", ["w"], ["s"]),  # hides the shapes until the graph is run
        onnx.helper.make_node("Reshape", ["w", "s"], ["v"]),
        onnx.helper.make_node("MatMul", ["x", "v"], ["y"]),
    ]
    (export / "model.onnx").write_bytes(graph(made, nodes).SerializeToString())
    soundfile.write(tmp_path / "a.wav", np.full(1000, 0.1), 1000)
    for command in ("predict", "timeline"):
        assert main([command, str(tmp_path / "a.wav"), "--backend", "onnx", "--model", str(export)]) == 2
        output = capfd.readouterr()
        assert output.out == "" and len(output.err.splitlines()) == 1
        assert words in output.err or "cannot be loaded" in output.err


@pytest.mark.parametrize(
    "config",
    [
        "[" * 100_000,
        "[]",
        "{}",
        '{"id2label": {"0": "a", "1": "b"}}',
        '{"id2label": {"0": "a"}, "log_mel": {"top_db": 0}}',
        '{"id2label": {"0": "a", "2": "b"}, "log_mel": {}}',
        '{"id2label": {"0": "a", "1": "b"}, "log_mel": {"duration": 1e9}}',
    ],
)
def test_a_configuration_of_somebody_elses_making_is_one_line(config, export) -> None:
    (export / "config.json").write_text(config)
    with pytest.raises(QuaclrsError) as error:
        load_onnx_classifier(export)
    assert str(export) in str(error.value) and "\n" not in str(error.value)
