"""Trainings under `accelerate launch`: the launcher is told to end, or one of their processes hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from launching import ROOT, launch
from test_resume import arguments_for, assert_same_results

pytestmark = pytest.mark.weekly


def start(arguments: list[str], processes: int, output: Path) -> subprocess.Popen:
    """`accelerate launch` in a group of its own."""
    several = ["--multi_gpu"] if processes > 1 else []
    command = [
        sys.executable, "-m", "accelerate.commands.launch", *several, "--num_processes", str(processes),
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "-m", "training.train_supervised", *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with output.open("w") as file:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )


def wait_for(condition, seconds: float) -> bool:
    """True as soon as the condition holds; False where it does not within so many seconds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(scope="module")
def whole(sample_dataset, tmp_path_factory) -> Path:
    """The folder of a run of two processes that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert launch(arguments_for(sample_dataset, folder, 2), 2).returncode == 0
    return folder


def checkpoints_in(folder: Path) -> set[str]:
    return {path.name for path in (folder / "checkpoints").glob("epoch-*")}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("told", "to"), [("SIGTERM", "launcher"), ("SIGTERM", "group"), ("SIGINT", "group")])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_launcher_that_is_told_to_end_leaves_a_checkpoint_and_no_process(
    processes, told, to, workers, sample_dataset, tmp_path
):
    folder, output = tmp_path / "run", tmp_path / "output"
    arguments = [*arguments_for(sample_dataset, folder, processes, workers), "--epochs", "400"]
    launcher = start(arguments, processes, output)
    assert wait_for(lambda: checkpoints_in(folder), 300), output.read_text()[-2000:]
    family = psutil.Process(launcher.pid).children(recursive=True)
    (os.killpg if to == "group" else os.kill)(launcher.pid, signal.Signals[told])
    _, alive = psutil.wait_procs(family, timeout=40)
    launcher.wait(40)
    assert not alive, output.read_text()[-2000:]
    text = output.read_text()
    assert text.count("after writing a checkpoint; go on with --resume auto") == 1, text[-3000:]
    assert "is killed by signal" not in text
    assert checkpoints_in(folder)


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_process_that_hangs_ends_the_other_in_bounded_time_and_the_run_goes_on(
    stopped, whole, sample_dataset, tmp_path
):
    folder, output = tmp_path / "run", tmp_path / "output"
    arguments = arguments_for(sample_dataset, folder, 2)
    launcher = start([*arguments, "--ddp-timeout", "10"], 2, output)
    assert wait_for(lambda: checkpoints_in(folder), 300), output.read_text()[-2000:]
    ranks = [p for p in psutil.Process(launcher.pid).children() if p.environ().get("RANK") == str(stopped)]
    ranks[0].suspend()
    assert launcher.wait(90) != 0  # 10 s for the collective, 30 s until torchrun kills what does not listen
    text = output.read_text()
    assert text.count("lost another of the run, which died or hangs; go on with --resume auto") == 1, text[-3000:]
    assert launch([*arguments, "--resume", "auto"], 2).returncode == 0
    assert_same_results(folder, whole)
