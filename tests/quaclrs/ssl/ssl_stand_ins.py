"""A tiny encoder, small methods around it and random views, for tests of `quaclrs.ssl`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from quaclrs.ssl import METHODS, SSLMethod

MELS, FRAMES, LOCAL_FRAMES, CLIPS = 5, 7, 3, 6

#: Options that keep every part small.
SMALL = {
    "simclr": {"projection_dim": 4, "hidden_dim": 8},
    "moco": {"projection_dim": 4, "queue_size": 16},
    "moco_v2": {"projection_dim": 4, "queue_size": 16, "hidden_dim": 8},
    "byol": {"projection_dim": 4, "hidden_dim": 8},
    "barlow_twins": {"projection_dim": 4},
    "dino": {"output_dim": 9, "hidden_dim": 8, "bottleneck_dim": 4},
    "swav": {"projection_dim": 4, "hidden_dim": 8, "n_prototypes": 3, "queue_size": 12},
}

#: The networks of each method that follow another: target -> source.
FOLLOWERS = {
    "simclr": {},
    "moco": {"key_encoder": "encoder", "key_projection": "projection"},
    "moco_v2": {"key_encoder": "encoder", "key_projection": "projection"},
    "byol": {"target_encoder": "encoder", "target_projection": "projection"},
    "barlow_twins": {},
    "dino": {"teacher_encoder": "encoder", "teacher_projection": "projection"},
    "swav": {},
}
MOMENTUM = [name for name, followers in FOLLOWERS.items() if followers]


class TinyEncoder(nn.Module):
    """Log-mels (clips, mels, frames) of any length to embeddings (clips, 6)."""

    hidden_size = 6

    def __init__(self, batch_norm: bool = True) -> None:
        super().__init__()
        norm = nn.BatchNorm1d(8) if batch_norm else nn.Identity()
        self.layers = nn.Sequential(nn.Linear(MELS, 8), norm, nn.Tanh(), nn.Linear(8, self.hidden_size))
        self.seen: list[torch.Tensor] = []

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        self.seen.append(log_mel.detach())
        return self.layers(log_mel.mean(-1))


def build(name: str, batch_norm: bool = True, **options) -> SSLMethod:
    """The method with the same random weights every time; networks that follow another differ from it."""
    torch.manual_seed(0)
    kind = METHODS[name]
    method = kind(TinyEncoder(batch_norm), kind.options_type(**{**SMALL[name], **options}))
    with torch.no_grad():
        for network in FOLLOWERS[name]:
            for parameter in getattr(method, network).parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return method.train()


def random_views(local: int = 0, clips: int = CLIPS, seed: int = 1) -> list[torch.Tensor]:
    """Two global views that are alike, as of a clip, and any number of shorter ones."""
    generator = torch.Generator().manual_seed(seed)
    sound = 3 * torch.randn(clips, MELS, 1, generator=generator)
    lengths = [FRAMES, FRAMES] + [LOCAL_FRAMES] * local
    return [sound + torch.randn(clips, MELS, length, generator=generator) for length in lengths]


def train_step(method: SSLMethod, views: Sequence[torch.Tensor], optimizer: torch.optim.Optimizer) -> float:
    """One step as the loop takes it; the loss."""
    optimizer.zero_grad()
    output = method(views)
    output.loss.backward()
    method.before_optimizer_step()
    optimizer.step()
    method.after_step()
    return float(output.loss.detach())


def sgd(method: SSLMethod, learning_rate: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(method.parameter_groups(), lr=learning_rate)


def copy_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """Its state now."""
    return {name: values.detach().clone() for name, values in module.state_dict().items()}


def unit(values: torch.Tensor) -> torch.Tensor:
    """Rows of length 1."""
    return values / values.square().sum(1, keepdim=True).sqrt()


def assert_same_loss_and_gradients(method: SSLMethod, loss: torch.Tensor, twin: SSLMethod, expected: torch.Tensor):
    """Compare loss and every parameter's gradient with those of a formula applied to the twin's networks."""
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    reached = 0
    for (name, ours), theirs in zip(method.named_parameters(), twin.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None), name
        if ours.grad is not None:
            reached += float(ours.grad.abs().max()) > 1e-4
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    assert reached >= 3
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in method.encoder.layers[3].parameters())
