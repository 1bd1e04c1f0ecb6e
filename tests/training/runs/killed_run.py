"""Training whose process is killed on the way: a script that takes the trainer's arguments, train_ssl's with --method.

`KILLS` in the environment is a JSON list with an entry a launch: null lets it finish, an object says when it is killed,

- `moment`: `step` (when a step of training is done), `file` (a file of a checkpoint is half written) or `folder` (all
  its files are written, its folder has not got its name yet);
- `count`: which step, or which checkpoint, of this launch, from 1;
- `rank`: of the process that gets the signal; the main one writes checkpoints;
- `signal`: its name;
- `group`: true where another process sends it to the whole group, as a scheduler or a terminal does.

`PROCESSES` is the number of processes of each launch. They are forked from this one, which has imported PyTorch for all
of them, and a line of JSON on standard output tells how a launch ended.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

sys.path.append(str(Path(__file__).parents[2]))
import warm_python

from quaclrs.evaluation import shortcuts
from training import train_ssl, train_supervised
from training.runs import state
from training.runs.state import TrainingState
from training.ssl import results as of_ssl
from training.ssl.step import SSLStep
from training.supervised import results as supervised
from training.supervised.step import SupervisedStep

STEP, MAIN = (SSLStep, train_ssl.main) if "--method" in sys.argv else (SupervisedStep, train_supervised.main)


# What takes longer than these trainings, and is nobody's question here: a large forest, and plots.
shortcuts.TREES = 10
for results in (supervised, of_ssl):
    results.save_figure = lambda figure, path: (path.parent.mkdir(parents=True, exist_ok=True), path.touch())
    for name in [name for name in vars(results) if name.endswith("_figure") and name != "save_figure"]:
        setattr(results, name, lambda *_: None)


def arrange(kill: dict[str, Any]) -> None:
    """Make this process send itself the signal at that moment; the code that trains and saves stays the real one."""
    if int(os.environ.get("RANK", "0")) != kill["rank"]:
        return
    numbers = itertools.count(1)
    number_of_signal = signal.Signals[kill["signal"]]

    def is_now() -> bool:
        return next(numbers) == kill["count"]

    def die(*_: Any) -> None:
        if kill.get("group"):
            subprocess.run(["kill", f"-{number_of_signal}", "--", f"-{os.getpgrp()}"], check=False)
        else:
            os.kill(os.getpid(), number_of_signal)

    {"step": die_after_step, "file": die_amid_file, "folder": die_before_naming}[kill["moment"]](is_now, die)


def die_after_step(is_now: Callable[[], bool], die: Callable[[], None]) -> None:
    step = STEP.__call__

    def step_and_death(*arguments):
        figures = step(*arguments)
        if is_now():
            die()
        return figures

    STEP.__call__ = step_and_death


def die_amid_file(is_now: Callable[[], bool], die: Callable[[], None]) -> None:
    save_file = state.save_file

    def save_half(tensors, file):
        save_file(tensors, file)
        if file.name == "optimizer.safetensors" and is_now():
            os.truncate(file, os.path.getsize(file) // 2)
            die()

    state.save_file = save_half


def die_before_naming(is_now: Callable[[], bool], die: Callable[[], None]) -> None:
    write = TrainingState.write

    def write_and_death(*arguments):
        write(*arguments)
        if is_now():
            die()

    TrainingState.write = write_and_death


def run(kill: dict[str, Any] | None, rank: dict[str, str]) -> NoReturn:
    os.setpgid(0, 0)
    os.environ.update(rank)
    if kill is not None:
        arrange(kill)
    sys.exit(MAIN(sys.argv[1:]))


def run_all(kills: list[dict[str, Any] | None], processes: int) -> None:
    checkpoints = Path(sys.argv[sys.argv.index("--output-dir") + 1]) / "checkpoints"
    for kill in kills:
        status = warm_python.fork(processes, partial(run, kill))
        print(json.dumps({"status": status, "left": sorted(os.listdir(checkpoints))}), flush=True)


if __name__ == "__main__":
    run_all(json.loads(os.environ["KILLS"]), int(os.environ["PROCESSES"]))
