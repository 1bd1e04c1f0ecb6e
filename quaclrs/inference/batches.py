"""Take items in order, in batches and by threads, while the network is busy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import QuaclrsError

if TYPE_CHECKING:  # it takes time to import, which a single sound does without
    from concurrent.futures import Executor, Future

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of `size` items, the last of the rest; a thread takes the next while the caller works on one.

    Raises:
        QuaclrsError: the size is below 1.
        Exception: what taking an item raises, in the place of its batch.
    """
    if size < 1:
        raise QuaclrsError(f"batch size is {size}; it must be 1 or more")
    waiting = iter(items)
    batch = list(islice(waiting, size))
    if len(batch) < size:
        yield from [batch] if batch else []
        return
    asked: SimpleQueue[bool] = SimpleQueue()
    taken: SimpleQueue[tuple[list[Any], BaseException | None]] = SimpleQueue()

    def take() -> None:
        while asked.get():
            try:
                taken.put((list(islice(waiting, size)), None))
            except BaseException as error:
                taken.put(([], error))

    Thread(target=take, daemon=True).start()  # of which no end waits: its sound may be a pipe into which nobody writes
    try:
        while batch:
            asked.put(True)
            yield batch
            batch, error = taken.get()
            if error is not None:
                raise error
    finally:
        asked.put(False)


def in_order(
    executor: Executor, call: Callable[[Item], Answer], items: Iterable[Item], ahead: int
) -> Iterator[tuple[Item, Answer]]:
    """Yield items with the result of `call` for each, in order; up to `ahead` are computed before their turn."""
    waiting: deque[tuple[Item, Future[Answer]]] = deque()
    try:
        for item in items:
            waiting.append((item, executor.submit(call, item)))
            if len(waiting) > ahead:
                done, answer = waiting.popleft()
                yield done, answer.result()
        while waiting:
            done, answer = waiting.popleft()
            yield done, answer.result()
    finally:
        for _, answer in waiting:
            answer.cancel()
