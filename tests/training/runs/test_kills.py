"""Commands that train, killed at random moments with all their processes and run again, equal ones never killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launching import ROOT

pytestmark = pytest.mark.weekly

KILLS = 5

SMALLEST = {
    "backbone": "test_efficientnet",
    "image_size": 32,
    "epochs": 3,
    "batch_size": 13,
    "max_clips_per_class": 3,
    "log_every": 1,
}

#: Options of each command beside those, and whether it goes on by itself.
COMMANDS = {
    "train_supervised": {"test_fold": 2, "num_workers": 2, "resume": "auto"},
    "train_ssl": {"test_fold": 2, "method": "moco", "resume": "auto"},
    "cross_validate": {"folds": "2,3", "jobs": 2},
    "release": {"resume": "auto"},
}

#: Entries of JSON files that a clock, the memory or the folder's name decides over.
MEASURED = {"seconds", "train_seconds", "train_clips_per_second", "peak_memory_bytes", "training", "runs"}


def start(command: str, dataset: Path, folder: Path, **more: object) -> subprocess.Popen:
    options = {"dataset": dataset, "output_dir": folder, **SMALLEST, **COMMANDS[command], **more}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", f"training.{command}", *words], cwd=ROOT, env=environment, start_new_session=True
    )


def results_of(folder: Path) -> dict[str, object]:
    """What a command leaves that no clock decides over, by file."""
    found: dict[str, object] = {}
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if file.name in ("predictions.csv", "model.safetensors", "best.safetensors"):
            found[name] = file.read_bytes()
        elif file.name in ("metrics.json", "summary.json"):
            values = json.loads(file.read_text())
            found[name] = {key: value for key, value in values.items() if key not in MEASURED}
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_killed_at_random_moments_equals_one_never_killed(command, small_sample, tmp_path):
    more = {}
    if command == "release":
        more["cross_validation"] = tmp_path / "cv"
        assert start("cross_validate", small_sample, tmp_path / "cv").wait() == 0
    begun = time.monotonic()
    assert start(command, small_sample, tmp_path / "whole" / "run", **more).wait() == 0
    seconds = time.monotonic() - begun
    generator = random.Random(command)
    folder = tmp_path / "killed" / "run"
    for _ in range(KILLS):
        process = start(command, small_sample, folder, **more)
        time.sleep(generator.uniform(0.2, 1) * seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        if process.wait() == 0:  # a run that is finished has little left to be killed in
            shutil.rmtree(folder)
    assert start(command, small_sample, folder, **more).wait() == 0
    assert results_of(folder) == results_of(tmp_path / "whole" / "run")
    assert [file for file in folder.parent.rglob(".*") if file.is_file() or file.is_dir()] == []
