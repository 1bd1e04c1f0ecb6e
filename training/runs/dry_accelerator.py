"""What stands in for Accelerate where a step is measured without data: one process, nothing to wait for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from .device_memory import NETWORK, OPTIMIZER, Allocations, StepMemory, bytes_of

_PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


class DryAccelerator:
    """An `accelerate.Accelerator` as the steps of training call it, which notes what each moment allocates.

    Args:
        allocations: entered while the step is built and runs.
        precision: `no`, `fp16` or `bf16`.
        accumulated: batches whose gradients make one step of the optimiser.
    """

    device = torch.device("cpu")
    num_processes, process_index = 1, 0
    optimizer_step_was_skipped = False

    def __init__(self, allocations: Allocations, precision: str | None, accumulated: int) -> None:
        self.gradient_accumulation_steps = accumulated
        self.sync_gradients = True
        self._allocations, self._dtype = allocations, _PRECISIONS.get(precision or "no")
        self._optimizers: list[torch.optim.Optimizer] = []
        self._before = self._activations = 0

    def prepare(self, optimizer: torch.optim.Optimizer) -> Any:
        """The optimiser as steps call it; on accelerators it updates many tensors at once."""
        for group in optimizer.param_groups:
            group["foreach"] = True
        self._optimizers.append(optimizer)
        return _Prepared(self, optimizer)

    def accumulate(self, network: nn.Module) -> AbstractContextManager[None]:
        self._allocations.begin(NETWORK)
        self._before = self._allocations.now
        return nullcontext()

    def autocast(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._dtype is None else torch.autocast("cpu", self._dtype)

    def backward(self, loss: torch.Tensor) -> None:
        self._activations = self._allocations.now - self._before
        loss.backward()

    def clip_grad_norm_(self, parameters: Any, norm: float) -> None:
        torch.nn.utils.clip_grad_norm_(parameters, norm)

    def reduce(self, value: torch.Tensor, reduction: str = "sum") -> torch.Tensor:
        return value

    def unwrap_model(self, network: nn.Module) -> nn.Module:
        return network

    def take_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Step where gradients are whole."""
        if self.sync_gradients:
            self._allocations.begin(OPTIMIZER)
            optimizer.step()

    def measure(self, step: Any, batch: dict[str, Any], networks: list[nn.Module]) -> StepMemory:
        """Memory of any step but the first, when the optimisers have their state.

        Args:
            step: of this accelerator and its optimisers.
            batch: that it learns from.
            networks: all that hold parameters.
        """
        step.begin_epoch()
        for optimizer in self._optimizers:
            for parameter in _parameters(optimizer):
                parameter.grad = torch.empty_like(parameter)
            optimizer.step()
            optimizer.zero_grad()
        self._allocations.peaks.clear()
        batches = min(self.gradient_accumulation_steps, 2)  # the second finds the gradients of the first
        for number in range(batches):
            self.sync_gradients = number + 1 == batches
            step(batch, 1, number)
        tensors = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
        states = [value for o in self._optimizers for state in o.state.values() for value in state.values()]
        parts = {
            "weights": bytes_of(tensors),
            "gradients": bytes_of(p for optimizer in self._optimizers for p in _parameters(optimizer)),
            "optimiser state": bytes_of(value for value in states if isinstance(value, torch.Tensor)),
            "activations": self._activations,
        }
        return StepMemory(parts, {name: self._allocations.peaks[name] for name in (NETWORK, OPTIMIZER)})


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


class _Prepared:
    def __init__(self, accelerator: DryAccelerator, optimizer: torch.optim.Optimizer) -> None:
        self._accelerator, self._optimizer = accelerator, optimizer

    def step(self) -> None:
        self._accelerator.take_step(self._optimizer)

    def zero_grad(self) -> None:
        if self._accelerator.sync_gradients:
            self._optimizer.zero_grad()
