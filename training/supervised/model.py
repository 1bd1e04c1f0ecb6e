"""The network that a supervised run begins with: weights, frozen parts, and how its layers learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.models import group_parameters
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from quaclrs.errors import QuaclrsError
from quaclrs.models import BackboneError, LogMelConfig, QuaclrsConfig, QuaclrsForAudioClassification, find_backbone

from ..weights.encoder import load_encoder
from ..weights.pretrained import load_pretrained_encoders
from .config import SupervisedConfig
from .tags import tag_groups_of


def build_model(
    config: SupervisedConfig, names: list[str], log_mels: Sequence[LogMelConfig]
) -> QuaclrsForAudioClassification:
    """The classifier with weights, frozen parts and layout in memory as the options ask for.

    Args:
        config: of the run.
        names: of the classes.
        log_mels: front ends of its encoders.
    """
    encoders: list[dict[str, Any]] = []
    for backbone, log_mel, stages in zip(config.backbone_names, log_mels, config.stages_of_encoders, strict=True):
        spec = find_backbone(backbone)
        options: dict[str, Any] = {"backbone": backbone, "log_mel": log_mel.to_dict(), "pooling": config.pooling}
        options["patch_overlap"] = config.patch_overlap if spec.patch_width else 0.0
        options["tag_groups"] = tag_groups_of(names, config.tags) if config.tag_weight and spec.tags else None
        options["earlier_stages"] = stages
        encoders.append(options)
    try:
        model = QuaclrsForAudioClassification(
            QuaclrsConfig(
                **encoders[0],
                more_encoders=encoders[1:] or None,
                standardize=len(encoders) > 1,
                id2label=dict(enumerate(names)),
                label2id={name: i for i, name in enumerate(names)},
                dropout=config.dropout,
                drop_path_rate=config.drop_path,
            )
        )
    except BackboneError as error:
        option = "--earlier-stages" if "earlier_stages" in str(error) else "--dropout, --drop-path"
        raise QuaclrsError(f"{option}: {error}") from error
    try:
        if config.init_from:
            load_encoder(model.quaclrs, config.init_from)
        elif config.initial_weights == "pretrained":
            load_pretrained_encoders(model.quaclrs, config.pretrained_file)
    except BackboneError as error:
        raise QuaclrsError(f"{error} (--pretrained-file, --mode scratch)") from error
    if config.mode == "linear_probe":
        model.quaclrs.requires_grad_(False)
    elif config.freeze_stages:
        freeze_stages(model, config.freeze_stages)
    if config.channels_last:
        network: nn.Module = model.quaclrs
        network.to(memory_format=torch.channels_last)
    return model


def parameter_groups(config: SupervisedConfig, model: QuaclrsForAudioClassification) -> list[dict[str, Any]]:
    """Groups of a classifier's parameters, each with its weight decay and share of the learning rate.

    Weight decay leaves out norms, biases and what timm's architecture excludes. With `layer_decay` < 1 each layer of
    the backbone (timm's grouping of it) learns at that factor of the rate of the layer above it; the uppermost learns
    at the full rate, as the classifier does.
    """
    network = model.quaclrs.backbone.network
    excluded: set[str] = getattr(network, "no_weight_decay", set)()
    of_backbone = param_groups_layer_decay(
        network, config.weight_decay, no_weight_decay_list=excluded, layer_decay=config.layer_decay
    )
    return [*of_backbone, *param_groups_weight_decay(model.classifier, config.weight_decay)]


def freeze_stages(model: QuaclrsForAudioClassification, stages: int) -> None:
    """Freeze the first `stages` stages of the backbone, as timm groups it coarsely: 1 is the stem.

    Raises:
        QuaclrsError: it has no more stages than that.
    """
    network = model.quaclrs.backbone.network
    found = group_parameters(network, network.group_matcher(coarse=True), return_values=True)
    if stages >= len(found):
        raise QuaclrsError(
            f"--freeze-stages is {stages}, but {model.config.backbone} has {len(found)} stages; leave one to train, "
            "or choose --mode linear_probe"
        )
    for stage in range(stages):
        for parameter in found[stage]:
            parameter.requires_grad_(False)


def set_to_train(model: nn.Module) -> None:
    """Training mode, but for frozen modules: statistics of a frozen BatchNorm must not drift with the clips."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of the model that follows it as an exponential moving average; BatchNorm's statistics are copied.

    It begins with the weights after the first step. After n steps the decay is (1 + n) / (10 + n) where that is less,
    as in TensorFlow's `ExponentialMovingAverage`: the weights of the beginning are soon forgotten.
    """

    def follow(averages: Any, parameters: Any, _: Any) -> None:
        steps = int(averaged.n_averaged)  # on the CPU: the copy that is passed may make the host wait for the device
        get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))(averages, parameters, steps)

    averaged = AveragedModel(model, multi_avg_fn=follow)
    return averaged
