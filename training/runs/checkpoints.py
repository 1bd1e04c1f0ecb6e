"""Resumable checkpoints: folders that are complete or absent, after an epoch or in the middle of one."""

from __future__ import annotations

import json
import re
import shutil
import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn

from quaclrs.errors import QuaclrsError

_STATE_FILE = "trainer_state.json"

#: `epoch-0003` holds three whole epochs, `epoch-0003-step-000012` twelve steps of the fourth too.
_NAME = re.compile(r"epoch-\d{4,}(-step-\d{6,})?")


def save_checkpoint(
    accelerator: Accelerator, folder: Path, epochs: int, state: dict[str, Any], steps: int = 0, keep: int = 2
) -> None:
    """Write weights, optimiser, schedule and random states of every process, then drop older checkpoints.

    Args:
        accelerator: holds what was prepared or registered for checkpointing.
        folder: the run's `checkpoints` folder.
        epochs: whole epochs done.
        state: what the loop needs beside that, as JSON.
        steps: steps done of the epoch after those.
        keep: how many of the newest checkpoints stay.
    """
    final = folder / (f"epoch-{epochs:04d}" + (f"-step-{steps:06d}" if steps else ""))
    partial = final.with_name(f"{final.name}.partial")
    if accelerator.is_main_process:
        _remove_partial(folder)  # this very name may be among them
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (partial / _STATE_FILE).write_text(json.dumps(state), encoding="utf-8")
        partial.rename(final)
        for old in list_checkpoints(folder)[:-keep]:
            # Renamed first: a folder that is half deleted must not look complete.
            shutil.rmtree(old.rename(old.with_name(f"{old.name}.partial")))
    accelerator.wait_for_everyone()


def load_last_checkpoint(accelerator: Accelerator, folder: Path) -> dict[str, Any] | None:
    """Restore the newest complete checkpoint and return its state; None where there is none."""
    if accelerator.is_main_process:
        _remove_partial(folder)
    found = list_checkpoints(folder)
    if not found:
        return None
    accelerator.load_state(str(found[-1]))
    return json.loads((found[-1] / _STATE_FILE).read_text(encoding="utf-8"))


def refuse_other_processes(folder: Path, num_processes: int) -> None:
    """Raise a `QuaclrsError` where the newest checkpoint was written amid an epoch by another number of processes."""
    found = list_checkpoints(folder)
    unfinished = json.loads((found[-1] / _STATE_FILE).read_text(encoding="utf-8"))["unfinished"] if found else None
    if unfinished and len(unfinished) != num_processes:
        raise QuaclrsError(
            f"{folder.parent} stopped amid an epoch with {len(unfinished)} processes; resume with as many"
        )


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = [p for p in folder.glob("epoch-*") if _NAME.fullmatch(p.name) and (p / _STATE_FILE).is_file()]
    return sorted(found, key=lambda p: [int(number) for number in re.findall(r"\d+", p.name)])


def _remove_partial(folder: Path) -> None:
    """Remove what a run left behind that was killed while it wrote or deleted."""
    for left in folder.glob("*.partial"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def broadcast_buffers(accelerator: Accelerator, model: nn.Module) -> None:
    """Give every process the main one's buffers: those are saved, and BatchNorm's differ by the clips it has seen."""
    if accelerator.num_processes > 1:
        for buffer in model.buffers():
            buffer.copy_(broadcast(buffer))


class Termination:
    """Notices SIGTERM, by which schedulers end a job, so that the loop can write a checkpoint and leave.

    As a context manager it installs its handler, in the main thread only, and puts back the former one.
    """

    def __init__(self) -> None:
        self._received = False
        self._former: Any = None

    def __enter__(self) -> Termination:
        if threading.current_thread() is threading.main_thread():
            self._former = signal.signal(signal.SIGTERM, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._former)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = True

    def requested(self, accelerator: Accelerator) -> bool:
        """True once any process was told to end. All must ask at the same step: they agree on the answer."""
        if accelerator.num_processes == 1:
            return self._received
        told = torch.tensor(float(self._received), device=accelerator.device)
        return bool(accelerator.reduce(told, reduction="sum").item() > 0)
