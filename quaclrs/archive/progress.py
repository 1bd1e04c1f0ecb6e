"""Progress of an archive: hours of sound, speed, time left."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

from tqdm import tqdm

#: Seconds between two lines where nobody watches, in a log for one.
_IN_A_LOG = 60.0


class Progress:
    """A line on standard error, by bytes of files: how long they are is known only when they are read.

    Args:
        size: bytes of all files.
        shown: False for nothing at all.
    """

    def __init__(self, size: int, shown: bool = True) -> None:
        self._lock, self._begun = threading.Lock(), time.monotonic()
        self._seconds, self._broken = 0.0, 0
        watched = sys.stderr is not None and sys.stderr.isatty()
        self._bar = tqdm(
            total=size,
            disable=not shown,
            mininterval=0.5 if watched else _IN_A_LOG,
            bar_format="{percentage:3.0f}% {desc}, {remaining} left",
        )
        self.heard(0.0)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()

    def heard(self, seconds: float) -> None:
        """Count seconds of sound that went through the model."""
        with self._lock:
            self._seconds += seconds
            taken = max(1e-3, time.monotonic() - self._begun)
            broken = f", {self._broken} broken" if self._broken else ""
            speed = self._seconds / taken
            self._bar.set_description_str(
                f"{self._seconds / 3600:.1f} h, {speed:.0f} x real time{broken}", refresh=False
            )

    def passed(self, size: int) -> None:
        """Count the bytes of a file that is done."""
        with self._lock:
            self._bar.update(size)

    def broken(self, size: int) -> None:
        """Count a file that cannot be heard."""
        self._broken += 1
        self.passed(size)
