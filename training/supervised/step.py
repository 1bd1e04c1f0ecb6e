"""One step of supervised training, from the augmentation on the device to the averaged weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel

from quaclrs.augment import AugmentedLogMel

from ..runs.optimization import Schedule, multiply_gradients
from ..runs.progress import StepFigures
from .config import SupervisedConfig
from .evaluation import inputs_of
from .losses import weighted_losses
from .model import set_to_train


@dataclass
class SupervisedStep:
    """A step of supervised training.

    The loss is the weighted mean over all clips of a step of the optimiser, however they are dealt out to accumulated
    batches and to processes.

    Attributes:
        config: of the run.
        accelerator: that prepared network and optimizer.
        network: is trained; takes `input_values`, `input_features` or `embeddings`.
        optimizer: of its parameters.
        schedule: of the learning rate.
        class_weights: (classes,) on the device.
        augmentation: of batches on the device; None where there is none, or workers did it.
        averaged: the moving average of the weights, if one is kept.
    """

    config: SupervisedConfig
    accelerator: Accelerator
    network: nn.Module
    optimizer: Any
    schedule: Schedule
    class_weights: torch.Tensor
    augmentation: AugmentedLogMel | None
    averaged: AveragedModel | None
    _weights: torch.Tensor | float = field(default=0.0, init=False)  # of the batches accumulated so far

    def begin_epoch(self) -> None:
        """Set the network to training mode, but for its frozen parts."""
        set_to_train(self.network)

    def __call__(self, batch: dict[str, Any], epoch: int, number: int) -> StepFigures:
        """Learn from a batch; under gradient accumulation the optimiser does not step every time."""
        config, accelerator, network = self.config, self.accelerator, self.network
        if self.augmentation is not None:
            batch = self.augmentation.augment_batch(batch, config.seed, epoch)
        with accelerator.accumulate(network):
            with accelerator.autocast():
                logits = network(**inputs_of(batch)).logits
            total, weights = weighted_losses(logits.float(), batch, self.class_weights, config.label_smoothing)
            # About a mean, so that half precision holds its gradients; the divisor is known when the step is whole.
            accelerator.backward(total / config.batch_size)
            self._weights = self._weights + weights
            if accelerator.sync_gradients:
                self._divide_by_all_weights()
                if config.max_grad_norm:
                    accelerator.clip_grad_norm_(network.parameters(), config.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
        if accelerator.sync_gradients:
            if not accelerator.optimizer_step_was_skipped:  # fp16 skips a step whose gradients overflowed
                self.schedule.after_step()
            if self.averaged is not None:
                self.averaged.update_parameters(accelerator.unwrap_model(network))
        clips, hits = len(logits), (logits.detach().argmax(-1) == batch["labels"]).sum()
        return StepFigures(clips, total / clips, hits, {"loss_weight": weights / clips})

    def _divide_by_all_weights(self) -> None:
        """Make of gradients of the sum, over a constant, those of the weighted mean over all clips of the step."""
        accelerator = self.accelerator
        weights = accelerator.reduce(self._weights, reduction="sum")
        # Accelerate divides by the batches of a whole step, also in a shorter one, and averages over processes.
        divided_by = self.config.batch_size * accelerator.gradient_accumulation_steps * accelerator.num_processes
        multiply_gradients(self.network, divided_by / weights)
        self._weights = 0.0
