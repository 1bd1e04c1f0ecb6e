"""Runs side by side, each a process of its own with its share of the processors."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from .termination import WAITED_FOR

if TYPE_CHECKING:
    from .run import Run

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Trains a run that is one of so many side by side, and returns its exit status; `Run.start` is the real one.
Starter = Callable[["Run", int], int]

#: Exit statuses of a process that an interruption ended.
_INTERRUPTED = (130, -2)


def environment_of_job(jobs: int) -> dict[str, str]:
    """The environment of a process that is one of so many; numbers of threads that are set already stay."""
    environment = {**os.environ, WAITED_FOR: "1"}
    if jobs == 1:
        return environment
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    return {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **environment, "TQDM_DISABLE": "1"}


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> list[Result]:
    """The results of work on each item, so many at a time, in the order of the items.

    After an exception, such as an interruption, no further item is begun; those that are under way end first.
    """
    ended = threading.Event()

    def unless_ended(item: Item) -> Result:
        if ended.is_set():
            raise CancelledError
        try:
            return work(item)
        except BaseException:
            ended.set()
            raise

    with ThreadPoolExecutor(jobs) as pool:
        try:
            return list(pool.map(unless_ended, items))
        finally:
            ended.set()


def train_all(runs: Iterable[Run], start: Starter, announce: Callable[[str], None], jobs: int = 1) -> list[Run]:
    """Train each run once that is not finished, and return those that failed: the others are worth having.

    Args:
        runs: that must be there in the end.
        start: trains one.
        announce: takes a line of progress.
        jobs: runs side by side.

    Raises:
        KeyboardInterrupt: a run was interrupted.
    """
    distinct = list(dict.fromkeys(runs))

    def train(number: int) -> bool:
        run = distinct[number]
        name = f"[{number + 1}/{len(distinct)}] {run.folder.name}, fold {run.fold}, seed {run.seed}"
        if run.is_finished():
            announce(f"{name}: finished before")
            return True
        announce(name)
        status = start(run, jobs)
        if status in _INTERRUPTED:
            raise KeyboardInterrupt
        succeeded = status == 0 and run.is_finished()
        if not succeeded:
            announce(f"{name} failed with status {status}")
        return succeeded

    trained = side_by_side(train, range(len(distinct)), jobs)
    return [run for run, succeeded in zip(distinct, trained, strict=True) if not succeeded]
