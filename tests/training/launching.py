"""Training launched in processes of its own, as a user launches it, and what of its results a clock did not write."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import warm_python

ROOT = Path(__file__).parents[2]
TRAINER = "training.train_supervised"

#: Figures of `metrics.json` that no two runs share.
MEASURED = {"seconds", "train_seconds", "train_clips_per_second", "peak_memory_bytes"}


def without_times(metrics: dict) -> dict:
    return {key: value for key, value in metrics.items() if key not in MEASURED}


def launch(
    arguments: list[str],
    processes: int,
    module_or_script: str = TRAINER,
    environment: Mapping[str, Any] | None = None,
) -> subprocess.CompletedProcess:
    """Train on CPUs with one thread a process, in processes that have PyTorch imported; see `warm_python.run`."""
    command, everything = _command(arguments, module_or_script, environment)
    return warm_python.run(command, env=everything, cwd=ROOT, processes=processes)


def accelerate_launch(
    arguments: list[str], processes: int, module_or_script: str = TRAINER
) -> subprocess.CompletedProcess:
    """Train as `launch` does, but by the launcher that users type."""
    launcher = [
        "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes), "--num_machines", "1",
        "--mixed_precision", "no", "--dynamo_backend", "no",
    ]  # fmt: skip
    command, everything = _command(arguments, module_or_script, None)
    return subprocess.run(
        [sys.executable, *launcher, *command],
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False, env=everything,
    )  # fmt: skip


def _command(
    arguments: list[str], module_or_script: str, environment: Mapping[str, Any] | None
) -> tuple[list[str], dict[str, str]]:
    program = [module_or_script] if module_or_script.endswith(".py") else ["-m", module_or_script]
    paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"  # a script's own folder is not the clone
    ours = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    return [*program, *map(str, arguments)], {**os.environ, **ours, **(environment or {})}
