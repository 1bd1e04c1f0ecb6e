"""Memory of a training step on its device, counted on tensors that have shapes but no data.

The step is the one that trains. Only its tensors are PyTorch's fake ones: what it would allocate is known to the byte,
and neither the memory nor the device is needed.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

#: Moments of a step.
VIEWS, NETWORK, OPTIMIZER = "front end and views", "forward and backward", "optimiser's step"

#: Clips whose log-mels are made to measure that.
_MOST_CLIPS = 32

#: Bytes that CUDA's allocator rounds every tensor up to.
_BLOCK = 512

#: What autocast computes in float32 on CUDA and not on CPUs, of what networks keep for their gradients.
_FLOAT32_ON_CUDA = {
    functional.layer_norm, functional.group_norm, functional.softmax, functional.log_softmax, torch.softmax,
    torch.log_softmax, torch.Tensor.softmax, torch.Tensor.log_softmax, torch.pow, torch.Tensor.pow,
}  # fmt: skip


@dataclass(frozen=True)
class StepMemory:
    """Bytes on the device of one process.

    Attributes:
        parts: what is there -> bytes. Activations are there from the forward to the backward pass, gradients from the
            backward pass to the optimiser's step, all else always.
        moments: moment of a step -> the most that is there then, what is freed at once among it.
    """

    parts: Mapping[str, int]
    moments: Mapping[str, int]

    @property
    def peak(self) -> int:
        """The most that is there at any moment."""
        return max(self.moments.values())

    def with_views(self, views: ViewsMemory, kept: int = 1) -> StepMemory:
        """The same with what makes the log-mels of the step, which are counted already.

        Args:
            views: of a batch on this device.
            kept: batches of waveforms and log-mels that are there: that of the step, and others that stay.
        """
        always = kept * views.waveforms + (kept - 1) * views.log_mels
        moments = {name: size + always for name, size in self.moments.items()}
        making = self.parts["weights"] + self.parts["optimiser state"] + always + views.peak
        parts = {**self.parts, "waveforms": kept * views.waveforms, "log-mels": kept * views.log_mels}
        return StepMemory(parts, {VIEWS: making, **moments})


class Allocations(TorchDispatchMode):
    """Counts the bytes of every tensor that is made while it is entered, real or fake, for as long as it lives.

    Args:
        block: bytes that each is rounded up to.

    Attributes:
        now: bytes that live.
        peaks: the most that lived at once, by the moment that `begin` named.
    """

    def __init__(self, block: int = _BLOCK) -> None:
        super().__init__()
        self.now = 0
        self.peaks: dict[str, int] = {}
        self._block, self._moment = block, ""
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        self.begin(self._moment)
        return made

    def begin(self, moment: str) -> None:
        """Count for this moment from now on."""
        self._moment = moment
        self.peaks[moment] = max(self.peaks.get(moment, 0), self.now)

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), _rounded(storage.nbytes(), self._block)
        if key not in self._known:
            self._known.add(key)
            self.now += size
            weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def bytes_of(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of tensors on a device; memory that several share counts once."""
    storages = {id(storage): storage for storage in (tensor.untyped_storage() for tensor in tensors)}
    return sum(_rounded(storage.nbytes(), _BLOCK) for storage in storages.values())


def _rounded(size: int, block: int) -> int:
    return -(-size // block) * block


@contextmanager
def without_data(allocations: Allocations) -> Iterator[None]:
    """Make tensors of shapes alone, count them, and autocast on the CPU as CUDA would."""
    with FakeTensorMode(allow_non_fake_inputs=True), allocations, _AsOnCuda():
        yield


class _AsOnCuda(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _FLOAT32_ON_CUDA and torch.is_autocast_enabled("cpu"):
            args, kwargs = tree_map(_in_float32, (args, kwargs))
        if func is torch.Tensor.__getitem__ and isinstance(args[1], torch.Tensor) and args[1].dtype == torch.bool:
            return args[0].flatten().clone()  # what a mask leaves depends on data: all of it, which is little more
        return func(*args, **kwargs)


def _in_float32(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def empty_out(module: nn.Module, device: str = "cpu") -> None:
    """Give a module parameters and buffers without data; call it within `without_data`."""
    made: dict[int, Any] = {}

    def empty(tensor: torch.Tensor) -> Any:
        if id(tensor) not in made:
            fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
            is_parameter = isinstance(tensor, nn.Parameter)
            made[id(tensor)] = nn.Parameter(fake, tensor.requires_grad) if is_parameter else fake
        return made[id(tensor)]

    replaced = []  # kept until the end: another tensor could get the id of one that is gone
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                # Counters keep their data: steps read them.
                if tensor is not None and (tensor.ndim or tensor.is_floating_point()):
                    replaced.append(tensor)
                    tensors[name] = empty(tensor)


@dataclass(frozen=True)
class ViewsMemory:
    """What making log-mels of a batch of waveforms takes on an accelerator.

    Attributes:
        waveforms: bytes of the batch.
        peak: the most that is there while they are made, in bytes: they themselves, and what is freed at once.
        shapes: of each log-mel, (clips, mels, frames).
    """

    waveforms: int
    peak: int
    shapes: tuple[tuple[int, ...], ...]

    @property
    def log_mels(self) -> int:
        """Bytes of the log-mels."""
        return sum(4 * math.prod(shape) for shape in self.shapes)


def measure_views(
    make: Callable[[dict[str, Any]], Sequence[torch.Tensor]], module: nn.Module, n_samples: int, clips: int
) -> ViewsMemory:
    """Measure on a few clips; more take memory in proportion, and Python looks at each by itself.

    Args:
        make: log-mels of a batch as `ClipTransform` gives it.
        module: that makes them.
        n_samples: of a clip.
        clips: of a batch.
    """
    few, allocations = min(clips, _MOST_CLIPS), Allocations()
    of_clips = {"length": np.full(few, n_samples), "clip_key": np.arange(few)}
    of_clips |= {f"partner_{name}": values for name, values in of_clips.items()}
    with torch.no_grad(), without_data(allocations):
        empty_out(module, "cuda")
        waveforms = torch.empty(few, n_samples, device="cuda")
        own = allocations.now
        made = make({"input_values": waveforms, "partner_values": waveforms, **of_clips})
        shapes = tuple((clips, *log_mel.shape[1:]) for log_mel in made)
    return ViewsMemory(4 * clips * n_samples, round((max(allocations.peaks.values()) - own) * clips / few), shapes)
