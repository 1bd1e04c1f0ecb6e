"""Trains two steps of a backbone on a CPU; prints by how many bytes the process grew, and how many it should have."""

from __future__ import annotations

import ctypes
import json
import re
import sys
from pathlib import Path

import torch
from accelerate import Accelerator

sys.path.insert(0, str(Path(__file__).parents[3]))  # the clone, which is not installed

from training.clips.augmentation import build_log_mel_config
from training.runs.optimization import Schedule, optimizer_of
from training.supervised.config import SupervisedConfig
from training.supervised.dry_run import step_memory
from training.supervised.model import build_model, parameter_groups
from training.supervised.step import SupervisedStep

#: glibc's M_MMAP_THRESHOLD: memory above it goes back to the system when it is freed.
_MMAP_THRESHOLD, _BYTES = -3, 65536


def resident(name: str) -> int:
    """`VmRSS`, resident now, or `VmHWM`, at most, in bytes."""
    return 1024 * int(re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[1])


def main(backbone: str) -> None:
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _BYTES)
    torch.set_num_threads(1)
    clips, names = {"resnet18": 16}.get(backbone, 8), [str(number) for number in range(13)]
    config = SupervisedConfig(
        dataset="none", test_fold=1, output_dir="none", backbone=backbone, batch_size=clips, optimizer="sgd",
        augment_on="worker",
    )  # fmt: skip
    log_mels = [build_log_mel_config(config)]
    said = step_memory(config, names, log_mels, clips).peak

    Path("/proc/self/clear_refs").write_text("5")  # begin to look for the peak
    before = resident("VmRSS")
    accelerator = Accelerator(cpu=True)
    model = build_model(config, names, log_mels)
    optimizer = optimizer_of(config, parameter_groups(config, model))
    network, optimizer = accelerator.prepare(model, optimizer)
    schedule, weights = Schedule(config, optimizer, batches=2), torch.ones(len(names))
    step = SupervisedStep(config, accelerator, network, optimizer, schedule, weights, None, averaged=None)
    step.begin_epoch()
    batch = {"input_features": torch.rand(clips, 128, 376), "labels": torch.arange(clips) % len(names)}
    for number in range(2):
        step(batch, 1, number)
    print(json.dumps([resident("VmHWM") - before, said]))


if __name__ == "__main__":
    main(sys.argv[1])
