"""Search for the ImageNet weights of the paper's backbones, before anything is trained."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.constants import HF_HUB_OFFLINE
from huggingface_hub.errors import LocalEntryNotFoundError
from timm.models import get_pretrained_cfg
from torchvision.models import AlexNet_Weights

from quaclrs.errors import QuaclrsError, first_line_of
from quaclrs.models import Backbone, BackboneError, find_backbone

#: File names of weights on the Hub, in timm's order.
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")

#: torchvision's download of AlexNet waits for ever where nothing limits it. The Hub's client has limits of its own.
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class ImageNetWeights:
    """Source of a backbone's ImageNet weights.

    Attributes:
        file: a local file; None for the Hub's (torchvision's for AlexNet).
        missing: why they cannot be had, in one line; empty where they can.
    """

    file: Path | None = None
    missing: str = ""


def find_imagenet_weights(
    backbones: Iterable[str], folder: Path | None = None, download: bool = True
) -> dict[str, ImageNetWeights]:
    """Look for each backbone's weights: a file of the folder, then the cache, then the Hub.

    What the Hub gives stays in the cache, where the runs find it. Once the Hub did not answer, and under
    HF_HUB_OFFLINE, only the cache is looked into.

    Args:
        backbones: names of `PAPER_BACKBONES`.
        folder: holds `BACKBONE.safetensors`, for as many backbones as there are.
        download: False takes for granted what the Hub would have to give.

    Raises:
        QuaclrsError: the folder does not exist, or a file in it does not fit its backbone.
    """
    if folder is not None and not folder.is_dir():
        raise QuaclrsError(f"--pretrained-dir {folder} does not exist; give a folder of BACKBONE.safetensors files")
    found: dict[str, ImageNetWeights] = {}
    unreachable = "HF_HUB_OFFLINE is set and they are not in the cache" if HF_HUB_OFFLINE else ""
    for name in backbones:
        file = _local_file(name, folder)
        if (unreachable or not download) and file is None and not _is_cached(name):
            found[name] = ImageNetWeights(missing=unreachable)
            continue
        try:
            with _socket_timeout(_TIMEOUT_SECONDS):
                Backbone(name).load_weights(file)
        except BackboneError as error:
            if file is not None:
                raise QuaclrsError(f"--pretrained-dir: {error}; replace the file, or remove it") from error
            found[name] = ImageNetWeights(missing=first_line_of(error.__cause__ or error))
            if isinstance(error.__cause__, LocalEntryNotFoundError):
                unreachable = "the Hub does not answer and they are not in the cache"
        else:
            found[name] = ImageNetWeights(file)
    return found


def _local_file(name: str, folder: Path | None) -> Path | None:
    # A pickle is found too, so that it is named: it is not read.
    files = [folder / f"{name}{ending}" for ending in (".safetensors", ".pth", ".pt", ".bin")] if folder else []
    return next((file for file in files if file.is_file()), None)


def _is_cached(name: str) -> bool:
    if name == "alexnet":
        return (Path(torch.hub.get_dir()) / "checkpoints" / Path(AlexNet_Weights.IMAGENET1K_V1.url).name).is_file()
    weights = get_pretrained_cfg(find_backbone(name).timm_name)
    assert weights is not None
    return any(isinstance(try_to_load_from_cache(str(weights.hf_hub_id), file), str) for file in _HUB_FILES)


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
