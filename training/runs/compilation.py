"""`torch.compile` of the networks that training runs, in place: names of weights and what is saved stay as they are."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from quaclrs.errors import QuaclrsError
from quaclrs.models.backbones import Backbone


def compile_backbones(network: nn.Module, backend: str | None) -> None:
    """Have every backbone in a network compiled when it is first called: nearly all of a step is spent there.

    Heads, losses and queues stay as they are. They change from step to step, and would be compiled again and again.
    Every shape of pictures gets a graph of its own.

    Args:
        network: changed in place; copies made of it later are not compiled.
        backend: of `torch.compile`; None for none.
    """
    if backend is None:
        return
    for module in network.modules():
        if isinstance(module, Backbone):
            module.compile(backend=backend, dynamic=False)


def uncompiled() -> AbstractContextManager[None]:
    """A context in which compiled networks run as they are: evaluation has batches of many sizes, each a graph."""
    if "torch._dynamo" not in sys.modules:  # nothing was compiled, and importing it takes seconds
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def refuse_launchers_backend(backend: str) -> None:
    """Raise a `QuaclrsError` where `accelerate launch` was told to compile: it would rename every weight.

    Args:
        backend: that it was told.
    """
    if backend.upper() != "NO":
        raise QuaclrsError(
            f"accelerate launch was told --dynamo_backend {backend.lower()}; leave it out and pass --compile "
            f"{backend.lower()}"
        )
