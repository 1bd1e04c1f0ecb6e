"""The image networks under the classifier: the paper's seven by name (section 4.2), YAMNet, and any timm architecture.

This file travels with every pushed model, so it imports nothing from the rest of the package.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import get_pretrained_cfg
from torch import nn
from torchvision.models import AlexNet_Weights, alexnet

#: Most that `level` adds to logarithms of magnitudes whose largest is 0: what is above flat silence.
_MOST_GAIN = 4.0


class BackboneError(ValueError):
    """A backbone that does not exist, or weights that cannot be had or do not fit; the message is one line."""


@dataclass(frozen=True)
class BackboneSpec:
    """How a backbone is built, and the picture and front end that it was made for.

    Attributes:
        timm_name: of the architecture, with the pretrained tag.
        image_size: height of the picture in pixels, and its width unless there are patches.
        patch_width: pixels of the patches that a picture is cut into; their embeddings are averaged.
        patch_seconds: what a patch lasts.
        image_mean, image_std: normalisation of the pretrained weights; timm's where absent.
        log_mel: options of `LogMelConfig` that are not the paper's.
        timm_options: of `timm.create_model`, where timm's own do not make the network.
        dropout, drop_path_rate: that the network is trained with, torchvision's; those that timm builds it with where
            absent.
    """

    timm_name: str
    image_size: int = 224
    patch_width: int | None = None
    patch_seconds: float = 0.0
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


class Backbone(nn.Module):
    """A network without its classifier: pictures (batch, 3, height, width) to a feature map and a pooled vector.

    Args:
        name: one of `PAPER_BACKBONES`, of `AUDIO_BACKBONES`, or a timm architecture.
        dropout: share of the features before the classifier that training drops, in [0, 1); as timm or torchvision
            builds the network where absent.
        drop_path_rate: share of residuals that training drops, in [0, 1), rising from none in the first block to this
            in the last (stochastic depth: Huang et al., 2016); as timm builds the network where absent.

    Attributes:
        hidden_size: length of the pooled vector.
        image_mean, image_std: normalisation of the pretrained weights, one number a channel.

    The weights are random; `load_weights` replaces them.

    Raises:
        BackboneError: no such network, or it has no dropout or no drop path.
    """

    def __init__(self, name: str, dropout: float | None = None, drop_path_rate: float | None = None) -> None:
        super().__init__()
        self.name = name
        self.hidden_size: int
        self.image_mean: tuple[float, ...]
        self.image_std: tuple[float, ...]
        spec = find_backbone(name)
        self.patch_width = spec.patch_width
        if name == "alexnet":
            if drop_path_rate is not None:
                raise BackboneError(f"{name} has no drop path; leave it out")
            self.network = alexnet(weights=None, **({} if dropout is None else {"dropout": dropout}))
            self.network.classifier = self.network.classifier[:-1]
            self.network.group_matcher = _alexnet_layers
            self.hidden_size = 4096
            self.image_mean, self.image_std = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
        else:
            self.network = _create(name, drop_rate=dropout, drop_path_rate=drop_path_rate)
            # MobileNetV3 and VGG widen their features in the head: timm calls that size head_hidden_size.
            self.hidden_size = int(getattr(self.network, "head_hidden_size", None) or self.network.num_features)
            timms = self.network.pretrained_cfg
            self.image_mean, self.image_std = spec.image_mean or timms["mean"], spec.image_std or timms["std"]

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the last feature map (batch, channels, height, width) and the pooled vector (batch, hidden_size)."""
        return self.forward_leveled(self.leveled(pictures))

    def leveled(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures as loud as the network expects them: YAMNet's moved, all others as they are."""
        return pictures if self.patch_width is None else level(pictures)

    def forward_leveled(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`forward` of pictures that are as loud as the network expects them."""
        if self.name == "alexnet":
            feature_map = self.network.features(pictures)
            return feature_map, self.network.classifier(self.network.avgpool(feature_map).flatten(1))
        patches = pictures if self.patch_width is None else self.split(pictures)
        feature_map = self.network.forward_features(patches)
        embeddings = self.network.forward_head(feature_map, pre_logits=True)
        if self.patch_width is None:
            return feature_map, embeddings
        count = self.patch_count(pictures)
        return self.join(feature_map, count), embeddings.unflatten(0, (-1, count)).mean(1)

    def patch_count(self, pictures: torch.Tensor) -> int:
        """How many patches each of these pictures is cut into."""
        assert self.patch_width is not None
        return max(1, pictures.shape[-1] // self.patch_width)

    def split(self, pictures: torch.Tensor) -> torch.Tensor:
        """Patches (batch * count, 3, height, patch_width) of pictures, each with its last column first.

        TensorFlow pads strided convolutions below and to the right, PyTorch on both sides, which for an even size is
        above and to the left. A picture has its lowest band at the bottom, not at the top as YAMNet has it; with time
        reversed too, and kernels alike, the two are equal.
        """
        assert self.patch_width is not None
        count = self.patch_count(pictures)
        size = (pictures.shape[-2], count * self.patch_width)
        if pictures.shape[-1] != size[1]:
            pictures = nn.functional.interpolate(pictures, size=size, mode="bilinear", align_corners=False)
        return pictures.unflatten(-1, (count, -1)).permute(0, 3, 1, 2, 4).flatten(0, 1).flip(-1)

    def join(self, maps: torch.Tensor, count: int) -> torch.Tensor:
        """Maps (batch * count, channels, height, width) of patches as (batch, channels, height, count * width)."""
        return maps.flip(-1).unflatten(0, (-1, count)).permute(0, 2, 3, 1, 4).flatten(-2)

    def load_weights(self, file: str | Path | None = None) -> None:
        """Load ImageNet weights from a local file, or without one from the Hub (AlexNet's from torchvision's site).

        Args:
            file: a .safetensors with timm's names (torchvision's for alexnet). A classifier in it is dropped.

        Raises:
            BackboneError: no weights exist, they cannot be reached, they do not fit the network, or are not finite.
        """
        state = read_weights(file) if file else self._download_weights()
        wanted = self.network.state_dict()
        missing = sorted(key for key in wanted if getattr(state.get(key), "shape", None) != wanted[key].shape)
        if missing:
            raise BackboneError(
                f"weights {file or 'from the Hub'} do not fit {self.name}: "
                f"{len(missing)} of {len(wanted)} tensors missing or of another shape, first {missing[0]}"
            )
        state = {key: state[key] for key in wanted}
        if damaged := find_unusable(state):
            raise BackboneError(f"weights {file or 'from the Hub'} are damaged: {damaged}")
        self.network.load_state_dict(state)

    def _download_weights(self) -> dict[str, torch.Tensor]:
        if self.name in AUDIO_BACKBONES:
            raise BackboneError(
                f"pretrained weights of {self.name} are not on the Hub; quaclrs.default_model holds them, "
                "and a training run takes them from there"
            )
        try:
            if self.name == "alexnet":
                alexnets = AlexNet_Weights.IMAGENET1K_V1
                return dict(alexnets.get_state_dict(progress=True, check_hash=True, weights_only=True))
            return timm.create_model(find_backbone(self.name).timm_name, pretrained=True, num_classes=0).state_dict()
        except Exception as error:  # a download fails in as many ways as there are HTTP clients
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise BackboneError(
                f"pretrained weights of {self.name} could not be downloaded ({reason}); "
                "name a local weights file or train from scratch"
            ) from error


def level(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures of natural logarithms of magnitudes, as loud on average as what YAMNet was trained on.

    Log-mels are relative to their loudest cell, YAMNet's are absolute. With the root mean square of the magnitudes at
    0.5, a level that recordings had on average, a linear classifier did as well as on absolute levels; with the loudest
    cell at a fixed level it did not. Silence stays quiet.
    """
    mean_square = (2 * pictures[:, :1]).flatten(1).logsumexp(1) - math.log(pictures[0, 0].numel())
    gain = (math.log(0.5) - 0.5 * mean_square).clamp(max=_MOST_GAIN)
    return pictures + gain[:, None, None, None]


def _create(name: str, **rates: Any) -> Any:
    """A network of timm's without classifier; a `BackboneError` where it takes no such rate."""
    spec = find_backbone(name)
    try:
        # Options that are None timm leaves to the network.
        return timm.create_model(spec.timm_name, pretrained=False, num_classes=0, **spec.timm_options, **rates)
    except TypeError as error:
        for option, words in (("drop_rate", "dropout"), ("drop_path_rate", "drop path")):
            if f"'{option}'" in str(error):
                raise BackboneError(f"{name} has no {words}; leave it out") from error
        raise


def _alexnet_layers(coarse: bool = False) -> dict[str, str]:
    """How timm divides a network into layers, for the one that is not timm's: every layer with weights for itself."""
    return {"features": r"^features\.(\d+)", "classifier": r"^classifier\.(\d+)"}


def read_weights(file: str | Path) -> dict[str, torch.Tensor]:
    """Read a .safetensors file; `BackboneError` where it is none. Pickles (.pth, .bin) can hold code: none is read."""
    file = Path(file)
    if not file.is_file():
        raise BackboneError(f"weights file {file} does not exist")
    if file.suffix != ".safetensors":
        raise BackboneError(
            f"weights file {file} is no .safetensors and can hold code; where you trust whoever made it, load it and "
            "save its tensors with safetensors.torch.save_file"
        )
    try:
        return load_file(file)
    except Exception as error:
        raise BackboneError(f"weights file {file} holds no plain tensors; give a .safetensors file") from error


def find_unusable(tensors: Mapping[str, torch.Tensor]) -> str:
    """One line about the first tensor with which a network's answers are no numbers; empty where there is none."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.is_meta or not tensor.numel():
            continue
        lowest, highest = torch.aminmax(tensor.float())  # NaN where there is one
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            return f"{name} holds NaN or infinite numbers"
        if name.endswith("running_var") and lowest < 0:
            return f"{name} holds negative variances"
    return ""
