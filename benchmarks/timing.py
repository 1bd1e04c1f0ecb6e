"""Timing side by side: every way does the same work in turn, round after round, so a slow moment hits them all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quaclrs.audio import find_audio_files, load_audio
from quaclrs.errors import QuaclrsError

#: The variables by which OpenMP, OpenBLAS, MKL and numba take their number of threads, read when they load.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

#: Seconds that a way runs uncounted when its turn comes, and then counted. A turn begins with threads to wake and with
#: those of the last way's libraries still spinning on its cores, neither of which is what the way itself takes.
_WARM_UP, _COUNTED = 0.1, 0.05


@dataclass(frozen=True)
class Timing:
    """Milliseconds a clip: median, lowest and highest of the rounds."""

    median: float
    lowest: float
    highest: float

    def figure(self) -> dict[str, float]:
        """Median with lowest and highest, in the form of a record."""
        return {"value": self.median, "low": self.lowest, "high": self.highest}

    def __str__(self) -> str:
        return f"{self.median:9.3f}{self.lowest:9.3f}{self.highest:9.3f}"


def compare(peer: Timing, ours: Timing) -> str:
    """Compare ours with a peer by their medians, in words; empty for ours itself."""
    if peer is ours:
        return ""
    ratio = peer.median / ours.median
    return f"{ratio:8.2f} x as fast" if ratio >= 1 else f"{1 / ratio:8.2f} x its time"


def time_in_turn(
    ways: Mapping[str, tuple[Callable[[], object], int]],
    rounds: int = 9,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time ways in turn: each runs for a moment uncounted, then its calls are counted.

    Args:
        ways: name -> a call, and the clips that it processes.
        rounds: turns of each.
        clock: seconds; `time.process_time` counts those of this process alone, of ways that take one thread.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (call, clips) in ways.items():
            _run_for(_WARM_UP, call, clock)
            taken[name].append(1000 * _run_for(_COUNTED, call, clock) / clips)
    return {name: Timing(float(np.median(t)), min(t), max(t)) for name, t in taken.items()}


def _run_for(seconds: float, call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Measure seconds a call: call again and again for that time, at least once."""
    began, calls = clock(), 0
    while calls == 0 or clock() - began < seconds:
        call()
        calls += 1
    return (clock() - began) / calls


def run_with_threads(module: str, arguments: list[str], thread_counts: list[int], record: Path | None = None) -> int:
    """Run a benchmark module in a child process for every number of threads; the status of the first that fails.

    Each child adds its rows to the record, which begins anew.
    """
    if record is not None:
        record.unlink(missing_ok=True)
    for count in thread_counts:
        print(f"\n== {count} thread{'s' * (count > 1)} ==", flush=True)
        environment = os.environ | {name: str(count) for name in THREAD_VARIABLES}
        done = subprocess.run([sys.executable, "-m", module, *arguments, "--child", str(count)], env=environment)
        if done.returncode:
            return done.returncode
    return 0


def read_clips(folder: Path | None, count: int, sampling_rate: int, seconds: float) -> list[np.ndarray]:
    """Recordings from all over a folder at their true lengths, or seeded noise where there is none."""
    if folder is None:
        generator = np.random.default_rng(0)
        return [
            (0.1 * generator.standard_normal(round(seconds * sampling_rate))).astype(np.float32) for _ in range(count)
        ]
    return [load_audio(file, sampling_rate)[: round(seconds * sampling_rate)] for file in choose_files(folder, count)]


def choose_files(folder: Path, count: int) -> list[Path]:
    """Choose sound files from all over a folder; where it has too few, some come twice."""
    files = find_audio_files(folder)
    if not files:
        raise QuaclrsError(f"--recordings {folder} holds no sound file; give a folder of recordings")
    return [files[i] for i in np.linspace(0, len(files) - 1, count).round().astype(int)]
