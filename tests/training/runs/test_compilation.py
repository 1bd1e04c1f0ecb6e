"""`--compile` and `--channels-last`: how a run computes changes, what it learns and saves does not."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from launching import launch
from safetensors.torch import load_file

from quaclrs.errors import QuaclrsError
from training.runs.termination import Termination
from training.ssl.config import SSLConfig
from training.supervised.config import SupervisedConfig
from training.train_ssl import train_ssl
from training.train_supervised import train

SMALLEST = {"test_fold": 2, "backbone": "test_resnet", "image_size": 32, "max_clips_per_class": 2, "batch_size": 13}


def supervised(dataset, folder, **options) -> SupervisedConfig:
    given = {**SMALLEST, "epochs": 2, "ema_decay": 0.5, **options}
    return SupervisedConfig(dataset=str(dataset), output_dir=str(folder), **given)


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """Backends of the graphs that ran, each as often as it did."""
    ran: list[str] = []
    compile_function = torch.compile

    def spy(function, backend, **options):
        def counting(graph, inputs):
            def run(*arguments):
                ran.append(backend)
                return graph.forward(*arguments)

            return run

        return compile_function(function, backend=counting, **options)

    monkeypatch.setattr(torch, "compile", spy)
    yield ran
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def plain(small_sample, tmp_path_factory) -> Path:
    """The folder of a finished run that was not compiled."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    train(supervised(small_sample, folder))
    return folder


def assert_alike(folder: Path, other: Path, *files: str) -> None:
    for file in files:
        found, expected = load_file(folder / file), load_file(other / file)
        assert found.keys() == expected.keys()  # no name says that it was compiled
        for name, tensor in expected.items():
            torch.testing.assert_close(
                found[name], tensor, rtol=1e-4, atol=2e-5, msg=lambda text, n=name: f"{n}: {text}"
            )


LAST = "checkpoints/epoch-0002"
WEIGHTS = ("model/model.safetensors", f"{LAST}/model.safetensors", f"{LAST}/averaged.safetensors")


def test_a_compiled_run_that_stops_and_goes_on_learns_what_a_plain_one_does(plain, small_sample, tmp_path, calls):
    config = {"compile": "eager", "log_every": 1}
    asked = []

    def stop_after_three_steps(termination, accelerator):
        asked.append(None)
        return signal.SIGTERM if len(asked) == 5 else None  # once a step, before and after the first checkpoint

    with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(Termination, "requested", stop_after_three_steps)
        train(supervised(small_sample, tmp_path / "run", **config))
    assert calls == ["eager"] * 3  # each training step, and no evaluation
    train(supervised(small_sample, tmp_path / "run", **config, resume="auto"))
    assert calls == ["eager"] * 4
    assert_alike(tmp_path / "run", plain, *WEIGHTS)


def test_maps_with_channels_first_or_last_give_the_same_training(plain, small_sample, tmp_path):
    train(supervised(small_sample, tmp_path / "run", channels_last=False))
    first, last, before = (
        load_file(folder / "checkpoints" / epoch / "model.safetensors")
        for folder, epoch in ((tmp_path / "run", "epoch-0002"), (plain, "epoch-0002"), (plain, "epoch-0001"))
    )
    # Sums of another order round otherwise, which a norm over few values and Adam enlarge, on each kind of processor
    # differently. A layout that was wrong would learn something else altogether.
    for name, weights in last.items():
        if name.endswith("weight"):
            assert (first[name] - weights).norm() < 0.2 * (weights - before[name]).norm(), name


def test_a_method_with_a_target_network_is_compiled_in_training_and_learns_the_same(small_sample, tmp_path, calls):
    for name, backend in (("plain", None), ("compiled", "eager")):
        options = {**SMALLEST, "method": "byol", "epochs": 1, "compile": backend}
        train_ssl(SSLConfig(dataset=str(small_sample), output_dir=str(tmp_path / name), **options))
    # Two views through the network and two through its target, in each of two steps.
    assert calls == ["eager"] * 8
    files = ("model/model.safetensors", "checkpoints/epoch-0001/model.safetensors")
    assert_alike(tmp_path / "compiled", tmp_path / "plain", *files)


@pytest.mark.weekly
def test_two_processes_train_a_compiled_network_as_a_plain_one(small_sample, tmp_path):
    for name, more in (("plain", []), ("compiled", ["--compile", "aot_eager"])):
        arguments = [
            "--dataset", small_sample, "--test-fold", "2", "--output-dir", tmp_path / name, "--backbone", "test_resnet",
            "--image-size", "32", "--epochs", "1", "--batch-size", "6", "--max-clips-per-class", "2", *more,
        ]  # fmt: skip
        result = launch(arguments, processes=2)
        assert result.returncode == 0, result.stderr[-2000:]
    files = ("model/model.safetensors", "checkpoints/epoch-0001/model.safetensors")
    assert_alike(tmp_path / "compiled", tmp_path / "plain", *files)
    environment = json.loads((tmp_path / "compiled" / "environment.json").read_text())
    assert environment["num_processes"] == 2


def test_a_backend_that_the_launcher_was_told_is_refused_in_one_line(small_sample, tmp_path):
    arguments = ["--dataset", small_sample, "--test-fold", "2", "--output-dir", tmp_path / "run"]
    result = launch(arguments, processes=1, environment={"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"})
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "--dynamo_backend inductor; leave it out and pass --compile inductor" in line
    assert not (tmp_path / "run").exists()


def test_a_probe_on_embeddings_has_nothing_to_compile():
    with pytest.raises(QuaclrsError, match=r"^--compile has no use with a probe on embeddings; leave it out$"):
        SupervisedConfig(dataset="x", test_fold=1, output_dir="y", mode="linear_probe", compile="inductor")
