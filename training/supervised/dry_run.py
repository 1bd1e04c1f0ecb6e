"""What a supervised run would take, told without training it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from quaclrs.models import LogMelConfig, LogMelSpectrogram, QuaclrsFeatureExtractor, QuaclrsModel

from ..clips.augmentation import build_augmentation, build_log_mel_configs
from ..clips.embeddings import CLIPS_AT_ONCE
from ..clips.splits import load_splits
from ..runs.device_memory import Allocations, StepMemory, empty_out, measure_views, without_data
from ..runs.dry_accelerator import DryAccelerator
from ..runs.dry_run import describe_dry_run
from ..runs.optimization import Schedule, optimizer_of
from .config import SupervisedConfig
from .model import average_of, build_model, parameter_groups
from .step import SupervisedStep


def dry_run(config: SupervisedConfig) -> str:
    """Report of a run that is not run. Weights and the run's folder are not looked at, and nothing is written.

    Raises:
        QuaclrsError: wrong options or data set.
    """
    log_mels = build_log_mel_configs(config)
    augmentation = build_augmentation(config, log_mels[0])
    extractor = QuaclrsFeatureExtractor(log_mel=log_mels[0].to_dict())
    views = [] if augmentation is None else [augmentation]
    undecoded = dataclasses.replace(config, decode_once=False)
    splits = load_splits(undecoded, extractor, views, background=config.background_folder)
    names = splits.class_names
    return describe_dry_run(
        config, splits.description, len(splits.train), lambda clips: step_memory(config, names, log_mels, clips)
    )


def step_memory(config: SupervisedConfig, names: list[str], log_mels: Sequence[LogMelConfig], clips: int) -> StepMemory:
    """Memory of a step; where a probe trains on embeddings, of computing those.

    Args:
        config: of the run.
        names: of the classes.
        log_mels: front ends of its encoders.
        clips: of a batch.
    """
    config = dataclasses.replace(
        config, batch_size=clips, initial_weights="random", init_from=None, pretrained_file=None
    )
    model: Any = build_model(config, names, log_mels)
    augmentation, log_mel = build_augmentation(config, log_mels[0]), log_mels[0]
    if config.is_on_embeddings:
        return _embedding_memory(model.quaclrs, log_mel.n_samples)
    averaged = average_of(model, config.ema_decay) if config.ema_decay else None
    networks = [model] if averaged is None else [model, averaged]
    allocations = Allocations()
    with without_data(allocations):
        for network in networks:
            empty_out(network)
        accelerator: Any = DryAccelerator(allocations, config.mixed_precision, config.gradient_accumulation_steps)
        optimizer = optimizer_of(config, parameter_groups(config, model))
        prepared, schedule = accelerator.prepare(optimizer), Schedule(config, optimizer, batches=1)
        weights = torch.ones(len(names))
        # Averaging reads a counter, and takes no memory beside the average.
        step = SupervisedStep(config, accelerator, model, prepared, schedule, weights, None, averaged=None)
        log_mels_of_batch = torch.empty(clips, log_mel.n_mels, 1 + log_mel.n_samples // log_mel.hop_length)
        batch = {"input_features": log_mels_of_batch, "labels": torch.zeros(clips, dtype=torch.long)}
        memory = accelerator.measure(step, batch, networks)
    if config.fill_per_fold or config.augment_on == "worker":  # log-mels come from the processes that decode
        return memory
    if augmentation is not None:
        front_end = augmentation
        views = measure_views(
            lambda batch: [front_end.augment_batch(batch)["input_features"]], front_end, log_mel.n_samples, clips
        )
    else:
        plain = LogMelSpectrogram(log_mel)
        views = measure_views(lambda batch: [plain(batch["input_values"])], plain, log_mel.n_samples, clips)
    return memory.with_views(views)


def _embedding_memory(encoder: QuaclrsModel, n_samples: int) -> StepMemory:
    allocations = Allocations()
    with torch.no_grad(), without_data(allocations):
        empty_out(encoder, "cuda")
        weights = allocations.now
        encoder.eval()(input_values=torch.empty(CLIPS_AT_ONCE, n_samples, device="cuda"))
    return StepMemory({"weights": weights}, {"embedding every clip once": max(allocations.peaks.values())})
