"""Processes that train run after run: what every run would import is imported once."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any

from quaclrs.errors import QuaclrsError

from .queue import environment_of_job
from .run import Run
from .termination import end_with_launcher


class WarmProcesses:
    """Starts runs as `Run.start` does, in processes that stay.

    A run's peak memory is then not its own. The number of threads is set in this process's environment.

    Args:
        jobs: processes, which share the processors.
    """

    def __init__(self, jobs: int) -> None:
        os.environ.update(environment_of_job(jobs))
        spawning = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(jobs, mp_context=spawning, initializer=end_with_launcher)
        # All begin now, by this thread: they end with the thread that began them (`end_with_launcher`).
        wait([self._pool.submit(os.getpid) for _ in range(jobs)])

    def __enter__(self) -> WarmProcesses:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __call__(self, run: Run, jobs: int = 1) -> int:
        """Train a run and return its exit status."""
        return self.do(_train, run)

    def do(self, work: Callable[..., int], *arguments: Any) -> int:
        """The exit status of work, a function of a module, in one of the processes.

        Raises:
            QuaclrsError: a process was killed; the others end with it.
        """
        try:
            return self._pool.submit(_with_status, work, *arguments).result()
        except BrokenProcessPool as error:
            raise QuaclrsError("a process that trains was killed; run the command again to go on") from error


def _with_status(work: Callable[..., int], *arguments: Any) -> int:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for tables
            return work(*arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():  # it told a training to end, and nobody gives more work
            os._exit(1)


def _train(run: Run) -> int:
    return importlib.import_module(run.kind.module).main(run.arguments[1:])
