"""A network under the classifier, without a classifier of its own, and its weights.

This file travels with every pushed model, so it imports nothing from the rest of the package.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn
from torchvision.models import AlexNet_Weights, alexnet

from .backbone_specs import AUDIO_BACKBONES, BackboneError, find_backbone
from .patches import first_columns, join, level, split


class Backbone(nn.Module):
    """A network without its classifier: pictures (batch, 3, height, width) to a feature map and a pooled vector.

    Args:
        name: one of `PAPER_BACKBONES`, of `AUDIO_BACKBONES`, or a timm architecture.
        dropout: share of the features before the classifier that training drops, in [0, 1); as timm or torchvision
            builds the network where absent.
        drop_path_rate: share of residuals that training drops, in [0, 1), rising from none in the first block to this
            in the last (stochastic depth: Huang et al., 2016); as timm builds the network where absent.
        pooling: `mean` for the network's own pooled vector, averaged over patches where it takes those; `mean_max` for
            the maxima beside it, over patches, or over the places of the feature map.
        patch_overlap: share of a patch that the next one holds too, in [0, 1).
        tag_groups: groups of the kinds of sound, numbered from 0, that the network's own classifier tells apart: the
            largest log-odds of each, over its kinds and all patches, stands after the features. None where empty.
        earlier_stages: of so many stages before the last the maps are pooled too: means of their places, and maxima
            where `pooling` has those. They stand after the features and before the groups, the latest stage first.

    Attributes:
        hidden_size: length of the pooled vector.
        stages_size: length of its part of earlier stages.
        image_mean, image_std: normalisation of the pretrained weights, one number a channel.

    The weights are random; `load_weights` replaces them.

    Raises:
        BackboneError: no such network, it has no dropout, drop path, patches, map or kinds that are asked for.
    """

    def __init__(
        self,
        name: str,
        dropout: float | None = None,
        drop_path_rate: float | None = None,
        pooling: str = "mean",
        patch_overlap: float = 0.0,
        tag_groups: Sequence[Sequence[int]] | None = None,
        earlier_stages: int = 0,
    ) -> None:
        super().__init__()
        self.name = name
        self.pooling, self.patch_overlap = pooling, patch_overlap
        self.image_mean: tuple[float, ...]
        self.image_std: tuple[float, ...]
        spec = find_backbone(name)
        self.patch_width = spec.patch_width
        if patch_overlap and self.patch_width is None:
            raise BackboneError(f"{name} hears no patches that could overlap; leave patch_overlap out")
        self.tag_groups = [list(group) for group in tag_groups or []]
        if any(kind >= spec.tags for group in self.tag_groups for kind in group):
            raise BackboneError(
                f"{name} tells {spec.tags or 'no'} kinds of sound apart; mend tag_groups, or leave it out"
            )
        if name == "alexnet":
            if drop_path_rate is not None:
                raise BackboneError(f"{name} has no drop path; leave it out")
            self.network = alexnet(weights=None, **({} if dropout is None else {"dropout": dropout}))
            self.network.classifier = self.network.classifier[:-1]
            self.network.group_matcher = _alexnet_layers
            size, channels = 4096, 256
            self.image_mean, self.image_std = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
        else:
            self.network = _create(name, drop_rate=dropout, drop_path_rate=drop_path_rate)
            channels = int(self.network.num_features)
            # MobileNetV3 and VGG widen their features in the head: timm calls that size head_hidden_size.
            size = int(getattr(self.network, "head_hidden_size", None) or channels)
            timms = self.network.pretrained_cfg
            self.image_mean, self.image_std = spec.image_mean or timms["mean"], spec.image_std or timms["std"]
        sizes = self._choose_stages(earlier_stages)
        self.tagger = nn.Linear(size, spec.tags) if self.tag_groups else None
        self.hidden_size = size + (0 if pooling == "mean" else channels if self.patch_width is None else size)
        self.stages_size = sum(sizes) * (1 if pooling == "mean" else 2)
        self.hidden_size += self.stages_size + len(self.tag_groups)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the last feature map (batch, channels, height, width) and the pooled vector (batch, hidden_size)."""
        return self.forward_leveled(self.leveled(pictures))

    def leveled(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures as loud as the network expects them: YAMNet's moved, all others as they are."""
        return pictures if self.patch_width is None else level(pictures)

    def forward_leveled(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`forward` of pictures that are as loud as the network expects them."""
        earlier: list[torch.Tensor] = []
        if self.name == "alexnet":
            feature_map = self.network.features(pictures)
            embeddings = self.network.classifier(self.network.avgpool(feature_map).flatten(1))
        else:
            patches = pictures if self.patch_width is None else self.split(pictures)
            feature_map, earlier = self._maps(patches)
            embeddings = self.network.forward_head(feature_map, pre_logits=True)
        if self.patch_width is not None:
            count = self.patch_count(pictures)
            of_patches = embeddings.unflatten(0, (-1, count))
            feature_map, embeddings, maxima = self.join(feature_map, count), of_patches.mean(1), of_patches.amax(1)
        elif self.pooling == "mean_max":
            maxima = _maxima(feature_map, getattr(self.network, "output_fmt", "NCHW"))
        parts = [embeddings] if self.pooling == "mean" else [embeddings, maxima]
        for stage in earlier:
            places = stage if self.patch_width is None else self.join(stage, count)
            parts += [places.mean((2, 3))] if self.pooling == "mean" else [places.mean((2, 3)), places.amax((2, 3))]
        if self.tagger is not None:
            parts.append(self._log_odds_of_groups(of_patches))
        return feature_map, torch.cat(parts, dim=-1)

    def _choose_stages(self, count: int) -> list[int]:
        """Note the numbers of the stages that are heard beside the last, the latest first; the channels of each."""
        self._stages: list[int] = []
        if not count:
            return []
        known = list(getattr(self.network, "feature_info", []))
        if not hasattr(self.network, "forward_intermediates") or count >= len(known):
            raise BackboneError(f"{self.name} has no {count} stages before its last; lower earlier_stages")
        self._stages = list(range(len(known) - 2, len(known) - 2 - count, -1))
        return [known[stage]["num_chs"] for stage in self._stages]

    def _maps(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The last feature map, and those of `earlier_stages` (batch, channels, height, width)."""
        if not self._stages:
            return self.network.forward_features(pictures), []
        last, maps = self.network.forward_intermediates(pictures, indices=self._stages)
        return last, maps[::-1]  # they come in the order of the network

    def _log_odds_of_groups(self, of_patches: torch.Tensor) -> torch.Tensor:
        """Largest log-odds (batch, groups) of the kinds of each group in features (batch, patches, size)."""
        assert self.tagger is not None
        of_kinds = self.tagger(of_patches).amax(1)
        return torch.stack([of_kinds[:, group].amax(1) for group in self.tag_groups], dim=1)

    def patch_count(self, pictures: torch.Tensor) -> int:
        """Patches that each of these pictures is cut into."""
        assert self.patch_width is not None
        width = max(pictures.shape[-1], self.patch_width)
        return len(first_columns(width, self.patch_width, self.patch_overlap))

    def split(self, pictures: torch.Tensor) -> torch.Tensor:
        """Patches of pictures as `patches.split` makes them."""
        assert self.patch_width is not None
        return split(pictures, self.patch_width, self.patch_overlap)

    def join(self, maps: torch.Tensor, count: int) -> torch.Tensor:
        """Maps of patches side by side as `patches.join` puts them."""
        return join(maps, count)

    def load_weights(self, file: str | Path | None = None) -> None:
        """Load ImageNet weights from a local file, or without one from the Hub (AlexNet's from torchvision's site).

        Args:
            file: a .safetensors with timm's names (torchvision's for alexnet), and `tagger.weight` and `tagger.bias`
                where there are `tag_groups`. Other tensors in it are dropped.

        Raises:
            BackboneError: no weights exist, they cannot be reached, they do not fit the network, or are not finite.
        """
        state = read_weights(file) if file else self._download_weights()
        wanted = self.network.state_dict()
        if self.tagger is not None:
            wanted |= {f"tagger.{name}": tensor for name, tensor in self.tagger.state_dict().items()}
        missing = sorted(key for key in wanted if getattr(state.get(key), "shape", None) != wanted[key].shape)
        if missing:
            raise BackboneError(
                f"weights {file or 'from the Hub'} do not fit {self.name}: "
                f"{len(missing)} of {len(wanted)} tensors missing or of another shape, first {missing[0]}"
            )
        state = {key: state[key] for key in wanted}
        if damaged := find_unusable(state):
            raise BackboneError(f"weights {file or 'from the Hub'} are damaged: {damaged}")
        if self.tagger is not None:
            self.tagger.load_state_dict({name: state.pop(f"tagger.{name}") for name in self.tagger.state_dict()})
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


def _maxima(feature_map: torch.Tensor, layout: str) -> torch.Tensor:
    """Largest value of each channel (batch, channels) over the places of a map, or over tokens."""
    if layout == "NHWC":
        return feature_map.amax((1, 2))
    return feature_map.amax((2, 3)) if feature_map.ndim == 4 else feature_map.amax(1)


def _alexnet_layers(coarse: bool = False) -> dict[str, str]:
    """Divide a network into layers as timm does, where it is not timm's: every layer with weights for itself."""
    return {"features": r"^features\.(\d+)", "classifier": r"^classifier\.(\d+)"}


def read_weights(file: str | Path) -> dict[str, torch.Tensor]:
    """Read a .safetensors file; `BackboneError` where it is none. Pickles (.pth, .bin) can hold code: none is read."""
    file = Path(file)
    if not file.is_file():
        raise BackboneError(f"weights file {file} does not exist")
    if file.suffix != ".safetensors":
        raise BackboneError(
            f"weights file {file} is not .safetensors and can hold code; where you trust whoever made it, load it and "
            "save its tensors with safetensors.torch.save_file"
        )
    try:
        return load_file(file)
    except Exception as error:
        raise BackboneError(f"weights file {file} holds no plain tensors; give a .safetensors file") from error


def find_unusable(tensors: Mapping[str, torch.Tensor]) -> str:
    """Name the first tensor that makes a network's answers NaN or infinite, in one line; empty without one."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.is_meta or not tensor.numel():
            continue
        lowest, highest = torch.aminmax(tensor.float())  # NaN where there is one
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            return f"{name} holds NaN or infinite numbers"
        if name.endswith("running_var") and lowest < 0:
            return f"{name} holds negative variances"
    return ""
