"""Models of others: what their files may say, and that none of their code is run, at every door that takes a model."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from transformers import pipeline

from quaclrs import QuaclrsError, load_classifier
from quaclrs.cli import main
from quaclrs.models import QuaclrsConfig, QuaclrsForAudioClassification, QuaclrsModel
from quaclrs.saved_model import find_model_folder, open_saved_model

Change = Callable[[Path], None]


@pytest.fixture
def model(tiny_classifier_folder: Path, tmp_path: Path) -> Path:
    """A model folder that may be written."""
    return shutil.copytree(tiny_classifier_folder, tmp_path / "model")


def change_config(file: str = "config.json", **values: object) -> Change:
    def change(folder: Path) -> None:
        config = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**config, **values}))

    return change


def change_front_end(**values: object) -> Change:
    """In both files, so that they agree."""

    def change(folder: Path) -> None:
        for file in ("config.json", "preprocessor_config.json"):
            config = json.loads((folder / file).read_text())
            (folder / file).write_text(json.dumps({**config, "log_mel": {**config["log_mel"], **values}}))

    return change


def write(file: str, content: str | bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def change_tensor(name: str, make: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    def change(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        state[name] = make(state[name]).contiguous()
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def lying_header(**entry: object) -> bytes:
    header = json.dumps({"classifier.bias": {"dtype": "F32", "shape": [13], "data_offsets": [0, 52], **entry}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(52)


BIAS, VARIANCE = "classifier.bias", "quaclrs.backbone.network.bn1.running_var"
NAMES = {str(i): f"class {i}" for i in range(13)}

CONFIGS: dict[str, tuple[Change, str]] = {
    "a list": (write("config.json", "[1, 2]"), "must hold names and their values"),
    "a text": (write("config.json", "{not json"), "cannot be read as JSON"),
    "bytes": (write("config.json", b"\xff\xfe\x00"), "cannot be read as JSON"),
    "nested": (write("config.json", '{"a":' * 100_000), "nested too deeply"),
    "nested value": (write("config.json", '{"log_mel":' + "[" * 100_000 + "]" * 100_000 + "}"), "nested too deeply"),
    "another type": (change_config(model_type="bert"), "it is of type 'bert', not quaclrs"),
    "code": (change_config(model_type="evil", auto_map={"AutoConfig": "evil.C"}), "it is of type 'evil'"),
    "no backbone": (change_config(backbone=None), "it must be the name of a network"),
    "backbone of another type": (change_config(backbone=["resnet18"]), "it must be the name of a network"),
    "unknown backbone": (change_config(backbone="resnet_18"), "unknown backbone 'resnet_18'"),
    "backbone with a path": (change_config(backbone="hf-hub:ns/evil"), "unknown backbone"),
    "a giant": (change_config(backbone="vit_giant_patch14_dinov2"), "it lacks weights"),
    "front end of a text": (change_config(log_mel="mel"), "log_mel is str"),
    "front end of a list": (change_config(log_mel=[]), "log_mel is list"),
    "unknown option": (change_front_end(n_mells=5), "unknown log-mel option n_mells"),
    "option of a text": (change_front_end(n_fft="2048"), "n_fft is '2048'"),
    "endless clips": (change_front_end(duration=1e300), "duration is 1e+300"),
    "long clips": (change_front_end(duration=1e5), "duration is 100000.0 s"),
    "NaN": (change_front_end(duration=math.nan), "duration is nan"),
    "rate": (change_front_end(sampling_rate=10**12), "sampling_rate is 1000000000000"),
    "an integer that no float holds": (change_front_end(f_max=10**400), "f_max is 1000"),
    "FFT": (change_front_end(n_fft=1 << 30), "n_fft is 1073741824"),
    "bands": (change_front_end(n_mels=10**7), "n_mels is 10000000"),
    "picture": (change_front_end(image_size=100_000), "image_size is 100000"),
    "pixels": (change_front_end(image_size=8000), "image_size and image_width"),
    "cells": (change_front_end(hop_length=1, n_mels=512), "hop_length is 1"),
    "range of no decibels": (change_front_end(top_db=1e-300), "top_db is 1e-300"),
    "power of nothing": (change_front_end(amin=1e-300), "amin is 1e-300"),
    "bands of no width": (change_front_end(f_min=7999.9999), "1 Hz apart"),
    "deviation of 0": (change_config(image_std=[0.2, 0, 0.2]), "image_std is [0.2, 0, 0.2]"),
    "deviation of NaN": (change_config(image_std=[math.nan] * 3), "image_std is [nan, nan, nan]"),
    "tiny deviation": (change_config(image_std=[1e-40] * 3), "image_std is"),
    "infinite mean": (change_config(image_mean=[math.inf] * 3), "image_mean is"),
    "two means": (change_config(image_mean=[0.5, 0.5]), "image_mean must be 3 numbers"),
    "mean of a text": (change_config(image_mean="abc"), "image_mean must be 3 numbers"),
    "dropout": (change_config(dropout=2), "dropout is 2"),
    "drop path": (change_config(drop_path_rate="half"), "drop_path_rate is half"),
    "classes without end": (change_config(id2label=None, label2id=None, num_labels=10**9), "num_labels is 1000000000"),
    "too many classes": (change_config(id2label={str(i): str(i) for i in range(70_000)}, label2id=None), "70,000"),
    "other numbers of classes": (change_config(num_labels=5), "num_labels is 5, and id2label has 13"),
    "a class missing": (change_config(id2label={"0": "a", "2": "b"}, label2id=None), "from 0 to 1, each once"),
    "negative class": (change_config(id2label={"-1": "a", "0": "b"}, label2id=None), "from 0 to 1, each once"),
    "two of one name": (change_config(id2label={**NAMES, "3": "class 2"}, label2id=None), "one name to several"),
    "no name": (change_config(id2label={**NAMES, "3": None}, label2id=None), "'None' is not the name"),
    "a name that paints": (change_config(id2label={**NAMES, "3": "\x1b[31m"}, label2id=None), "is not the name"),
    "contradiction": (change_config(id2label=NAMES), "id2label and label2id contradict each other"),
    "label2id of numbers": (change_config(label2id=[1, 2]), "label2id must map"),
    "classes of a list": (change_config(id2label=["a", "b"]), "id2label must map"),
    "a kind of problem": (change_config(problem_type="regression"), "problem_type is regression"),
}

WEIGHTS: dict[str, tuple[Change, str]] = {
    "none": (lambda folder: (folder / "model.safetensors").unlink(), "it has no model.safetensors"),
    "empty": (write("model.safetensors", b""), "damaged or cut short ("),
    "a text": (write("model.safetensors", "no weights " * 100), "damaged or cut short ("),
    "a pointer": (
        write("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n"),
        "model.safetensors is a Git LFS pointer and not the file itself; fetch it (git lfs pull)",
    ),
    "a header of terabytes": (
        write("model.safetensors", struct.pack("<Q", 1 << 40) + b"{}"),
        "damaged or cut short (",
    ),
    "a shape that lies": (write("model.safetensors", lying_header(shape=[10**9])), "damaged or cut short ("),
    "offsets that lie": (
        write("model.safetensors", lying_header(data_offsets=[0, 1 << 50])),
        "damaged or cut short (",
    ),
    "negative offsets": (write("model.safetensors", lying_header(data_offsets=[-4, 48])), "damaged or cut short ("),
    "a type that lies": (write("model.safetensors", lying_header(dtype="F128")), "damaged or cut short ("),
    "one tensor alone": (write("model.safetensors", lying_header()), "it lacks weights (quaclrs.backbone."),
    "another shape": (change_tensor(BIAS, lambda t: t[:5]), "weights classifier.bias are [5], by its options [13]"),
    "whole numbers": (change_tensor(BIAS, lambda t: t.int()), "weights classifier.bias are of type I32"),
    "NaN": (change_tensor(BIAS, lambda t: t * math.nan), "classifier.bias holds NaN or infinite numbers"),
    "infinity": (change_tensor(BIAS, lambda t: t + math.inf), "classifier.bias holds NaN or infinite numbers"),
    "half precision that overflowed": (
        change_tensor(BIAS, lambda t: (t + 1e6).half()),
        "classifier.bias holds NaN or infinite numbers",
    ),
    "a negative variance": (change_tensor(VARIANCE, lambda t: -1 - t), "running_var holds negative variances"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_an_impossible_configuration_is_one_line_that_says_what_is_wrong(case, model, expect_one_error_line) -> None:
    change, words = CONFIGS[case]
    change(model)
    with pytest.raises(QuaclrsError) as error:
        load_classifier(model, device="cpu")
    assert words in str(error.value) and str(model) in str(error.value)
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 600
    if case not in ("unknown backbone", "backbone with a path", "a giant", "a kind of problem"):  # need the network
        assert main(["info", str(model)]) == 2
        expect_one_error_line(words)


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_are_damaged_or_of_another_network_are_one_line(case, model) -> None:
    change, words = WEIGHTS[case]
    change(model)
    with pytest.raises(QuaclrsError) as error:
        load_classifier(model, device="cpu")
    assert words in str(error.value) and str(model) in str(error.value)
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 600


@pytest.mark.parametrize(
    "arguments", [["info"], ["predict", "a.wav", "--model"], ["export", "--output-dir", "b", "--model"]]
)
def test_the_folder_of_a_run_is_told_where_its_model_lies(arguments, model, expect_one_error_line, monkeypatch) -> None:
    monkeypatch.chdir(model.parent)
    soundfile.write("a.wav", np.zeros(800), 8000)
    assert main([*arguments, str(model.parent)]) == 2
    expect_one_error_line(f"{model.parent} holds no model itself; did you mean {model}?")


class RunsCode:
    """A pickle that makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


#: Arguments of each command that loads a model, which comes last.
DOORS = {
    "predict": ["a.wav"],
    "timeline": ["a.wav"],
    "explain": ["a.wav"],
    "evaluate": ["--dataset", "data"],
    "export": ["--output-dir", "exported"],
    "info": [],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a sound and a data set; whoever asks a question fails."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)
    (tmp_path / "data" / "dog_bark").mkdir(parents=True)
    soundfile.write("a.wav", 0.1 * np.random.default_rng(0).standard_normal(48_000), 48_000)
    shutil.copy("a.wav", "data/dog_bark/a.wav")
    return tmp_path


def run(door: str, model: Path) -> int:
    return main([door, *DOORS[door], *([] if door == "info" else ["--model"]), str(model)])


@pytest.mark.parametrize("door", DOORS)
def test_a_model_that_brings_code_runs_none_and_asks_nothing(
    door, folder, model, monkeypatch, expect_one_error_line
) -> None:
    (model / "evil.py").write_text(f"import os\nos.mkdir({str(folder / 'executed')!r})\nclass C: pass\n")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    change_config(model_type="evil", auto_map={"AutoConfig": "evil.C"})(model)
    assert run(door, model) == 2
    expect_one_error_line("it is of type 'evil', not quaclrs")
    assert not (folder / "executed").exists()


@pytest.mark.parametrize("door", DOORS)
def test_weights_in_a_pickle_are_refused_by_name_and_never_read(door, folder, model, expect_one_error_line) -> None:
    (model / "model.safetensors").unlink()
    torch.save({"weights": RunsCode(folder / "executed")}, model / "pytorch_model.bin")
    assert run(door, model) == 2
    expect_one_error_line("its weights pytorch_model.bin are not read, for such a file can hold code")
    assert not (folder / "executed").exists()


def test_code_that_a_published_model_names_is_left_alone_and_ours_runs(folder, model, tiny_classifier_folder) -> None:
    names = {name: f"evil.{name}" for name in ("AutoConfig", "AutoModel", "AutoModelForAudioClassification")}
    for file in ("config.json", "preprocessor_config.json"):
        change_config(file, auto_map=names)(model)
    change_config(
        attn_implementation="ns/evil", quantization_config={"quant_method": "evil"}, to_dict=5, _name_or_path="x"
    )(model)
    (model / "evil.py").write_text(f"import os\nos.mkdir({str(folder / 'executed')!r})\n")
    (model / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "ns/evil"}))
    torch.save({"weights": RunsCode(folder / "executed")}, model / "pytorch_model.bin")
    found, wanted = (load_classifier(m, device="cpu").predict("a.wav") for m in (model, tiny_classifier_folder))
    assert found == wanted
    assert not (folder / "executed").exists()


def test_a_reported_folder_with_remote_code_is_one_line(folder, shared_data, expect_one_error_line) -> None:
    case = shared_data.parent / "cases" / "08_remote_code_prompt" / "evilmodel"
    if not case.is_dir():
        pytest.skip(f"{case} is not here")
    assert run("predict", case) == 2
    expect_one_error_line("it is of type 'evil', not quaclrs")


@pytest.mark.parametrize("door", ["predict", "timeline", "explain", "evaluate", "export"])
def test_scores_that_are_no_numbers_are_one_line_and_no_answer(
    door, folder, model, monkeypatch, expect_one_error_line
) -> None:
    """Of finite weights too, whose products overflow."""
    for name in (BIAS, "classifier.weight"):
        change_tensor(name, lambda t: t * 0 + 3e38)(model)
    assert run(door, model) == 2
    expect_one_error_line("scores of the model are NaN or infinite")
    assert not list(folder.glob("*.png")) and not (folder / "exported").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_pipeline_of_transformers_loads_no_weights_that_are_no_numbers(value, model) -> None:
    change_tensor(BIAS, lambda t: t * value)(model)
    with pytest.raises(ValueError, match=r"the weights are damaged: classifier\.bias holds NaN or infinite numbers"):
        pipeline("audio-classification", model=str(model), device="cpu")
    with pytest.raises(ValueError, match="weights are damaged"):
        QuaclrsForAudioClassification.from_pretrained(model)


@pytest.mark.parametrize("options", [{"image_std": [0.0] * 3}, {"num_labels": 10**9}, {"id2label": {0: "a", 2: "b"}}])
def test_a_configuration_made_in_code_is_refused_as_a_saved_one(options) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        QuaclrsConfig(**options)


def test_a_configuration_that_names_a_pipe_or_a_link_to_itself_is_not_waited_for(model) -> None:
    (model / "config.json").unlink()
    os.mkfifo(model / "config.json")
    with pytest.raises(QuaclrsError, match=r"it has no config\.json"):
        load_classifier(model)
    (model / "config.json").unlink()
    (model / "config.json").symlink_to("config.json")
    with pytest.raises(QuaclrsError, match=r"it has no config\.json"):
        load_classifier(model)


@pytest.mark.parametrize("case", ["contradiction", "deviation of 0", "nested"])
def test_the_feature_extractor_and_an_encoder_are_checked_too(case, model, tmp_path) -> None:
    from training.weights.encoder import load_encoder

    change, words = CONFIGS[case]
    change(model)
    with pytest.raises(QuaclrsError) as error:
        load_encoder(QuaclrsModel(QuaclrsConfig(backbone="mobilenetv3_small_050")), str(model))
    assert words in str(error.value)


PREPROCESSORS = {
    "nested": ('{"log_mel":' * 100_000, "nested too deeply"),
    "a list": ("[]", "must hold names and their values"),
    "a number": ('{"log_mel": 5}', "log_mel is int"),
    "another front end": ('{"log_mel": {"duration": 2.0}}', "differ in log_mel"),
    "an impossible one": ('{"log_mel": {"top_db": 0}}', "top_db is 0"),
}


@pytest.mark.parametrize("case", PREPROCESSORS)
def test_a_feature_extractor_of_somebody_elses_making_is_one_line(case, model) -> None:
    content, words = PREPROCESSORS[case]
    (model / "preprocessor_config.json").write_text(content)
    with pytest.raises(QuaclrsError) as error:
        load_classifier(model)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_card_of_somebody_elses_making_leaves_the_rest_of_what_info_says(model, capsys) -> None:
    letters = "abcdefghijklmnopqrstuvwxy"
    bomb = "".join(f"{n}: &{n} [*{p}, *{p}]\n" for p, n in pairwise(letters))
    cards = (
        f"---\na: &a [x, x]\n{bomb}license: *y\n---\n",
        "---\n" + "[" * 100_000,
        '---\nlicense: "\\e[31m"\n---\n',
        "---\nmodel-index: 5\n---\n",
    )
    for card in cards:
        (model / "README.md").write_text(card)
        assert main(["info", str(model)]) == 0
        output = capsys.readouterr().out
        assert "backbone: mobilenetv3_small_050" in output and "\x1b" not in output and len(output) < 5000


def test_what_is_opened_says_what_the_file_of_weights_holds(tiny_classifier_folder) -> None:
    saved = open_saved_model(tiny_classifier_folder)
    state = load_file(tiny_classifier_folder / "model.safetensors")
    assert {name: shape for name, (_, shape) in saved.tensors.items()} == {n: tuple(t.shape) for n, t in state.items()}


def test_a_file_is_not_taken_for_a_repository(tmp_path, monkeypatch):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "model.onnx").write_bytes(b"a graph")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QuaclrsError, match=r"\Amodel export/model.onnx is a file; give the model/ folder"):
        find_model_folder("export/model.onnx")
