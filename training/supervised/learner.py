"""A network that is ready for supervised training: with loss, optimiser, schedule and the order of its clips."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel

from quaclrs.augment import AugmentedLogMel
from quaclrs.transforms import ClipTransform

from ..runs.compilation import compile_backbones
from ..runs.optimization import Schedule, optimizer_of
from ..runs.progress import EpochProgress
from ..runs.sampling import EpochSampler, step_seed
from ..runs.session import TrainingClips, refuse_infinite
from .config import SupervisedConfig
from .losses import class_weights
from .model import average_of
from .step import SupervisedStep
from .trainable import Trainable


@dataclass
class Learner:
    """A network that is ready to learn, on the accelerator's device.

    Attributes:
        network: as it was before `Accelerator.prepare` wrapped it.
        averaged: the moving average of its weights, if one is kept.
        optimizer, schedule, step, clips: of the training.
        loaders: of the held-out splits, by name.
        class_weights: (classes,) in the loss.
    """

    network: nn.Module
    averaged: AveragedModel | None
    optimizer: Any
    schedule: Schedule
    step: SupervisedStep
    clips: TrainingClips
    loaders: dict[str, Any]
    class_weights: torch.Tensor

    @classmethod
    def of(
        cls,
        config: SupervisedConfig,
        accelerator: Accelerator,
        trainable: Trainable,
        classes: int,
        transform: ClipTransform,
        augmentation: AugmentedLogMel | None,
    ) -> Learner:
        """Prepare a training.

        Args:
            config, accelerator: of the run.
            trainable: what is trained.
            classes: that the network tells apart.
            transform: of the training clips.
            augmentation: of the run, if it has one.
        """
        labels, kind = trainable.train.labels, config.class_weights or "none"
        weights = class_weights(labels, classes, kind).to(accelerator.device)
        recordings = trainable.train.recordings if config.balanced_sampler else None
        sampler = EpochSampler(labels, config.seed, recordings, config.recording_power)
        loader: Any = trainable.train.loader(config.batch_size, trainable.num_workers, sampler)
        loaders = trainable.held_out_loaders(config.batch_size)
        optimizer = optimizer_of(config, trainable.groups)
        averaged = average_of(trainable.network.to(accelerator.device), config.ema_decay) if config.ema_decay else None
        compile_backbones(trainable.network, config.compile)
        network, optimizer, loader = accelerator.prepare(trainable.network, optimizer, loader)
        loaders = {name: accelerator.prepare(of_split) for name, of_split in loaders.items()}
        schedule = Schedule(config, optimizer, batches=len(loader))  # of batches shared out among processes
        on_device = augmentation.to(accelerator.device) if augmentation and config.augment_on == "device" else None
        step = SupervisedStep(config, accelerator, network, optimizer, schedule, weights, on_device, averaged)
        clips = TrainingClips(loader, sampler, transform)
        unwrapped = accelerator.unwrap_model(network)
        return cls(unwrapped, averaged, optimizer, schedule, step, clips, loaders, weights)

    @property
    def tested(self) -> nn.Module:
        """The network that is validated and tested: the average, where there is one."""
        return self.network if self.averaged is None else self.averaged.module

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Networks whose weights a checkpoint holds, by name."""
        return {"model": self.network} | ({} if self.averaged is None else {"averaged": self.averaged})

    def learn(self) -> float:
        """Train all epochs at once, without a look at held-out clips, a history or a checkpoint.

        Returns:
            Seconds that it took.

        Raises:
            QuaclrsError: a loss is NaN or infinite.
        """
        begun, config, accelerator = time.perf_counter(), self.step.config, self.step.accelerator
        for epoch in range(1, config.epochs + 1):
            self.clips.begin(epoch)
            progress = EpochProgress(accelerator, f"once more, epoch {epoch}/{config.epochs}", config.log_every)
            self.step.begin_epoch()
            for batch in progress.watch(self.clips.loader):
                torch.manual_seed(step_seed(config.seed, epoch, progress.steps, accelerator.process_index))
                progress.add(self.step(batch, epoch, progress.steps))
            means = progress.means()
            refuse_infinite({"epoch": epoch, "train_loss": means["loss"] / means["loss_weight"]})
        return time.perf_counter() - begun
