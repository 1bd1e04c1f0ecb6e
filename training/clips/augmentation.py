"""The front end of a run, and the augmentation of its clips."""

from __future__ import annotations

from dataclasses import replace

from quaclrs.augment import AugmentedLogMel, Policy, load_policies, with_background
from quaclrs.errors import QuaclrsError
from quaclrs.models import LogMelConfig, LogMelSpectrogram, find_backbone

from ..runs.config import TrainingConfig


def build_log_mel_config(config: TrainingConfig) -> LogMelConfig:
    """The front end of a run; of several encoders the first one's."""
    return build_log_mel_configs(config)[0]


def build_log_mel_configs(config: TrainingConfig) -> list[LogMelConfig]:
    """The front ends of a run's encoders, all at the highest of their sampling rates.

    Raises:
        QuaclrsError: that rate is not a multiple of another.
    """
    assert config.pad_mode is not None
    built = []
    for name in config.backbone_names:
        spec = find_backbone(name)
        front_end = LogMelConfig(
            image_size=config.image_size or spec.image_size,
            image_width=spec.image_width(config.duration),
            duration=config.duration,
            pad_mode=config.pad_mode,
            **spec.log_mel,
        )
        built.append(front_end)
    rate = max(front_end.sampling_rate for front_end in built)
    try:
        return [front_end.heard_at(rate) for front_end in built]
    except ValueError as error:
        raise QuaclrsError(f"--backbone {config.backbone}: {error}; these encoders cannot hear one waveform") from error


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
