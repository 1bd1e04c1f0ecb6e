"""The network and the views of a self-supervised run."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import convert_sync_batchnorm

from quaclrs.augment import load_policies
from quaclrs.errors import QuaclrsError
from quaclrs.models import BackboneError, LogMelConfig, QuaclrsConfig, QuaclrsModel
from quaclrs.ssl import METHODS, LogMelEncoder, QuasiSupervised, Views

from ..clips.augmentation import complete_policy
from ..weights.encoder import load_encoder
from ..weights.pretrained import load_pretrained
from .config import SSLConfig


def build_views(config: SSLConfig, log_mel: LogMelConfig) -> Views:
    """The views of `--augment` with what other options add to their policies."""
    assert config.augment is not None
    policies = [complete_policy(config, policy) for policy in load_policies(config.augment, views=2)]
    return Views(policies, log_mel, config.local_views or 0, config.local_duration)


def build_encoder(config: SSLConfig, log_mel: LogMelConfig) -> QuaclrsModel:
    """The encoder with the weights that the run begins with, laid out in memory as the options ask for."""
    try:
        encoder = QuaclrsModel(QuaclrsConfig(backbone=config.backbone, log_mel=log_mel.to_dict()))
        if config.init_from:
            load_encoder(encoder, config.init_from)
        elif config.initial_weights == "pretrained":
            load_pretrained(encoder.backbone, config.pretrained_file)
    except BackboneError as error:
        raise QuaclrsError(f"{error} (--pretrained-file, --initial-weights random)") from error
    if config.channels_last:
        encoder.backbone.to(memory_format=torch.channels_last)
    return encoder


def build_network(config: SSLConfig, encoder: QuaclrsModel, num_labels: int, sync_batchnorm: bool) -> QuasiSupervised:
    """The method around the encoder, with its online probe.

    Args:
        config: of the run.
        encoder: trained in place.
        num_labels: of the probe.
        sync_batchnorm: share BatchNorm's statistics among processes, which PyTorch does on GPUs only.
    """
    method = METHODS[config.method](LogMelEncoder(encoder), config.build_method_options())
    network = QuasiSupervised(
        method, num_labels, config.method_weight, config.supervised_weight, config.supervised_detach
    )
    if sync_batchnorm:
        converted: Any = convert_sync_batchnorm(network)  # PyTorch's own drops the activation of timm's norms
        return converted
    return network
