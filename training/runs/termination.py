"""The end of a run before its time: told by a signal, or by the death of what started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, NoReturn

import torch
from accelerate import Accelerator

#: In the environment of a training that another command of ours waits for.
WAITED_FOR = "QUACLRS_WAITED_FOR"

#: Set by what starts a training and waits for it: `Run.start`, `accelerate launch`, torchrun.
_LAUNCHERS = (WAITED_FOR, "ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID")

#: By which schedulers and launchers end a job, and by which a terminal's Ctrl-C does.
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

#: Seconds that a run may take to notice: torchrun kills 30 s after it has told, and a checkpoint must be written.
_NOTICED_WITHIN = 5.0

#: Seconds within which a second Ctrl-C is the first once more: the terminal tells the launcher too, which hands it on.
_SAME_KEY = 1.0

_PR_SET_PDEATHSIG = 1


class Termination:
    """Notices SIGTERM and Ctrl-C, so that the loop can write a checkpoint and leave; a second Ctrl-C ends at once.

    As a context manager it installs its handlers, in the main thread only, and puts back the former ones.

    Args:
        at_most: steps of the optimiser from one question of several processes to the next.
    """

    def __init__(self, at_most: int = 1) -> None:
        self._received: int | None = None
        self._received_at = 0.0
        self._former: dict[int, Any] = {}
        self._at_most = at_most
        self._steps, self._steps_left = 0, 1
        self._asked_at = time.monotonic()

    def __enter__(self) -> Termination:
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        for number, handler in self._former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received is None:
            self._received, self._received_at = number, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._received_at > _SAME_KEY:
            raise KeyboardInterrupt

    def is_due(self, accelerator: Accelerator) -> bool:
        """True after a step of the optimiser at which to ask; several processes do so at the same one, and seldom.

        Asking costs them a round of messages. How long steps take decides how many pass.
        """
        self._steps, self._steps_left = self._steps + 1, self._steps_left - 1
        return accelerator.num_processes == 1 or self._steps_left <= 0

    def requested(self, accelerator: Accelerator) -> signal.Signals | None:
        """The signal by which any process was told to end. All must ask at the same step: they agree on the answer."""
        told = [float(self._received == number) for number in _SIGNALS]
        if accelerator.num_processes > 1:
            passed = time.monotonic() - self._asked_at
            own = torch.tensor([*told, passed], device=accelerator.device)
            *told, passed = accelerator.reduce(own, reduction="sum").tolist()
            a_step = passed / accelerator.num_processes / max(self._steps, 1)
            self._steps, self._steps_left = 0, max(1, min(self._at_most, int(_NOTICED_WITHIN / max(a_step, 1e-6))))
            self._asked_at = time.monotonic()
        return next((number for number, count in zip(_SIGNALS, told, strict=True) if count), None)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block, as Ctrl-C does, so that what was begun is put in order; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if former is None else former)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # a second one must not break into the putting in order
    raise SystemExit(128 + number)  # as shells report it


def end_with_launcher() -> None:
    """Have Linux send this process SIGTERM when what started it dies, where that waits for its end.

    `accelerate launch` of a single process hands no signal on. A shell may well end before what it started.
    """
    if sys.platform == "linux" and any(name in os.environ for name in _LAUNCHERS):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def outlive_signals(worker: int) -> None:
    """Let a worker of a `DataLoader` live on when its whole group is told to end, as `worker_init_fn`.

    The run ends it when it has saved, and a worker that dies before raises an error there. Only its parent's SIGTERM
    counts; it notices its parent's death by itself.
    """
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        threading.Thread(target=_end_by_parent, args=(os.getppid(),), daemon=True).start()


def _end_by_parent(parent: int) -> None:
    while True:
        told = signal.sigwaitinfo(_SIGNALS)
        if told.si_signo == signal.SIGTERM and told.si_pid == parent:
            os._exit(0)
