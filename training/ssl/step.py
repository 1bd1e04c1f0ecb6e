"""The steps of an epoch of self-supervised training: views, the method's loss, the probe, momentum updates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from quaclrs.ssl import QuasiSupervised, Views

from ..clips.sampling import step_seed
from ..runs.optimization import Schedule
from ..runs.progress import EpochProgress
from .config import SSLConfig


@dataclass
class SSLLearner:
    """What a step of self-supervised training works on.

    Attributes:
        config: of the run.
        accelerator: that prepared network and optimisers.
        network: a `QuasiSupervised` as `prepare` returned it.
        optimizer: of the method's parameters.
        probe_optimizer: of the probe's. A probe in the method's optimiser would share its gradient norm, and so reach
            the encoder when gradients are clipped.
        schedule: of the method's learning rate.
        views: what makes log-mels of a batch.
    """

    config: SSLConfig
    accelerator: Accelerator
    network: nn.Module
    optimizer: Any
    probe_optimizer: Any
    schedule: Schedule
    views: Views

    @property
    def unwrapped(self) -> QuasiSupervised:
        """The network itself."""
        unwrapped: QuasiSupervised = self.accelerator.unwrap_model(self.network)
        return unwrapped

    def steps(self, loader: Any, epoch: int, progress: EpochProgress) -> Iterator[bool]:
        """Train on the loader's batches, one at a time.

        Yields:
            After every batch, whether the optimiser has made its step: under gradient accumulation not always.
        """
        config, accelerator, method = self.config, self.accelerator, self.unwrapped.method
        accumulated = config.gradient_accumulation_steps
        steps_an_epoch = math.ceil((progress.steps + len(loader)) / accumulated)
        self.network.train()
        for batch in progress.watch(loader):
            torch.manual_seed(step_seed(config.seed, epoch, progress.steps, accelerator.process_index))
            views = self.views(batch, config.seed, epoch)
            done = (epoch - 1) * steps_an_epoch + progress.steps // accumulated
            method.progress = done / (config.epochs * steps_an_epoch)
            with accelerator.accumulate(self.network):
                with accelerator.autocast():
                    output = self.network(views, batch["labels"])
                accelerator.backward(output.loss)
                if accelerator.sync_gradients:
                    method.before_optimizer_step()
                    if config.max_grad_norm:
                        accelerator.clip_grad_norm_(method.parameters(), config.max_grad_norm)
                self.optimizer.step()
                self.probe_optimizer.step()
                self.optimizer.zero_grad()
                self.probe_optimizer.zero_grad()
            clips = len(batch["labels"])
            progress.add(clips, output.method_loss, output.hits, labelled=output.labelled / clips, **output.logs)
            if accelerator.sync_gradients:
                method.after_step()
                if not accelerator.optimizer_step_was_skipped:  # fp16 skips a step whose gradients overflowed
                    self.schedule.after_step()
            yield accelerator.sync_gradients

    @torch.no_grad()
    def loss_of(self, views: list[torch.Tensor], labels: torch.Tensor) -> float:
        """The method's loss on a batch in training mode, mean over processes. It leaves no trace."""
        network = self.unwrapped
        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        network.train()
        torch.manual_seed(step_seed(self.config.seed, 0, 0, self.accelerator.process_index))
        with self.accelerator.autocast():
            output = network(views, labels)
        network.load_state_dict(state)
        return float(self.accelerator.reduce(output.method_loss, reduction="mean").item())
