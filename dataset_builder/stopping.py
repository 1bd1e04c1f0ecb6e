"""The end of a command that is stopped: what is unfinished goes, and one line says so."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class _Stopped(SystemExit):
    """A signal that ends this process."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


@contextmanager
def told_when_stopped() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP as of a closed terminal, end a block as Ctrl-C does: everything is put in order."""
    numbers = [signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    # nohup has a command ignore SIGHUP.
    before = {n: signal.signal(n, _stop) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield
    except (KeyboardInterrupt, _Stopped) as stop:
        name = stop.name if isinstance(stop, _Stopped) else "Ctrl-C"
        print(f"stopped by {name}: nothing was written", file=sys.stderr)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # a second one must not break into the putting in order
    raise _Stopped(number)
