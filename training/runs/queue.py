"""Runs side by side, each a process of its own with its share of the processors."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def environment_of_job(jobs: int) -> dict[str, str]:
    """The environment of a process that is one of so many; numbers of threads that are set already stay."""
    if jobs == 1:
        return dict(os.environ)
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    return {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **os.environ, "TQDM_DISABLE": "1"}


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
