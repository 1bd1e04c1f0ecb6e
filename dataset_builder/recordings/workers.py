"""Worker processes that last for a whole build, so that each imports what it needs once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy  # noqa: F401 - its BLAS must be loaded before its threads can be limited
from threadpoolctl import threadpool_limits

#: (function, items, items per task) -> results in the order of the items.
OrderedMap = Callable[[Callable[[Any], Any], Iterable[Any], int], Iterator[Any]]


def map_in_this_process(function: Callable[[Any], Any], items: Iterable[Any], items_per_task: int = 1) -> Iterator[Any]:
    """The `OrderedMap` that needs no other process."""
    return map(function, items)


@contextmanager
def workers(num_proc: int) -> Iterator[OrderedMap]:
    """Yield an `OrderedMap` over `num_proc` processes; one is this process itself.

    Functions and items must be picklable. Results come as they are ready, in order, whatever the number of processes.
    """
    if num_proc == 1:
        yield map_in_this_process
        return
    # Fresh interpreters: forking a process that holds threads of Arrow or BLAS can deadlock.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_proc, mp_context=context, initializer=_use_one_thread)
    try:
        yield lambda function, items, items_per_task: pool.map(function, items, chunksize=items_per_task)
    finally:
        pool.shutdown(cancel_futures=True)


def _use_one_thread() -> None:
    """Processes share the cores already: threads of each would wait for each other, at full load."""
    threadpool_limits(1)
