"""The processes of a run: how they find together, hold a folder, and end where one of them is lost."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, parse_flag_from_env

from quaclrs.errors import QuaclrsError
from quaclrs.locks import only_writer

#: What gloo and NCCL say where another process closed its connection or did not answer in time.
_LOST = re.compile(
    r"gloo|NCCL|ProcessGroup|Connection (closed|reset)|Broken pipe|Timed out|timeout caused pair closure", re.IGNORECASE
)


def join_processes(timeout: int) -> PartialState:
    """Find the other processes of this run, before an `Accelerator` does so with a timeout of its own.

    Args:
        timeout: seconds that they wait for one that does not answer.
    """
    return PartialState(parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=timedelta(seconds=timeout))


@contextmanager
def only_run_in(folder: str | os.PathLike[str], processes: PartialState) -> Iterator[None]:
    """Be the only run that writes a folder: the main process holds the lock for all.

    Raises:
        QuaclrsError: another run writes it; in every process, so that none waits for the others.
    """
    with ExitStack() as held:
        refusal: list[str | None] = [None]
        if processes.is_main_process:
            try:
                held.enter_context(only_writer(Path(folder)))
            except QuaclrsError as error:
                refusal = [str(error)]
        if message := broadcast_object_list(refusal)[0]:
            raise QuaclrsError(message)
        yield


@contextmanager
def end_where_another_died(processes: PartialState) -> Iterator[None]:
    """Print one line and leave where the block fails as another process of the run died or hangs."""
    try:
        yield
    except RuntimeError as error:
        if processes.num_processes == 1 or not _LOST.search(str(error)):
            raise
        print(
            f"error: process {processes.process_index} lost another of the run, which died or hangs; "
            "go on with --resume auto",
            file=sys.stderr,
            flush=True,
        )
        raise SystemExit(1) from None
