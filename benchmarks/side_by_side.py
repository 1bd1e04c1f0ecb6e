"""Cost of a second program beside the first: two of a command at once against one alone, on the same cores.

`python -m benchmarks.side_by_side --recordings DIR` times `quaclrs predict` and one epoch of training on the embedded
sample, with their own choice of threads. Twice the time is fair sharing of the cores; more means that threads wait
for each other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors
from quaclrs.evaluation.records import add_json_option, command_of, write_record

from .inference import write_noise
from .timing import THREAD_VARIABLES, choose_files

_SMALL = ("--backbone", "mobilenetv3_small_050", "--image-size", "96", "--mode", "scratch", "--epochs", "1")


def seconds_of(commands: list[list[str]]) -> float:
    """Time commands that begin together.

    Raises:
        QuaclrsError: one of them fails.
    """
    began = time.perf_counter()
    own = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, env=own, **pipes) for command in commands]
    errors = [process.communicate()[1] for process in running]
    for process, error in zip(running, errors, strict=True):
        if process.returncode:
            raise QuaclrsError(f"{' '.join(process.args)[:80]} failed: {error.strip()[-400:]}")  # type: ignore[arg-type]
    return time.perf_counter() - began


def predict_command(files: list[Path]) -> Callable[[Path], list[str]]:
    return lambda _: [sys.executable, "-m", "quaclrs.cli", "predict", *map(str, files)]


def training_command(dataset: Path) -> Callable[[Path], list[str]]:
    return lambda output: [
        *(sys.executable, "-m", "training.train_supervised", "--dataset", str(dataset), "--test-fold", "1"),
        *(*_SMALL, "--output-dir", str(output)),
    ]


def compare(name: str, command: Callable[[Path], list[str]], scratch: Path, rounds: int) -> dict:
    """Print a row and return it: seconds of one and of two at once, medians of rounds in turn, and their ratio."""
    taken: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for count, seconds in taken.items():
            places = [Path(tempfile.mkdtemp(dir=scratch)) for _ in range(count)]
            seconds.append(seconds_of([command(place / "run") for place in places]))
    one, two = (median(seconds) for seconds in taken.values())
    print(f"{name:10}{one:10.1f}{two:14.1f}{two / one:8.2f}", flush=True)
    return {"command": name, "alone_seconds": one, "two_seconds": two, "ratio": two / one}


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.side_by_side", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--recordings", type=Path, metavar="DIR", help="folder of sound files; seeded noise without it")
    add("--files", type=int, default=256, metavar="N", help="that each predict labels (default 256)")
    add("--rounds", type=int, default=3, metavar="N", help="turns of one and of two (default 3)")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    scratch = Path(tempfile.mkdtemp())
    try:
        files = choose_files(options.recordings or write_noise(scratch), options.files)
        dataset = scratch / "sample"
        seconds_of([[sys.executable, "-m", "dataset_builder", "sample", "--output", str(dataset)]])
        print(f"{'':10}{'alone, s':>10}{'two at once':>14}{'ratio':>8}")
        rows = [
            compare("predict", predict_command(files), scratch, options.rounds),
            compare("training", training_command(dataset), scratch, options.rounds),
        ]
        write_record(options.json, command_of(parser, arguments), rows)
    finally:
        shutil.rmtree(scratch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
