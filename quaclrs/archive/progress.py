"""Progress of an archive: hours of sound, speed, time left."""

from __future__ import annotations

import sys
import threading
import time
from datetime import timedelta
from types import TracebackType

from tqdm import tqdm

#: Seconds between two lines: on a terminal, where one takes the other's place, and in a log.
_ON_A_TERMINAL, _IN_A_LOG = 0.5, 60.0


class Progress:
    """A line on standard error, by bytes of files: how long they are is known only when they are read.

    Args:
        size: bytes of all files.
        shown: False for nothing at all.
    """

    def __init__(self, size: int, shown: bool = True) -> None:
        self._lock, self._begun = threading.RLock(), time.monotonic()
        self._size, self._seconds, self._broken = max(1, size), 0.0, 0
        self._passed = self._before = 0  # bytes that are done, and those that others or a former run have done
        self._shown, self._last = shown and sys.stderr is not None, time.monotonic()
        watched = self._shown and sys.stderr.isatty()
        # tqdm keeps its line apart from warnings.
        self._line = tqdm(bar_format="{desc}", disable=not watched) if watched else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._line is not None:
            self._line.set_description_str(str(self))
            self._line.close()

    def __str__(self) -> str:
        taken = max(1e-3, time.monotonic() - self._begun)
        own = self._passed - self._before
        left = taken / own * (self._size - self._passed) if own else None
        parts = [
            f"{self._passed / self._size:4.0%}",
            f"{self._seconds / 3600:.1f} h",
            f"{self._seconds / taken:.0f} x real time",
            *([f"{self._broken} broken"] if self._broken else []),
            *([] if left is None else [f"{timedelta(seconds=round(left))} left"]),
        ]
        return ", ".join(parts)

    def heard(self, seconds: float) -> None:
        """Count seconds of sound that went through the model."""
        with self._lock:
            self._seconds += seconds
            every = _IN_A_LOG if self._line is None else _ON_A_TERMINAL
            if not self._shown or time.monotonic() - self._last < every:
                return
            self._last = time.monotonic()
            if self._line is None:
                print(self, file=sys.stderr, flush=True)
            else:
                self._line.set_description_str(str(self))

    def passed(self, size: int, by_us: bool = True) -> None:
        """Count the bytes of a file that is done, by this process or by others before."""
        with self._lock:
            self._passed += size
            self._before += 0 if by_us else size

    def broken(self, size: int) -> None:
        """Count a file that cannot be heard."""
        with self._lock:
            self._broken += 1
            self.passed(size)
