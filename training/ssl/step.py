"""One step of self-supervised training: views, the method's loss, the probe, momentum updates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from quaclrs.ssl import QuasiSupervised, Views, describe_collapse

from ..runs.compilation import uncompiled
from ..runs.optimization import Schedule
from ..runs.progress import StepFigures
from ..runs.sampling import EpochSampler, step_seed
from .config import SSLConfig


@dataclass
class SSLStep:
    """A step of self-supervised training.

    Attributes:
        config: of the run.
        accelerator: that prepared network and optimisers.
        network: a `QuasiSupervised` as `prepare` returned it.
        optimizer: of the method's parameters.
        probe_optimizer: of the probe's. A probe in the method's optimiser would share its gradient norm, and so reach
            the encoder when gradients are clipped.
        schedule: of the method's learning rate.
        views: make log-mels of a batch.
        batches: of a whole epoch, in this process.
        sampler: of the clips.
        labelled: (clips,) which clips have a label.
    """

    config: SSLConfig
    accelerator: Accelerator
    network: nn.Module
    optimizer: Any
    probe_optimizer: Any
    schedule: Schedule
    views: Views
    batches: int
    sampler: EpochSampler
    labelled: np.ndarray

    @property
    def unwrapped(self) -> QuasiSupervised:
        """The network itself."""
        unwrapped: QuasiSupervised = self.accelerator.unwrap_model(self.network)
        return unwrapped

    def begin_epoch(self) -> None:
        """Set the network to training mode."""
        self.network.train()

    def __call__(self, batch: dict[str, Any], epoch: int, number: int) -> StepFigures:
        """Learn from a batch; under gradient accumulation the optimisers do not step every time.

        The method takes each batch by itself; the cross-entropy is the mean over all clips with labels of a step of the
        optimisers, however they are dealt out to accumulated batches and to processes.
        """
        config, accelerator, method = self.config, self.accelerator, self.unwrapped.method
        views = self.views(batch, config.seed, epoch)
        accumulated = config.gradient_accumulation_steps
        steps_an_epoch, step = math.ceil(self.batches / accumulated), number // accumulated
        method.progress = ((epoch - 1) * steps_an_epoch + step) / (config.epochs * steps_an_epoch)
        of_step = min(accumulated, self.batches - step * accumulated)  # the last step of an epoch may be shorter
        labelled = self._labelled(epoch, step * accumulated, of_step)
        with accelerator.accumulate(self.network):
            with accelerator.autocast():
                output = self.network(views, batch["labels"], labelled)
            accelerator.backward(output.loss * (accumulated / of_step))  # Accelerate divides by `accumulated`
            if accelerator.sync_gradients:
                method.before_optimizer_step()
                if config.max_grad_norm:
                    # Accelerate's own would divide the probe's gradients by fp16's scale too, and again in its step.
                    accelerator.unscale_gradients(self.optimizer)
                    torch.nn.utils.clip_grad_norm_(method.parameters(), config.max_grad_norm)
            self.optimizer.step()
            self.probe_optimizer.step()
            self.optimizer.zero_grad()
            self.probe_optimizer.zero_grad()
        if accelerator.sync_gradients:
            method.after_step()
            if not accelerator.optimizer_step_was_skipped:  # fp16 skips a step whose gradients overflowed
                self.schedule.after_step()
        clips = len(batch["labels"])
        return StepFigures(clips, output.method_loss, output.hits, {"labelled": output.labelled / clips, **output.logs})

    def _labelled(self, epoch: int, first: int, batches: int) -> float:
        """Clips with a label of the mean batch, of all processes, from the first on; 1 in all where there is none."""
        processes = self.accelerator.num_processes
        clips = self.config.batch_size * processes
        heard = self.sampler.order(epoch)[first * clips : (first + batches) * clips]
        return max(int(self.labelled[heard].sum()), 1) / (batches * processes)

    def explain_collapse(self, row: Mapping[str, Any], before: Mapping[str, Any]) -> str | None:
        """One line where the figures of an epoch show a collapse since the row `before` training; None otherwise."""
        method = self.unwrapped.method
        return describe_collapse(row, before, method.explain_collapse(row), method.collapse_cause)

    @torch.no_grad()
    def loss_of(self, views: list[torch.Tensor], labels: torch.Tensor) -> float:
        """The method's loss on a batch in training mode, mean over processes. It leaves no trace."""
        network = self.unwrapped
        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        network.train()
        torch.manual_seed(step_seed(self.config.seed, 0, 0, self.accelerator.process_index))
        with self.accelerator.autocast(), uncompiled():
            output = network(views, labels)
        network.load_state_dict(state)
        return float(self.accelerator.reduce(output.method_loss, reduction="mean").item())
