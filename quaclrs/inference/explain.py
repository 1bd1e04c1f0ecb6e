"""Show where in a sound a classifier heard its answer: deletion, Grad-CAM (paper, section 4.7), integrated gradients.

Grad-CAM (Selvaraju et al., 2017) is that of the package grad-cam. Its activations, like integrated gradients
(Sundararajan et al., 2017), are counted from those of silence: a network's biases answer to silence too, and would
colour places in which nothing was heard.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from ..errors import QuaclrsError
from ..models import Backbone
from ..models.waveforms import Channel
from .cells import Cells
from .deletion import worth_of_cells
from .faithfulness import Faithfulness, measure_faithfulness
from .hearing import refuse_non_finite
from .pytorch import TorchClassifier
from .windows import Window, middle_of

Method = Literal["deletion", "grad-cam", "integrated-gradients"]
EXPLANATION_METHODS: tuple[Method, ...] = ("deletion", "grad-cam", "integrated-gradients")

#: The layers that are looked at of backbones with names of ours: late ones of those that find a short event in silence
#: (tests/quaclrs/inference/test_gradcam_event.py). The very last maps have few columns, each of which sees most of a
#: clip.
TARGET_LAYERS = {
    "alexnet": "features.4",
    "vgg16": "features.22",
    "resnet18": "layer2",
    "mobilenet_v2": "blocks.2.0.bn1",
    "inception_v3": "Conv2d_4a_3x3",
    "efficientnet_b0": "blocks.1",
    "convnext_tiny": "stages.1",
    "yamnet": "blocks.2",
}

#: Columns that the map of any other network should have.
_COLUMNS = 24

#: Steps of the path from silence.
_STEPS = 32


@dataclass(frozen=True)
class Explanation:
    """A class with the places where it was heard.

    Attributes:
        label: the class that is explained.
        score: its probability.
        log_mel: (n_mels, frames) in [0, 1], lowest band first.
        heat: (n_mels, frames) in [0, 1], its largest cell 1; all 0 where nothing speaks for the class.
        duration: seconds that the frames span.
        total: seconds of the sound; where it is longer, the frames span its middle.
        faithfulness: what becomes of the answer without the cells with most heat.
    """

    label: str
    score: float
    log_mel: np.ndarray
    heat: np.ndarray
    duration: float
    total: float
    faithfulness: Faithfulness


class SilentSoundError(QuaclrsError):
    """The part of a sound that would be explained is silent.

    Args:
        window: that part.
    """

    def __init__(self, window: Window) -> None:
        part = "" if window.start == 0 else f"from {window.start:.1f} to {window.end:.1f} s, its middle, "
        mend = "; cut out the part that is to be explained" if part else ""
        super().__init__(f"{part}the sound is silent: there is nothing in it to explain{mend}")


def explain(
    classifier: TorchClassifier,
    sound: Any,
    sampling_rate: int | None = None,
    label: str | None = None,
    method: Method = "deletion",
    channel: Channel | None = None,
) -> Explanation:
    """Explain one answer of a classifier; of a longer sound, the window in its middle is explained.

    Args:
        classifier: whose answer.
        sound: as `AudioClassifier` takes it.
        sampling_rate: of a waveform, in Hz; the model's own where absent.
        label: the class to look for; the best where absent.
        method: `deletion`, of any model: what the answer loses where a part of the sound is taken away.
            Of models of one encoder `grad-cam`, coarse and of what inner layers respond to, and
            `integrated-gradients`, fine.
        channel: which is heard, as of `AudioClassifier.predict`.

    Raises:
        QuaclrsError: an unknown class or method, one that needs a model of one encoder, a model of one class, or an
            unusable sound. It is a `SilentSoundError` where nothing is to be heard.
    """
    if method not in EXPLANATION_METHODS:
        raise QuaclrsError(f"unknown method {method!r}; choose {' or '.join(EXPLANATION_METHODS)}")
    if label is not None and label not in classifier.labels:
        raise QuaclrsError(f"the model knows no class {label!r}; its classes are {', '.join(classifier.labels)}")
    if len(classifier.labels) == 1 and not classifier.model.config.is_multi_label:
        raise QuaclrsError("the model has one class: there is nothing that it could be told from")
    window = middle_of(sound, classifier.log_mel_config, sampling_rate, channel)
    waveform = torch.from_numpy(classifier.log_mel_config.fit(window.waveform)[None]).to(classifier.device)
    network: Any = classifier.model.quaclrs
    with torch.no_grad():
        log_mel = network.log_mel(waveform)
        heard = {"input_values": waveform} if network.config.more_encoders else {"input_features": log_mel}
        scores = classifier.model.probabilities(classifier.model(**heard).logits[0].double())
    refuse_non_finite(scores.cpu().numpy())
    place = int(scores.argmax()) if label is None else classifier.labels.index(label)
    if not log_mel.any():
        raise SilentSoundError(window)
    if method == "deletion":
        worth = worth_of_cells(classifier, waveform[0], log_mel[0], place).clamp(min=0)
        heat = Cells(classifier.log_mel_config).grown(worth, classifier.log_mel_config).numpy()
    else:
        if network.config.more_encoders:
            raise QuaclrsError(f"{method} is for models of one encoder, and this has several; leave --method out")
        heat = (_grad_cam if method == "grad-cam" else _integrated_gradients)(classifier, log_mel, place)
    refuse_non_finite(heat)
    peak = heat.max()
    return Explanation(
        label=classifier.labels[place],
        score=float(scores[place]),
        log_mel=log_mel[0].cpu().numpy(),
        heat=heat / peak if peak > 0 else heat,
        faithfulness=measure_faithfulness(classifier, waveform[0], heat, place),
        duration=classifier.log_mel_config.duration,
        total=window.end if window.total is None else window.total,
    )


def find_target_layer(
    backbone: Backbone, pictures: torch.Tensor
) -> tuple[nn.Module, Callable[[torch.Tensor], torch.Tensor] | None]:
    """The layer of a backbone that Grad-CAM looks at, and what turns its output into maps (batch, channels, h, w).

    Of a network without a name of ours it is the last layer with maps of at least 24 columns, or the finest that
    it has; of a vision transformer the last block's first norm.

    Args:
        backbone: a `Backbone`.
        pictures: (1, 3, height, width), which are sent through it where the layer must be found.
    """
    network: Any = backbone.network
    name = TARGET_LAYERS.get(str(backbone.name))
    if name is not None:
        if backbone.patch_width is None:
            return network.get_submodule(name), None
        return network.get_submodule(name), functools.partial(backbone.join, count=backbone.patch_count(pictures))
    if hasattr(network, "blocks") and hasattr(network, "patch_embed") and hasattr(network, "num_prefix_tokens"):
        grid, prefix = network.patch_embed.grid_size, network.num_prefix_tokens

        def tokens_to_maps(tokens: torch.Tensor) -> torch.Tensor:
            return tokens[:, prefix:].unflatten(1, grid).permute(0, 3, 1, 2)

        return network.blocks[-1].norm1, tokens_to_maps
    channels_last = getattr(network, "output_fmt", None) == "NHWC"
    seen: list[tuple[int, nn.Module]] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4:
            seen.append((output.shape[2], module))

    # Blocks, not what they are made of: a block's own output is what the next one sees.
    blocks = [module for name, module in network.named_modules() if name and any(True for _ in module.children())]
    hooks = [module.register_forward_hook(note) for module in blocks]
    try:
        with torch.no_grad():
            backbone(pictures)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise QuaclrsError(f"backbone {backbone.name} has no layer with maps; Grad-CAM cannot explain it")
    wanted = min(_COLUMNS, max(columns for columns, _ in seen))
    layer = [module for columns, module in seen if columns >= wanted][-1]
    return layer, (lambda maps: maps.permute(0, 3, 1, 2)) if channels_last else None


class _OfPictures(nn.Module):
    """Leveled pictures to logits, as grad-cam calls a network."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.model.classifier(self.model.quaclrs.backbone.forward_leveled(pictures)[1])


class _FromSilence(GradCAM):
    """Grad-CAM whose activations are counted from those of the batch's last picture."""

    def get_cam_image(
        self,
        input_tensor: torch.Tensor,
        target_layer: nn.Module,
        targets: Any,
        activations: np.ndarray,
        grads: np.ndarray,
        eigen_smooth: bool = False,
    ) -> Any:
        return super().get_cam_image(
            input_tensor, target_layer, targets, activations - activations[-1:], grads, eigen_smooth
        )


def _grad_cam(classifier: TorchClassifier, log_mel: torch.Tensor, place: int) -> np.ndarray:
    network: Any = classifier.model.quaclrs
    sound, silence = (network.pictures(values) for values in (log_mel, torch.zeros_like(log_mel)))
    leveled = network.backbone.leveled(sound)
    pictures = torch.cat([leveled, silence + (leveled - sound)])  # silence as it is in a sound of this level
    layer, to_maps = find_target_layer(network.backbone, sound)
    with torch.enable_grad(), _FromSilence(_OfPictures(classifier.model), [layer], to_maps) as cam:
        heat = cam(pictures.requires_grad_(), [ClassifierOutputTarget(place)] * 2)
    classifier.model.zero_grad(set_to_none=True)
    # A picture has its lowest band at the bottom.
    grown = nn.functional.interpolate(
        torch.from_numpy(heat[:1]).float()[None], size=log_mel.shape[1:], mode="bilinear", align_corners=False
    )
    return grown[0, 0].flip(0).clamp(min=0).numpy()


def _integrated_gradients(classifier: TorchClassifier, log_mel: torch.Tensor, place: int) -> np.ndarray:
    total = torch.zeros_like(log_mel)
    for step in range(_STEPS):
        point = (log_mel * ((step + 0.5) / _STEPS)).requires_grad_()
        with torch.enable_grad():
            logit = classifier.model(input_features=point).logits[0, place]
            (gradient,) = torch.autograd.grad(logit, point)
        total += gradient
    return (total * log_mel / _STEPS)[0].clamp(min=0).cpu().numpy()
