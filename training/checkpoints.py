"""Resumable checkpoints: one folder a finished epoch, complete or absent, the newest few kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator

_STATE_FILE = "trainer_state.json"
_KEEP = 2


def save_checkpoint(accelerator: Accelerator, folder: Path, epoch: int, state: dict[str, Any]) -> None:
    """Write weights, optimiser, schedule and random states of every process as `epoch-NNNN`, then drop older ones.

    Args:
        accelerator: holds what was prepared or registered for checkpointing.
        folder: the run's `checkpoints` folder.
        epoch: the epoch just finished, from 1.
        state: what the loop needs beside that, as JSON.
    """
    partial, final = folder / f"epoch-{epoch:04d}.partial", folder / f"epoch-{epoch:04d}"
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (partial / _STATE_FILE).write_text(json.dumps(state), encoding="utf-8")
        partial.rename(final)
        for old in list_checkpoints(folder)[:-_KEEP]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def load_last_checkpoint(accelerator: Accelerator, folder: Path) -> dict[str, Any] | None:
    """Restore the newest complete checkpoint and return its state; None where there is none."""
    found = list_checkpoints(folder)
    if not found:
        return None
    accelerator.load_state(str(found[-1]))
    return json.loads((found[-1] / _STATE_FILE).read_text(encoding="utf-8"))


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(p for p in folder.glob("epoch-????") if (p / _STATE_FILE).is_file())
