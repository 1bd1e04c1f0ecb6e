"""Everything that a run must not lose when it is interrupted, as tensors in safetensors and the rest in JSON.

Nothing that is read can be code: a checkpoint may come from anywhere.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from quaclrs.errors import first_line_of
from quaclrs.files import digest_of
from quaclrs.text_files import read_mapping

from .optimization import Schedule

STATE_FILE = "trainer_state.json"
_BEST = "best.safetensors"

#: Digests of the other files, as `sha256sum -c` reads them.
_SUMS = "SHA256SUMS"

Tensors = dict[str, torch.Tensor]


@dataclass
class TrainingState:
    """Networks, optimisers, schedule, loss scale and random states of a run.

    Attributes:
        accelerator: that prepared them.
        modules: name of a file -> network. Of several processes all hold the same.
        optimizers: name of a file -> optimiser, as `Accelerator.prepare` returned it.
        schedule: of the learning rate.
        chosen: the network whose best weights are kept, where an epoch is chosen.
        best: its weights after the best epoch so far, on the CPU.
    """

    accelerator: Accelerator
    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, Any]
    schedule: Schedule
    chosen: nn.Module | None = None
    best: Tensors | None = None

    def keep_best(self) -> None:
        """Take the present weights of `chosen` for the best."""
        assert self.chosen is not None
        self.best = _on_cpu(self.chosen.state_dict())

    def restore_best(self) -> None:
        """Give `chosen` its best weights."""
        assert self.chosen is not None and self.best is not None
        self.chosen.load_state_dict(self.best)

    def describe(self) -> dict[str, Any]:
        """State beside its tensors, as JSON; every process must call."""
        scaler = self.accelerator.scaler
        return {
            "optimizers": {
                name: [{key: value for key, value in group.items() if key != "params"} for group in groups]
                for name, optimizer in self.optimizers.items()
                if (groups := optimizer.state_dict()["param_groups"])
            },
            "schedule": self.schedule.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "accumulated_batches": self.accelerator.step,
            "random": gather_object([_random_state(self.accelerator.device)]),
        }

    def write(self, folder: Path, values: dict[str, Any]) -> None:
        """Make a folder that holds all of it.

        Args:
            folder: new.
            values: what `describe` gave, and what else is to be kept as JSON.
        """
        folder.mkdir()
        (folder / STATE_FILE).write_text(json.dumps(values), encoding="utf-8")
        for name, tensors in self._tensors():
            save_file(tensors, folder / name)
        sums = "".join(f"{_digest(file)}  {file.name}\n" for file in sorted(folder.iterdir()))
        (folder / _SUMS).write_text(sums, encoding="utf-8")

    def read(self, folder: Path) -> dict[str, Any]:
        """Restore what `write` wrote, and return the values.

        Raises:
            Exception: of many kinds, whose message says why the folder cannot be used. What is restored may then be a
                part.
        """
        values, files = read_state(folder)
        chosen = {} if self.chosen is None or _BEST not in files else {_BEST: self.chosen}
        modules = {f"{name}.safetensors": module for name, module in self.modules.items()}
        optimizers = {f"{name}.safetensors": optimizer for name, optimizer in self.optimizers.items()}
        if unlike := files.keys() ^ {*modules, *optimizers, *chosen}:
            raise ValueError(f"{min(unlike)} is missing, or does not belong to this run")
        if self.chosen is not None and bool(values["history"]) != bool(chosen):
            raise ValueError(f"{_BEST} is missing")
        for name, module in {**modules, **chosen}.items():
            _refuse_others(name, files[name], module.state_dict())
        for name, module in modules.items():
            module.load_state_dict(files[name])
        for name, optimizer in optimizers.items():
            _restore_optimizer(optimizer, files[name], values["optimizers"][Path(name).stem])
        self.best = files.get(_BEST)
        self.schedule.load_state_dict(_like(self.schedule.state_dict(), values["schedule"]))
        if self.accelerator.scaler is not None:
            scaler = self.accelerator.scaler
            scaler.load_state_dict(_like(scaler.state_dict(), values["scaler"]))
        self.accelerator.step = int(values["accumulated_batches"])
        if self.accelerator.process_index < len(values["random"]):  # fewer processes may have written it
            _restore_random_state(values["random"][self.accelerator.process_index], self.accelerator.device)
        return values

    def _tensors(self) -> Iterator[tuple[str, Tensors]]:
        """Names of files and their tensors."""
        for name, module in self.modules.items():
            yield f"{name}.safetensors", _on_cpu(module.state_dict())
        for name, optimizer in self.optimizers.items():
            of_parameters = optimizer.state_dict()["state"].items()
            tensors = {f"{number}.{key}": tensor for number, state in of_parameters for key, tensor in state.items()}
            yield f"{name}.safetensors", _on_cpu(tensors)
        if self.best is not None:
            yield _BEST, self.best


def read_values(folder: Path) -> dict[str, Any]:
    """State of a checkpoint beside its tensors.

    Raises:
        ValueError: it cannot be read, or is of another form.
    """
    values = read_mapping(folder / STATE_FILE)
    history, unfinished = values.get("history"), values.get("unfinished")
    if not isinstance(history, list) or not all(isinstance(row, dict) and "epoch" in row for row in history):
        raise ValueError(f"{STATE_FILE} holds no history")
    if unfinished is not None and not (isinstance(unfinished, list) and all(isinstance(u, dict) for u in unfinished)):
        raise ValueError(f"{STATE_FILE} holds no sums of an epoch")
    return values


def read_state(folder: Path) -> tuple[dict[str, Any], dict[str, Tensors]]:
    """Read a checkpoint: its values, and the tensors of its files, each file as its digest says.

    Raises:
        Exception: of many kinds, whose message says what is wrong.
    """
    digests = {}
    for line in (folder / _SUMS).read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        if not name:
            raise ValueError(f"{_SUMS} is damaged")
        digests[name] = digest
    if unlike := {file.name for file in folder.iterdir()} ^ {*digests, _SUMS}:
        raise ValueError(f"{min(unlike)} is missing, or no checkpoint has it")
    for name, digest in digests.items():
        if _digest(folder / name) != digest:
            raise ValueError(f"{name} is damaged")
    return read_values(folder), {name: _load(folder / name) for name in digests if name != STATE_FILE}


def _load(file: Path) -> Tensors:
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file.name} holds no tensors ({first_line_of(error)})") from error


def _on_cpu(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Copies that share no memory, which safetensors refuses."""
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return digest_of(opened, "sha256")


def _refuse_others(file: str, tensors: Tensors, wanted: Mapping[str, torch.Tensor]) -> None:
    if unlike := tensors.keys() ^ wanted.keys():
        raise ValueError(f"{file} lacks {min(unlike)}, or has it too much")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            raise ValueError(f"{file} has {name} of another shape or type")
        # A dimension that a probe is not to hear is divided by infinity.
        if tensor.is_floating_point() and (wanted[name].cpu().isfinite() & ~tensor.isfinite()).any():
            raise ValueError(f"{file} has numbers in {name} that are none")


def _restore_optimizer(optimizer: Any, tensors: Tensors, groups: Any) -> None:
    now = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, Tensors] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        parameter = parameters[int(number)]
        if tensor.shape not in (parameter.shape, ()):
            raise ValueError(f"the optimiser's {name} is of another shape")
        if tensor.shape == parameter.shape:  # also laid out as it is, channels last: other kernels round differently
            tensor = torch.empty_like(parameter, dtype=tensor.dtype, device="cpu").copy_(tensor)
        state.setdefault(int(number), {})[key] = tensor
    own = [{key: value for key, value in group.items() if key != "params"} for group in now["param_groups"]]
    restored = [
        {**group, "params": of_now["params"]}
        for group, of_now in zip(_like(own, groups), now["param_groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": state, "param_groups": restored})


def _like(present: Any, saved: Any) -> Any:
    """Read what was saved as JSON, with the types of the present value; a `ValueError` where its form differs."""
    if isinstance(present, dict):
        if not isinstance(saved, dict) or saved.keys() != present.keys():
            raise ValueError(f"{STATE_FILE} has other entries than {', '.join(map(str, present))}")
        return {name: _like(value, saved[name]) for name, value in present.items()}
    if isinstance(present, list | tuple):
        if not isinstance(saved, list) or len(saved) != len(present):
            raise ValueError(f"{STATE_FILE} has a list of another length")
        return type(present)(map(_like, present, saved))
    numbers = isinstance(present, int | float) and isinstance(saved, int | float)
    if isinstance(present, bool) != isinstance(saved, bool) or not (numbers or isinstance(saved, type(present))):
        raise ValueError(f"{STATE_FILE} has {saved!r} for {present!r}")
    return saved


def _random_state(device: torch.device) -> dict[str, Any]:
    """State of every generator that a process has, as JSON."""
    numpy: Any = np.random.get_state(legacy=False)
    state: dict[str, Any] = {"python": random.getstate(), "numpy": {**numpy, "state": {**numpy["state"]}}}
    state["numpy"]["state"]["key"] = numpy["state"]["key"].tolist()
    state["torch"] = _as_text(torch.get_rng_state())
    if device.type != "cpu":
        state[device.type] = _as_text(getattr(torch, device.type).get_rng_state())
    return state


def _restore_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    numpy = _like(_random_state(torch.device("cpu"))["numpy"], state["numpy"])
    if not 0 <= numpy["state"]["pos"] <= len(numpy["state"]["key"]):  # NumPy would read beside its memory
        raise ValueError(f"{STATE_FILE} has no state of NumPy's generator")
    np.random.set_state(numpy)
    torch.set_rng_state(_as_bytes(state["torch"]))
    if device.type in state and device.type != "cpu":  # another kind of device may have written it
        getattr(torch, device.type).set_rng_state(_as_bytes(state[device.type]))


def _as_text(state: torch.Tensor) -> str:
    return bytes(state.cpu().numpy()).hex()


def _as_bytes(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
