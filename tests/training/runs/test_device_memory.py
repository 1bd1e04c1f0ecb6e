"""Compares the memory that a step is said to allocate with that of a real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import warm_python
from torch import nn

from quaclrs.models import LogMelSpectrogram
from quaclrs.ssl import METHODS
from training.clips.augmentation import build_log_mel_config
from training.runs.device_memory import VIEWS, Allocations, bytes_of, measure_views, without_data
from training.ssl import dry_run as of_ssl
from training.ssl.config import SSLConfig
from training.ssl.model import build_encoder, build_network, build_views
from training.supervised import dry_run as supervised
from training.supervised.config import SupervisedConfig
from training.supervised.model import build_model

CLIPS, CLASSES = 8, 13
NAMES = [f"class {number}" for number in range(CLASSES)]
SHARED: dict[str, Any] = {"dataset": "none", "test_fold": 1, "output_dir": "none", "image_size": 96}


class Kept:
    """Bytes of what autograd keeps for the backward pass while it is entered, of tensors that were not there before."""

    def __init__(self, *there_before: torch.Tensor) -> None:
        self._before = {tensor.untyped_storage().data_ptr() for tensor in there_before}
        self._sizes: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._before:
            self._sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    @property
    def bytes(self) -> int:
        return sum(self._sizes.values())

    def __enter__(self) -> Kept:
        self._hooks.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self._hooks.__exit__(*failure)


def _weekly(names: list[str], *daily: str) -> list[Any]:
    return [name if name in daily else pytest.param(name, marks=pytest.mark.weekly) for name in names]


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize(
    "backbone",
    _weekly(
        ["alexnet", "vgg16", "resnet18", "mobilenet_v2", "inception_v3", "efficientnet_b0", "convnext_tiny"],
        "resnet18", "efficientnet_b0",
    ),
)  # fmt: skip
def test_activations_are_what_autograd_keeps_of_a_real_batch(backbone, precision):
    config = SupervisedConfig(**SHARED, backbone=backbone, mixed_precision=precision, augment_on="worker")
    log_mels = [build_log_mel_config(config)]
    said = supervised.step_memory(config, NAMES, log_mels, CLIPS).parts["activations"]
    model = build_model(config, NAMES, log_mels).train()
    batch = torch.rand(CLIPS, 128, 376)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    with Kept(batch, *model.parameters(), *model.buffers()) as kept, autocast:
        model(input_features=batch).logits.float().sum()
    if (backbone, precision) == ("convnext_tiny", "bf16"):
        assert kept.bytes < said < 2 * kept.bytes  # its norms are in float32 on CUDA, not here
    else:
        assert said == pytest.approx(kept.bytes, rel=0.02)


@pytest.mark.parametrize("method", _weekly(list(METHODS), "simclr", "byol", "swav"))
def test_activations_of_a_method_are_what_autograd_keeps_of_real_views(method):
    config = SSLConfig(**SHARED, method=method, backbone="test_resnet", batch_size=CLIPS)
    log_mel = build_log_mel_config(config)
    said = of_ssl.step_memory(config, CLASSES, log_mel, CLIPS)
    network = build_network(config, build_encoder(config, log_mel), CLASSES, sync_batchnorm=False).train()
    frames = [376, 376, *[94] * (config.local_views or 0)]
    views = [torch.rand(CLIPS, 128, count) for count in frames]
    with Kept(*views, *network.parameters(), *network.buffers()) as kept:
        output = network(views, torch.zeros(CLIPS, dtype=torch.long), 1.0)
    assert output.loss.requires_grad
    assert said.parts["activations"] == pytest.approx(kept.bytes, rel=0.03)
    assert said.parts["log-mels"] == 2 * sum(view.nbytes for view in views)  # the step's, and those of every epoch


def test_weights_gradients_and_the_state_of_adam_are_four_bytes_a_parameter_each():
    config = SupervisedConfig(**SHARED, backbone="test_resnet", augment_on="worker", optimizer="adam", ema_decay=0.9)
    log_mels = [build_log_mel_config(config)]
    model = build_model(config, NAMES, log_mels)
    parameters = [p.numel() for p in model.parameters()]
    blocks = sum(-(-4 * count // 512) * 512 for count in parameters)  # as CUDA gives memory out
    parts = supervised.step_memory(config, NAMES, log_mels, CLIPS).parts
    assert parts["gradients"] == blocks
    # Adam's two moments, and a step count for each tensor.
    assert parts["optimiser state"] == pytest.approx(2 * blocks, abs=512 * len(parameters))
    assert parts["weights"] == pytest.approx(2 * bytes_of([*model.parameters(), *model.buffers()]), abs=1024)


def test_frozen_weights_have_no_gradients_and_keep_no_activations():
    whole, frozen = (
        supervised.step_memory(config, NAMES, [build_log_mel_config(config)], CLIPS).parts
        for config in (
            SupervisedConfig(**SHARED, backbone="test_resnet", mode="finetune", augment_on="worker"),
            SupervisedConfig(**SHARED, backbone="test_resnet", mode="linear_probe", augment_on="worker"),
        )
    )
    assert frozen["gradients"] < 0.1 * whole["gradients"]
    assert frozen["activations"] < 0.1 * whole["activations"]


def test_activations_grow_with_the_batch_and_with_the_picture():
    def activations(clips: int, **changed: Any) -> int:
        config = SupervisedConfig(**{**SHARED, "backbone": "test_resnet", "augment_on": "worker", **changed})
        return supervised.step_memory(config, NAMES, [build_log_mel_config(config)], clips).parts["activations"]

    few = activations(8)
    assert activations(32) == pytest.approx(4 * few, rel=0.02)
    assert activations(8, image_size=192) == pytest.approx(4 * few, rel=0.05)


def test_making_views_takes_what_it_takes_with_data(monkeypatch):
    # The way that accelerators take, which CPUs take where a gradient is asked for.
    monkeypatch.setattr(LogMelSpectrogram, "_works_in_chunks", staticmethod(lambda waveform: False))
    config = SSLConfig(**SHARED, method="simclr", backbone="test_resnet", batch_size=CLIPS)
    log_mel = build_log_mel_config(config)
    emptied, views = build_views(config, log_mel), build_views(config, log_mel)
    said = measure_views(emptied, emptied, log_mel.n_samples, CLIPS)
    batch = {"length": [log_mel.n_samples] * CLIPS, "clip_key": list(range(CLIPS))}
    real = {name: torch.tensor(values) for name, values in batch.items()}
    real["input_values"] = torch.randn(CLIPS, log_mel.n_samples)
    with Allocations() as allocations:
        made = views(real)
    there_before = bytes_of([real["input_values"], *views.buffers()])  # parts of which were cut out and so counted
    assert said.shapes == tuple(tuple(view.shape) for view in made)
    assert said.waveforms == real["input_values"].nbytes
    assert said.peak == pytest.approx(max(allocations.peaks.values()) - there_before, rel=0.05)


def test_norms_are_in_float32_under_autocast_as_pytorch_says_of_cuda():
    with without_data(Allocations()), torch.autocast("cpu", torch.bfloat16):
        features = nn.functional.linear(torch.rand(4, 8), torch.rand(8, 8))
        assert features.dtype == torch.bfloat16
        assert nn.functional.layer_norm(features, (8,)).dtype == torch.float32
        assert features.softmax(-1).dtype == torch.float32


#: Its layer of 411 MB is copied to other layouts on a CPU, which adds 0.8 GB to the 2.2 that are said.
VGG16 = pytest.param("vgg16", marks=[pytest.mark.weekly, pytest.mark.xfail(reason="copies of a layer of 411 MB")])


@pytest.mark.parametrize("backbone", [*_weekly(["resnet18", "convnext_tiny"], "resnet18"), VGG16])
def test_a_real_process_grows_by_what_is_said(backbone):
    """Within 15 %: libraries make a few large buffers of their own, and freed memory is not at once the system's."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of a process is read from Linux's /proc")
    script = str(Path(__file__).with_name("peak_memory.py"))
    result = warm_python.run([script, backbone], cwd=Path(__file__).parents[3])
    assert result.returncode == 0, result.stderr[-2000:]
    grown, said = json.loads(result.stdout.splitlines()[-1])
    print(f"{backbone}: grew by {grown / 1e6:.0f} MB, said {said / 1e6:.0f} MB")
    assert said > 4e8
    assert grown == pytest.approx(said, rel=0.15)


def test_a_step_on_views_needs_the_most_of_its_moments():
    config = SupervisedConfig(**SHARED, backbone="test_resnet")
    memory = supervised.step_memory(config, NAMES, [build_log_mel_config(config)], CLIPS)
    assert memory.peak == max(memory.moments.values())
    assert memory.moments[VIEWS] > memory.parts["waveforms"] + memory.parts["log-mels"]
