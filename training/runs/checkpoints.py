"""Resumable checkpoints: folders that are complete or absent, after an epoch or in the middle of one."""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list
from torch import nn

from quaclrs.errors import QuaclrsError, QuaclrsWarning, first_line_of
from quaclrs.files import written

from .state import STATE_FILE, TrainingState, read_values

#: `epoch-0003` holds three whole epochs, `epoch-0003-step-000012` twelve steps of the fourth too.
_NAME = re.compile(r"epoch-\d{4,}(-step-\d{6,})?")


def save_checkpoint(
    folder: Path, state: TrainingState, epochs: int, values: dict[str, Any], steps: int = 0, keep: int = 2
) -> None:
    """Write the state of a run, then drop older checkpoints. Every process must call; the main one writes.

    Args:
        folder: the run's `checkpoints` folder.
        state: of the run.
        epochs: whole epochs done.
        values: `history` and `unfinished`, what the loop needs beside the state, as JSON.
        steps: steps done of the epoch after those.
        keep: how many of the newest checkpoints stay.
    """
    final = folder / (f"epoch-{epochs:04d}" + (f"-step-{steps:06d}" if steps else ""))
    values = {**values, **state.describe()}
    if state.accelerator.is_main_process:
        _remove_unfinished(folder)
        with written(final, durable=True) as unfinished:
            state.write(unfinished, values)
        complete = [path for path in list_checkpoints(folder) if (path / STATE_FILE).is_file()]
        for old in complete[:-keep]:
            _remove(old)
    state.accelerator.wait_for_everyone()


def load_last_checkpoint(folder: Path, state: TrainingState) -> dict[str, Any] | None:
    """Restore the newest whole checkpoint and return its values; None without a checkpoint.

    One that is damaged is told and set aside. Every process must call.

    Raises:
        QuaclrsError: there are checkpoints, but none can be read.
    """
    accelerator = state.accelerator
    if accelerator.is_main_process:
        _remove_unfinished(folder)
    names = broadcast_object_list([[path.name for path in list_checkpoints(folder)]])[0]
    for place, name in reversed(list(enumerate(names))):
        reason = ""
        try:
            values = state.read(folder / name)
            if values["unfinished"] and len(values["unfinished"]) != accelerator.num_processes:
                raise ValueError("another number of processes stopped amid its epoch")
        except Exception as error:  # files, JSON and tensors fail in many ways
            reason = first_line_of(error)
        if _all_agree(accelerator, not reason):
            if accelerator.is_main_process:
                for damaged in names[place + 1 :]:
                    _set_aside(folder / damaged)
            return values
        found = reason or "another process cannot read it"
        warnings.warn(f"checkpoint {folder / name} cannot be used: {found}", QuaclrsWarning, stacklevel=2)
    if names:
        raise QuaclrsError(f"none of the checkpoints in {folder} can be used; restore one, or train with --overwrite")
    return None


def refuse_other_processes(folder: Path, num_processes: int) -> None:
    """Raise a `QuaclrsError` where the newest checkpoint was written amid an epoch by another number of processes."""
    for checkpoint in reversed(list_checkpoints(folder)):
        try:
            unfinished = read_values(checkpoint)["unfinished"]
        except ValueError:  # told when it is loaded
            continue
        if unfinished and len(unfinished) != num_processes:
            raise QuaclrsError(
                f"{folder.parent} stopped amid an epoch with {len(unfinished)} processes; resume with as many"
            )
        return


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints, oldest first, whole or damaged."""
    found = [path for path in folder.glob("epoch-*") if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)])


def _all_agree(accelerator: Accelerator, agrees: bool) -> bool:
    told = torch.tensor(float(agrees), device=accelerator.device)
    return accelerator.reduce(told, reduction="sum").item() == accelerator.num_processes


def _remove(folder: Path) -> None:
    """Remove a folder, which is hidden first: one that is half deleted must not look whole."""
    shutil.rmtree(folder.rename(folder.with_name(f".{folder.name}.old")))


def _set_aside(folder: Path) -> None:
    aside = folder.with_name(f"{folder.name}.damaged")
    if aside.exists():
        _remove(aside)
    folder.rename(aside)


def _remove_unfinished(folder: Path) -> None:
    """Remove what a run left behind that was killed while it wrote or deleted: its folder is ours alone."""
    for left in folder.glob(".epoch-*"):
        if _NAME.fullmatch(left.name[1:].partition(".")[0]):
            shutil.rmtree(left)


def broadcast_buffers(accelerator: Accelerator, model: nn.Module) -> None:
    """Give every process the main one's buffers: those are saved, and BatchNorm's differ by the clips it has seen."""
    if accelerator.num_processes > 1:
        for buffer in model.buffers():
            buffer.copy_(broadcast(buffer))
