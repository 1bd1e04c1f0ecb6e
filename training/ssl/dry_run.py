"""What a self-supervised run would take, told without training it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from quaclrs.models import LogMelConfig, QuaclrsFeatureExtractor
from quaclrs.ssl import UNLABELLED

from ..clips.augmentation import build_log_mel_config
from ..clips.splits import load_splits
from ..runs.device_memory import Allocations, StepMemory, empty_out, measure_views, without_data
from ..runs.dry_accelerator import DryAccelerator
from ..runs.dry_run import describe_dry_run
from ..runs.optimization import Schedule, optimizer_of
from ..runs.sampling import EpochSampler
from .config import SSLConfig
from .model import build_encoder, build_network, build_views
from .step import SSLStep


def dry_run(config: SSLConfig) -> str:
    """Report of a run that is not run. Weights and the run's folder are not looked at, and nothing is written.

    Raises:
        QuaclrsError: wrong options or data set.
    """
    log_mel = build_log_mel_config(config)
    extractor, views = QuaclrsFeatureExtractor(log_mel=log_mel.to_dict()), build_views(config, log_mel)
    undecoded = dataclasses.replace(config, decode_once=False)
    splits = load_splits(undecoded, extractor, views.of_policies, unlabelled=UNLABELLED)
    classes = len(splits.class_names)
    return describe_dry_run(
        config, splits.description, len(splits.train), lambda clips: step_memory(config, classes, log_mel, clips)
    )


def step_memory(config: SSLConfig, num_labels: int, log_mel: LogMelConfig, clips: int) -> StepMemory:
    """Memory of a step.

    Args:
        config: of the run.
        num_labels: classes.
        log_mel: front end.
        clips: of a batch.
    """
    config = dataclasses.replace(
        config, batch_size=clips, initial_weights="random", init_from=None, pretrained_file=None
    )
    views = build_views(config, log_mel)
    of_views = measure_views(views, views, log_mel.n_samples, clips)
    network: Any = build_network(config, build_encoder(config, log_mel), num_labels, sync_batchnorm=False)
    allocations = Allocations()
    with without_data(allocations):
        empty_out(network)
        accelerator: Any = DryAccelerator(allocations, config.mixed_precision, config.gradient_accumulation_steps)
        optimizer = optimizer_of(config, network.method.parameter_groups(config.weight_decay))
        of_probe = torch.optim.AdamW(network.probe.parameters(), lr=config.probe_learning_rate)
        made: Any = _Made([torch.empty(shape) for shape in of_views.shapes])
        batches = config.gradient_accumulation_steps
        heard = np.zeros(batches * clips, dtype=np.int64)
        step = SSLStep(
            config, accelerator, network, accelerator.prepare(optimizer), accelerator.prepare(of_probe),
            Schedule(config, optimizer, batches), made, batches, EpochSampler(heard, 0), heard == 0,
        )  # fmt: skip
        memory = accelerator.measure(step, {"labels": torch.zeros(clips, dtype=torch.long)}, [network])
    # A batch and its views stay all along: every epoch is measured on them.
    return memory.with_views(of_views, kept=2)


class _Made:
    """Stands in for `Views` where they are made already."""

    def __init__(self, log_mels: list[torch.Tensor]) -> None:
        self._log_mels = log_mels

    def __call__(self, batch: Any, seed: int, epoch: int) -> list[torch.Tensor]:
        return self._log_mels
