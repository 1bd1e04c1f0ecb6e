"""The image networks under the classifier: the paper's seven by name (section 4.2) and any timm architecture.

This file travels with every pushed model, so it imports nothing from the rest of the package.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import get_pretrained_cfg, load_state_dict
from torch import nn
from torchvision.models import AlexNet_Weights, alexnet


class BackboneError(ValueError):
    """A backbone that does not exist, or weights that cannot be had or do not fit; the message is one line."""


@dataclass(frozen=True)
class BackboneSpec:
    """How a backbone is built: its timm name with the pretrained tag, and the square picture it was made for."""

    timm_name: str
    image_size: int = 224


#: The paper's seven. The tags are the plain ImageNet-1k weights; torchvision's own AlexNet stands in as timm has none.
PAPER_BACKBONES: Mapping[str, BackboneSpec] = {
    "alexnet": BackboneSpec("torchvision/alexnet"),
    "vgg16": BackboneSpec("vgg16.tv_in1k"),
    "resnet18": BackboneSpec("resnet18.tv_in1k"),
    "mobilenet_v2": BackboneSpec("mobilenetv2_100.ra_in1k"),
    "inception_v3": BackboneSpec("inception_v3.tv_in1k", image_size=299),
    "efficientnet_b0": BackboneSpec("efficientnet_b0.ra_in1k"),
    "convnext_tiny": BackboneSpec("convnext_tiny.fb_in1k"),
}


def find_backbone(name: str) -> BackboneSpec:
    """Look up one of `PAPER_BACKBONES` or any timm architecture; `BackboneError` names the nearest known ones."""
    if name in PAPER_BACKBONES:
        return PAPER_BACKBONES[name]
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, {*PAPER_BACKBONES, *timm.list_models()}, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose {', '.join(PAPER_BACKBONES)} or a timm name"
        raise BackboneError(f"unknown backbone {name!r}: {hint}")
    try:
        get_pretrained_cfg(name)
    except RuntimeError as error:
        raise BackboneError(f"unknown backbone {name!r}: timm has no weights of that tag; leave the tag out") from error
    return BackboneSpec(name)


class Backbone(nn.Module):
    """A network without its classifier: pictures (batch, 3, height, width) to a feature map and a pooled vector.

    Args:
        name: one of `PAPER_BACKBONES` or a timm architecture.

    Attributes:
        hidden_size: length of the pooled vector.
        image_mean, image_std: normalisation of the pretrained weights, one number a channel.

    The weights are random; `load_weights` replaces them.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.hidden_size: int
        spec = find_backbone(name)
        if name == "alexnet":
            self.network = alexnet(weights=None)
            self.network.classifier = self.network.classifier[:-1]
            self.network.group_matcher = _alexnet_layers
            self.hidden_size = 4096
            self.image_mean, self.image_std = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
        else:
            self.network = timm.create_model(spec.timm_name, pretrained=False, num_classes=0)
            # MobileNetV3 and VGG widen their features in the head: timm calls that size head_hidden_size.
            self.hidden_size = int(getattr(self.network, "head_hidden_size", None) or self.network.num_features)
            self.image_mean, self.image_std = self.network.pretrained_cfg["mean"], self.network.pretrained_cfg["std"]

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the last feature map (batch, channels, height, width) and the pooled vector (batch, hidden_size)."""
        if self.name == "alexnet":
            feature_map = self.network.features(pictures)
            return feature_map, self.network.classifier(self.network.avgpool(feature_map).flatten(1))
        feature_map = self.network.forward_features(pictures)
        return feature_map, self.network.forward_head(feature_map, pre_logits=True)

    def load_weights(self, file: str | Path | None = None) -> None:
        """Load ImageNet weights from a local file, or without one from the Hub (AlexNet's from torchvision's site).

        Args:
            file: a .safetensors, or a .pth of tensors only, with timm's names (torchvision's for alexnet). A classifier
                in it is dropped.

        Raises:
            BackboneError: no weights exist, they cannot be reached, or they do not fit the network.
        """
        state = read_weights(file) if file else self._download_weights()
        wanted = self.network.state_dict()
        missing = sorted(key for key in wanted if getattr(state.get(key), "shape", None) != wanted[key].shape)
        if missing:
            raise BackboneError(
                f"weights {file or 'from the Hub'} do not fit {self.name}: "
                f"{len(missing)} of {len(wanted)} tensors missing or of another shape, first {missing[0]}"
            )
        self.network.load_state_dict({key: state[key] for key in wanted})

    def _download_weights(self) -> dict[str, torch.Tensor]:
        try:
            if self.name == "alexnet":
                return dict(AlexNet_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True))
            return timm.create_model(find_backbone(self.name).timm_name, pretrained=True, num_classes=0).state_dict()
        except Exception as error:  # a download fails in as many ways as there are HTTP clients
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise BackboneError(
                f"pretrained weights of {self.name} could not be downloaded ({reason}); "
                "name a local weights file or train from scratch"
            ) from error


def _alexnet_layers(coarse: bool = False) -> dict[str, str]:
    """How timm divides a network into layers, for the one that is not timm's: every layer with weights for itself."""
    return {"features": r"^features\.(\d+)", "classifier": r"^classifier\.(\d+)"}


def read_weights(file: str | Path) -> dict[str, torch.Tensor]:
    """Read a tensor file (.safetensors, or .pth without pickled code); `BackboneError` where it is neither."""
    file = Path(file)
    if not file.is_file():
        raise BackboneError(f"weights file {file} does not exist")
    try:
        return load_file(file) if file.suffix == ".safetensors" else load_state_dict(str(file), weights_only=True)
    except Exception as error:
        raise BackboneError(f"weights file {file} holds no plain tensors; give a .safetensors or .pth file") from error
