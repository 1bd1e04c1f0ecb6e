"""The network that a run begins with, and what is done to its clips before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from quaclrs.augment import AugmentedLogMel, Policy, load_policies, with_background
from quaclrs.errors import QuaclrsError, first_line_of
from quaclrs.models import (
    BackboneError,
    LogMelConfig,
    LogMelSpectrogram,
    QuaclrsConfig,
    QuaclrsForAudioClassification,
    QuaclrsModel,
    find_backbone,
)

from ..runs.config import TrainingConfig, model_folder_of
from ..runs.optimization import freeze_stages
from .config import SupervisedConfig


def build_log_mel_config(config: TrainingConfig) -> LogMelConfig:
    """The front end of a run."""
    assert config.image_size is not None and config.pad_mode is not None
    spec = find_backbone(config.backbone)
    return LogMelConfig(
        image_size=config.image_size,
        image_width=spec.image_width(config.duration),
        duration=config.duration,
        pad_mode=config.pad_mode,
        **spec.log_mel,
    )


def build_augmentation(config: TrainingConfig, log_mel: LogMelConfig) -> AugmentedLogMel | None:
    """The policy of `--augment` with what other options add to it; None where nothing is augmented."""
    if config.augment_on == "none":
        return None
    policy, second = load_policies(config.augment, views=2)
    if second != policy:
        raise QuaclrsError(f"--augment {config.augment} holds views that differ, for self-supervision; choose another")
    policy = complete_policy(config, policy)
    if policy.is_identity:
        return None
    return AugmentedLogMel(policy, LogMelSpectrogram(log_mel))


def complete_policy(config: TrainingConfig, policy: Policy) -> Policy:
    """The policy with the background noise and the mixup that other options ask for."""
    if config.background_noise is not None and "background_noise" not in policy.augmentations:
        raise QuaclrsError(f"--background-noise has no use with --augment {config.augment}; choose street or your own")
    policy = with_background(policy, config.background_noise)
    if not config.mixup_alpha:
        return policy
    if "mixup" in policy.augmentations:
        raise QuaclrsError(f"--mixup-alpha: --augment {config.augment} has a mixup of its own; leave one out")
    return replace(policy, augmentations={**policy.augmentations, "mixup": {"alpha": config.mixup_alpha}})


def build_model(config: SupervisedConfig, names: list[str], log_mel: LogMelConfig) -> QuaclrsForAudioClassification:
    """The classifier with the weights and the frozen parts that `mode` asks for, its convolutions channels-last."""
    try:
        model = QuaclrsForAudioClassification(
            QuaclrsConfig(
                backbone=config.backbone,
                log_mel=log_mel.to_dict(),
                id2label=dict(enumerate(names)),
                label2id={name: i for i, name in enumerate(names)},
            )
        )
        if config.init_from:
            load_encoder(model.quaclrs, config.init_from, config.test_fold)
        elif config.initial_weights == "pretrained":
            model.quaclrs.backbone.load_weights(config.pretrained_file)
    except BackboneError as error:
        raise QuaclrsError(f"{error} (--pretrained-file, --mode scratch)") from error
    if config.mode == "linear_probe":
        model.quaclrs.requires_grad_(False)
    elif config.freeze_stages:
        freeze_stages(model, config.freeze_stages)
    # What convolutions are fastest in, on CPUs and on tensor cores.
    model.quaclrs.backbone.to(memory_format=torch.channels_last)
    return model


def load_encoder(encoder: QuaclrsModel, run: str, test_fold: int) -> None:
    """Give an encoder the weights of another run's.

    Args:
        encoder: of the same backbone and front end; its picture may be of another size.
        run: a run's folder, or a folder that `save_pretrained` wrote.
        test_fold: of the run that begins.

    Raises:
        QuaclrsError: there is no such model, it is of another kind, or it has learned from clips of the test fold.
    """
    options = Path(run) / "config.yaml"
    learned = yaml.safe_load(options.read_text(encoding="utf-8")) if options.is_file() else {}
    if learned.get("test_fold", test_fold) != test_fold:
        raise QuaclrsError(
            f"--init-from {run} was kept from fold {learned['test_fold']}, and may know the clips of fold {test_fold}; "
            f"give a run with --test-fold {test_fold}"
        )
    folder = model_folder_of(run)
    if not (folder / "config.json").is_file():
        raise QuaclrsError(f"--init-from {run} holds no model; give a finished run or a model folder")
    try:
        loaded: Any = QuaclrsModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    except Exception as error:  # files, JSON and tensors fail in many ways
        raise QuaclrsError(f"--init-from {run} cannot be loaded ({first_line_of(error)})") from error
    source, loading = loaded
    if source.config.backbone != encoder.config.backbone:
        raise QuaclrsError(f"--init-from {run} is a {source.config.backbone}; pass --backbone {source.config.backbone}")
    if loading["missing_keys"]:
        raise QuaclrsError(f"--init-from {run} lacks weights ({min(loading['missing_keys'])} …); give a whole model")
    for name, value in source.config.log_mel.items():
        if name != "image_size" and encoder.config.log_mel[name] != value:
            raise QuaclrsError(f"--init-from {run} was trained with {name} {value}; pass the same")
    encoder.backbone.load_state_dict(source.backbone.state_dict())
