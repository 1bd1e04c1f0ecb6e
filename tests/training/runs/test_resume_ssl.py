"""Self-supervised runs that were killed and resumed equal, byte for byte, ones that were never interrupted."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from launching import launch
from test_resume import MEASURED_COLUMNS, launch_again_and_again

from training.ssl.results import PREDICTIONS

EPOCHS = 2
STEPS = 3  # an epoch: three clips of each of 13 classes, 13 clips a step, or 12 of two processes together

#: What a clock or the memory says.
MEASURED = {"seconds", "train_seconds", "train_clips_per_second", "peak_memory_bytes"}


def arguments_for(method: str, dataset: Path, folder: Path, batch_size: int = 13) -> list[str]:
    """Few labels and everything with a state: queues, teachers, centres, prototypes, the probe and its optimiser."""
    options = {
        "method": method,
        "dataset": dataset,
        "output_dir": folder,
        "test_fold": 2,
        "backbone": "test_efficientnet",
        "image_size": 32,
        "epochs": EPOCHS,
        "batch_size": batch_size,
        "max_clips_per_class": 3,
        "supervised_weight": 0.3,
        "labelled_recordings": 1,
        "log_every": 1,
    }
    return [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]


def results_of(folder: Path) -> dict:
    """All that a run leaves but times."""
    files = ["model/model.safetensors", "model/timm_backbone.safetensors", *PREDICTIONS.values()]
    files.append(f"checkpoints/epoch-{EPOCHS:04d}/model.safetensors")
    rows = list(csv.DictReader((folder / "history.csv").open()))
    metrics = json.loads((folder / "metrics.json").read_text())
    return {
        **{name: (folder / name).read_bytes() for name in files},
        "history": [{name: text for name, text in row.items() if name not in MEASURED_COLUMNS} for row in rows],
        "metrics": {name: value for name, value in metrics.items() if name not in MEASURED},
    }


@pytest.mark.weekly
@pytest.mark.parametrize("method", ["swav", "moco", "dino"])
def test_a_killed_and_resumed_run_equals_one_never_interrupted(method, small_sample, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finished = launch(arguments_for(method, small_sample, whole), 1, "training.train_ssl")
    assert finished.returncode == 0, finished.stderr[-2000:]
    kills = [
        {"moment": "step", "count": 2, "rank": 0, "signal": "SIGKILL"},  # before there is a checkpoint
        {"moment": "step", "count": STEPS, "rank": 0, "signal": "SIGTERM"},  # after the last step of an epoch
        {"moment": "step", "count": STEPS - 1, "rank": 0, "signal": "SIGTERM"},  # amid the second
        {"moment": "file", "count": 1, "rank": 0, "signal": "SIGKILL"},
        None,
    ]
    left, printed = launch_again_and_again(arguments_for(method, small_sample, killed), kills, 1)
    assert [launch.status for launch in left] == [-9, 128 + 15, 128 + 15, -9, 0], printed[-3000:]
    assert results_of(killed) == results_of(whole)


@pytest.mark.slow
def test_two_processes_killed_and_resumed_equal_two_never_interrupted(small_sample, tmp_path):
    """Of MoCo, whose queue takes the keys of both."""
    whole, killed = (arguments_for("moco", small_sample, tmp_path / name, 6) for name in ("whole", "killed"))
    (finished,), printed = launch_again_and_again(whole, [None], 2)
    assert finished.status == 0, printed[-3000:]
    kills = [
        {"moment": "step", "count": STEPS + 2, "rank": 1, "signal": "SIGKILL"},  # amid the second epoch: lost
        {"moment": "step", "count": 1, "rank": 1, "signal": "SIGTERM"},  # amid it once more: saved
        None,
    ]
    left, printed = launch_again_and_again(killed, kills, 2)
    assert (left[0].status, left[0].newest, left[-1].status) == (-9, "epoch-0001", 0), printed[-3000:]
    assert left[1].status != 0
    assert left[1].newest.startswith("epoch-0001-step-"), printed[-3000:]
    results = results_of(tmp_path / "whole")
    assert results_of(tmp_path / "killed") == results
    assert results["history"][0]["uniformity"] != results["history"][-1]["uniformity"]  # the encoder moved
