"""The paper's seven image networks by name (section 4.2), YAMNet, and any timm architecture: how each is built.

This file travels with every pushed model, so it imports nothing from the rest of the package.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import timm
from timm.models import get_pretrained_cfg


class BackboneError(ValueError):
    """A backbone that does not exist, or weights that cannot be had or do not fit; the message is one line."""


@dataclass(frozen=True)
class BackboneSpec:
    """Specification of a backbone: how to build it, and the picture and front end that it was made for.

    Attributes:
        timm_name: of the architecture, with the pretrained tag.
        image_size: height of the picture in pixels, and its width unless there are patches.
        patch_width: pixels of the patches that a picture is cut into; their embeddings are averaged.
        patch_seconds: what a patch lasts.
        image_mean, image_std: normalisation of the pretrained weights; timm's where absent.
        tags: kinds of sound that its own classifier, which the package's model holds too, scores in each patch.
        log_mel: options of `LogMelConfig` that are not the paper's.
        timm_options: of `timm.create_model`, where timm's own do not make the network.
        dropout, drop_path_rate: that the network is trained with, torchvision's; those that timm builds it with where
            absent.
    """

    timm_name: str
    image_size: int = 224
    patch_width: int | None = None
    patch_seconds: float = 0.0
    tags: int = 0
    image_mean: tuple[float, ...] | None = None
    image_std: tuple[float, ...] | None = None
    log_mel: Mapping[str, Any] = field(default_factory=dict)
    timm_options: Mapping[str, Any] = field(default_factory=dict)
    dropout: float | None = None
    drop_path_rate: float | None = None

    def image_width(self, duration: float) -> int | None:
        """Width in pixels of the picture of a clip that lasts `duration` seconds; None where pictures are square."""
        return self.patch_width and self.patch_width * max(1, int(duration / self.patch_seconds))


#: The paper's seven. The tags are the plain ImageNet-1k weights; torchvision's own AlexNet stands in as timm has none.
PAPER_BACKBONES: Mapping[str, BackboneSpec] = {
    "alexnet": BackboneSpec("torchvision/alexnet", dropout=0.5),
    "vgg16": BackboneSpec("vgg16.tv_in1k", dropout=0.5),
    "resnet18": BackboneSpec("resnet18.tv_in1k", dropout=0.0, drop_path_rate=0.0),
    "mobilenet_v2": BackboneSpec("mobilenetv2_100.ra_in1k", dropout=0.2, drop_path_rate=0.0),
    "inception_v3": BackboneSpec("inception_v3.tv_in1k", image_size=299, dropout=0.5),
    "efficientnet_b0": BackboneSpec("efficientnet_b0.ra_in1k", dropout=0.2, drop_path_rate=0.2),
    "convnext_tiny": BackboneSpec("convnext_tiny.fb_in1k", dropout=0.0, drop_path_rate=0.1),
}

#: YAMNet (Google, Apache-2.0): MobileNet v1 over patches of 96 frames, trained on AudioSet. Its front end gives natural
#: logarithms of mel magnitudes; the normalisation turns 80 dB from 0 to 1 into those. A frame comes every 167 samples,
#: YAMNet's every 160: whole seconds are whole patches then, and no picture need be resized. Its rectifiers have no
#: upper bound, those of timm's MobileNet stop at 6. The package's own model holds its weights.
AUDIO_BACKBONES: Mapping[str, BackboneSpec] = {
    "yamnet": BackboneSpec(
        "mobilenetv1_100",
        image_size=64,
        patch_width=96,
        patch_seconds=1.0,
        tags=521,
        image_mean=(1.0,) * 3,
        image_std=(1 / math.log(1e4),) * 3,
        log_mel={
            "sampling_rate": 16_000,
            "n_fft": 512,
            "win_length": 400,
            "hop_length": 167,
            "n_mels": 64,
            "f_min": 125.0,
            "f_max": 7500.0,
            "power": 1,
            "mel_scale": "htk",
            "mel_norm": "none",
        },
        timm_options={"act_layer": "relu"},
        dropout=0.0,
        drop_path_rate=0.0,
    ),
}


def find_backbone(name: str) -> BackboneSpec:
    """Look up `PAPER_BACKBONES`, `AUDIO_BACKBONES` or timm; `BackboneError` names the nearest known architectures."""
    named = {**PAPER_BACKBONES, **AUDIO_BACKBONES}
    if name in named:
        return named[name]
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, {*named, *timm.list_models()}, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose {', '.join(PAPER_BACKBONES)} or a timm name"
        raise BackboneError(f"unknown backbone {name!r}: {hint}")
    try:
        get_pretrained_cfg(name)
    except RuntimeError as error:
        raise BackboneError(f"unknown backbone {name!r}: timm has no weights of that tag; leave the tag out") from error
    return BackboneSpec(name)
