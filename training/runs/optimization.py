"""Optimiser and learning-rate schedule of a training run (paper, section 4.6)."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau
from transformers import get_scheduler

from .config import PLATEAU, STEP, TrainingConfig

_OPTIMIZERS: dict[str, Any] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": functools.partial(torch.optim.SGD, momentum=0.9),
}

#: Shares of the steps after which the rate falls to a tenth: MoCo's epochs 120 and 160 of 200 (He et al., 2020, 4.1).
_MILESTONES = (0.6, 0.8)

#: PyTorch's own; the paper names none.
_PLATEAU_FACTOR = 0.1

#: A "constant" rate still rises over the warm-up.
_TRANSFORMERS_NAME = {"constant": "constant_with_warmup", PLATEAU: PLATEAU}


def optimizer_of(config: TrainingConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimiser that the options name over groups of parameters, each with `weight_decay` and maybe `lr_scale`."""
    assert config.learning_rate is not None
    return _OPTIMIZERS[config.optimizer](
        [
            {
                "params": group["params"],
                "weight_decay": group["weight_decay"],
                "lr": config.learning_rate * group.get("lr_scale", 1.0),
            }
            for group in groups
            if group["params"]
        ],
        lr=config.learning_rate,
    )


def multiply_gradients(network: nn.Module, factor: torch.Tensor) -> None:
    """Multiply all gradients of a network by a scalar on its device, without waiting for the device."""
    torch._foreach_mul_([p.grad for p in network.parameters() if p.grad is not None], factor)


class Schedule:
    """The learning rate over a run: by optimiser steps, or by how validation goes (ReduceLROnPlateau).

    Args:
        config: schedule, warm-up and epochs.
        optimizer: whose rates it sets; the one that `Accelerator.prepare` returned will do.
        batches: of an epoch of one process.
    """

    def __init__(self, config: TrainingConfig, optimizer: Any, batches: int) -> None:
        steps = math.ceil(batches / config.gradient_accumulation_steps)
        self.by_validation = config.lr_scheduler == PLATEAU
        # PyTorch's patience counts the epochs that still pass, ours those after which the rate falls.
        plateau = {"mode": "max", "factor": _PLATEAU_FACTOR, "patience": config.plateau_patience - 1}
        assert config.warmup_epochs is not None
        self.scheduler: LRScheduler | ReduceLROnPlateau
        if config.lr_scheduler == STEP:
            warmup = round(config.warmup_epochs * steps)
            self.scheduler = LambdaLR(optimizer, functools.partial(_step_factor, warmup, config.epochs * steps))
            return
        self.scheduler = get_scheduler(
            _TRANSFORMERS_NAME.get(config.lr_scheduler, config.lr_scheduler),
            optimizer,
            num_warmup_steps=round(config.warmup_epochs * steps),
            num_training_steps=config.epochs * steps,
            scheduler_specific_kwargs=plateau if self.by_validation else None,
        )

    def after_step(self) -> None:
        """Set the rate after a step of the optimiser; call it after each."""
        if not self.by_validation:
            self.scheduler.step()  # type: ignore[call-arg]

    def after_epoch(self, validation_accuracy: float) -> None:
        """Set the rate after a validation; call it after each."""
        if self.by_validation:
            self.scheduler.step(validation_accuracy)  # type: ignore[arg-type]

    @property
    def learning_rate(self) -> float:
        """The highest rate of any parameter now."""
        return max(float(rate) for rate in self.scheduler.get_last_lr())

    def state_dict(self) -> dict[str, Any]:
        return self.scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state)


def _step_factor(warmup: int, steps: int, step: int) -> float:
    """Share of the peak rate at a step: rising over the warm-up, then falling to a tenth at each milestone."""
    if step < warmup:
        return step / warmup
    return 0.1 ** sum(step >= milestone * steps for milestone in _MILESTONES)
