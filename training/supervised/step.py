"""The steps of an epoch: what happens to a batch, from the device's augmentation to the averaged weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel

from quaclrs.augment import AugmentedLogMel

from ..clips.sampling import step_seed
from ..runs.optimization import Schedule, set_to_train
from ..runs.progress import EpochProgress
from .config import SupervisedConfig
from .losses import classification_loss
from .results import inputs_of


@dataclass
class Learner:
    """What a step of supervised training works on.

    Attributes:
        config: of the run.
        accelerator: that prepared network and optimizer.
        network: what is trained, taking `input_values`, `input_features` or `embeddings`.
        optimizer: of its parameters.
        schedule: of the learning rate.
        class_weights: (classes,) on the device.
        augmentation: what is done to batches on the device; None where nothing is, or workers did it.
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

    def steps(self, loader: Any, epoch: int, progress: EpochProgress) -> Iterator[bool]:
        """Train on the loader's batches, one at a time.

        Nothing in a step makes the host wait for the device but the refreshing of the progress bar.

        Yields:
            After every batch, whether the optimiser has made its step: under gradient accumulation not always.
        """
        config, accelerator, network = self.config, self.accelerator, self.network
        set_to_train(network)
        for batch in progress.watch(loader):
            torch.manual_seed(step_seed(config.seed, epoch, progress.steps, accelerator.process_index))
            if self.augmentation is not None:
                batch = self.augmentation.augment_batch(batch, config.seed, epoch)
            with accelerator.accumulate(network):
                with accelerator.autocast():
                    logits = network(**inputs_of(batch)).logits
                loss = classification_loss(logits.float(), batch, self.class_weights, config.label_smoothing)
                accelerator.backward(loss)
                if config.max_grad_norm and accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(network.parameters(), config.max_grad_norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
            progress.add(len(logits), loss, (logits.detach().argmax(-1) == batch["labels"]).sum())
            if accelerator.sync_gradients:
                if not accelerator.optimizer_step_was_skipped:  # fp16 skips a step whose gradients overflowed
                    self.schedule.after_step()
                if self.averaged is not None:
                    self.averaged.update_parameters(accelerator.unwrap_model(network))
            yield accelerator.sync_gradients
