"""Worker processes that last for a whole build, so that each imports what it needs once, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import numpy  # noqa: F401 - its BLAS must be loaded before its threads can be limited
from threadpoolctl import threadpool_limits

from quaclrs.errors import QuaclrsError

#: (function, items, items per task) -> results in the order of the items.
OrderedMap = Callable[[Callable[[Any], Any], Iterable[Any], int], Iterator[Any]]


def map_in_this_process(function: Callable[[Any], Any], items: Iterable[Any], items_per_task: int = 1) -> Iterator[Any]:
    """The `OrderedMap` that needs no other process."""
    return map(function, items)


@contextmanager
def workers(num_proc: int) -> Iterator[OrderedMap]:
    """Yield an `OrderedMap` over `num_proc` processes; one is this process itself.

    Functions and items must be picklable. Results come as they are ready, in order, whatever the number of processes.
    An error, Ctrl-C or the end of this process, be it by SIGKILL, ends the workers in the middle of their work.

    Raises:
        QuaclrsError: a worker was killed.
    """
    if num_proc == 1:
        yield map_in_this_process
        return
    # Fresh interpreters: forking a process that holds threads of Arrow or BLAS can deadlock.
    context = multiprocessing.get_context("spawn")
    watched, kept_open = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(num_proc, mp_context=context, initializer=_begin, initargs=(watched,))

    def ordered_map(function: Callable[[Any], Any], items: Iterable[Any], items_per_task: int) -> Iterator[Any]:
        with _signals_kept_from_children():
            return pool.map(function, items, chunksize=items_per_task)

    try:
        yield ordered_map
    except BrokenProcessPool as error:
        raise QuaclrsError(
            "a worker process was killed, perhaps as memory ran out; try a smaller --num-proc"
        ) from error
    except BaseException:
        kept_open.close()  # not at the end of a task, which may take minutes
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        kept_open.close()
        watched.close()


def _begin(watched: Connection) -> None:
    """Begin a worker: one thread, and another that waits for the builder's end.

    Processes share the cores already: threads of each would wait for each other, at full load.
    """
    threadpool_limits(1)
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()


def _end_with(watched: Connection) -> None:
    """End this process once the other end of a pipe is closed, as the system does where its holder was killed."""
    try:
        watched.poll(None)
    finally:
        os._exit(1)


@contextmanager
def _signals_kept_from_children() -> Iterator[None]:
    """Start processes that Ctrl-C and what else ends a whole group of processes pass by: the builder ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
