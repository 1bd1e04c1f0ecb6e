"""Base of every self-supervised method: a module around an encoder; its forward pass is one step of pre-training."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from lightly.utils import dist as lightly_dist
from timm.optim import param_groups_weight_decay
from torch import nn

from ..errors import QuaclrsError
from ..models import QuaclrsModel


@dataclass
class StepOutput:
    """Result of a step.

    Attributes:
        loss: scalar with gradient, float32.
        logs: the method's own figures, detached scalars.
        embeddings: (clips, hidden_size) of the first view by the encoder that is trained, float32, with gradient.
    """

    loss: torch.Tensor
    logs: dict[str, torch.Tensor]
    embeddings: torch.Tensor


class LogMelEncoder(nn.Module):
    """A `QuaclrsModel` as methods call an encoder: log-mels to embeddings.

    Log-mels shorter than the front end's window, the local views of multi-crop, become pictures that are narrower in
    proportion: time keeps its scale.
    """

    def __init__(self, model: QuaclrsModel) -> None:
        super().__init__()
        self.model = model

    @property
    def hidden_size(self) -> int:
        """Length of an embedding."""
        return self.model.hidden_size

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        """Embeddings (clips, hidden_size) of log-mels (clips, mels, frames) in [0, 1]."""
        config = self.model.config.log_mel_config
        whole = 1 + config.n_samples // config.hop_length
        width = max(1, round(config.picture_size[1] * min(1.0, log_mel.shape[-1] / whole)))
        return self.model.backbone(self.model.pictures(log_mel, width).to(self.model.dtype))[1]


@dataclass(frozen=True)
class SSLOptions:
    """Base of a method's options: every field is a number, kept within the bounds of its `bounded`."""

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            value, (low, high, whole) = getattr(self, entry.name), entry.metadata["bounds"]
            kinds = int if whole else (int, float)
            given = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
            if not given or not low <= value <= high:
                allowed = f"from {low:g}" + (f" to {high:g}" if math.isfinite(high) else " on")
                raise QuaclrsError(f"{entry.name} is {value!r}; it must be a {'whole ' * whole}number {allowed}")


def bounded(default: float, low: float, high: float = math.inf) -> Any:
    """A field of `SSLOptions`; a whole number where its default is one."""
    return field(default=default, metadata={"bounds": (low, high, isinstance(default, int))})


class SSLMethod(nn.Module):
    """Base of the seven methods.

    The parts that exist only to learn, heads, queues, teachers, are saved with the module's state; `encoder` is what
    pre-training is for. The loop gives `parameter_groups` to an optimiser; at every step it sets `progress`, calls the
    module, then `before_optimizer_step`, the optimiser, and `after_step`.

    Args:
        encoder: log-mels (clips, mels, frames) to embeddings (clips, hidden_size); has a `hidden_size`.
        options: of the method's `options_type`; its defaults where absent.

    Attributes:
        options_type: dataclass of the method's own options.
        multi_crop: whether it learns from short local views beside two global ones.
        follows_progress: whether something in it is planned over the whole run, by `progress`.
        collapse_cause: the most likely reason where embeddings collapse.
        progress: share of the run's steps that are done, in [0, 1); schedules follow it.
    """

    options_type: ClassVar[type[SSLOptions]]
    multi_crop: ClassVar[bool] = False
    follows_progress: ClassVar[bool] = False
    collapse_cause: ClassVar[str] = "the learning rate is too high for the batch size"

    def __init__(self, encoder: nn.Module, options: SSLOptions | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.progress = 0.0
        self.options: Any = self.options_type() if options is None else options

    @property
    def hidden_size(self) -> int:
        """Length of the encoder's embeddings."""
        return int(self.encoder.hidden_size)  # type: ignore[arg-type]

    def step(self, views: Sequence[torch.Tensor], labels: torch.Tensor | None = None) -> StepOutput:
        """Loss of a batch.

        Args:
            views: two log-mels (clips, mels, frames) of every clip; with `multi_crop` also any number of local ones.
            labels: not used by methods that learn from sound alone.

        Raises:
            QuaclrsError: the number of views is wrong.
        """
        raise NotImplementedError

    def forward(self, views: Sequence[torch.Tensor], labels: torch.Tensor | None = None) -> StepOutput:
        if len(views) < 2 or (len(views) > 2 and not self.multi_crop):
            wanted = "at least two" if self.multi_crop else "two"
            raise QuaclrsError(f"{type(self).__name__} learns from {wanted} views of a clip, not {len(views)}")
        return self.step(views, labels)

    def parameter_groups(self, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Parameters to train, as an optimiser takes them; weight decay leaves out norms and biases."""
        return param_groups_weight_decay(self, weight_decay)

    def before_optimizer_step(self) -> None:
        """Called when gradients are whole."""

    def after_step(self) -> None:
        """Called after each step of the optimiser: momentum encoders, prototypes."""

    def explain_collapse(self, logs: Mapping[str, float]) -> str | None:
        """Explain a collapse by the method's own figures, the means of an epoch; None where they show none."""
        return None


def momentum_copy(module: nn.Module) -> nn.Module:
    """A copy that no gradient reaches, to follow the module by `follow`."""
    copied = copy.deepcopy(module)
    copied.requires_grad_(False)
    return copied


@torch.no_grad()
def follow(pairs: Iterable[tuple[nn.Module, nn.Module]], momentum: float) -> None:
    """Move each target's parameters towards its source's: target = momentum * target + (1 - momentum) * source.

    Args:
        pairs: (source, target), alike in structure.
        momentum: in [0, 1].
    """
    for source, target in pairs:
        for ours, theirs in zip(source.parameters(), target.parameters(), strict=True):
            theirs.lerp_(ours.to(theirs.dtype), 1 - momentum)


def cosine_momentum(base: float, progress: float) -> float:
    """Momentum that rises from `base` to 1 along half a cosine (BYOL: Grill et al., 2020, section 3.3)."""
    return 1 - (1 - base) * (math.cos(math.pi * progress) + 1) / 2


def encode_together(encoder: nn.Module, views: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Embeddings of every view; consecutive views of one shape share a forward pass, and BatchNorm's statistics."""
    embeddings: list[torch.Tensor] = []
    start = 0
    while start < len(views):
        end = start + 1
        while end < len(views) and views[end].shape == views[start].shape:
            end += 1
        embeddings += encoder(torch.cat(list(views[start:end]))).chunk(end - start)
        start = end
    return embeddings


def gather_with_gradient(values: torch.Tensor) -> torch.Tensor:
    """Rows of all processes in the order of their ranks; gradients flow back to the process they came from."""
    if lightly_dist.world_size() == 1:
        return values
    return torch.cat(lightly_dist.gather(values))


@torch.no_grad()
def gather_rows(values: torch.Tensor) -> torch.Tensor:
    """Rows of all processes in the order of their ranks, without gradient."""
    return gather_with_gradient(values.detach()).detach()


def full_precision(values: torch.Tensor) -> Any:
    """A context in which nothing on the device of `values` is autocast: losses are computed in float32."""
    return torch.autocast(device_type=values.device.type, enabled=False)
