"""Libraries that the light install leaves out: which extra brings them, and the one line that says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from .errors import QuaclrsError

#: Extra of `pyproject.toml` -> modules that it brings, as code imports them. A later extra holds those before it.
_MODULES = {
    "torch": (
        *("torch", "torchaudio", "torchvision", "transformers", "timm", "matplotlib", "pytorch_grad_cam"),
        *("onnx", "onnx_ir", "onnxscript"),
    ),
    "train": (
        *("accelerate", "datasets", "evaluate", "librosa", "lightly", "pandas", "pyarrow"),
        "sklearn",
    ),
    "space": ("gradio", "starlette"),
    "live": ("paho", "sounddevice"),
}

_EXTRA_OF = {module: extra for extra, modules in _MODULES.items() for module in modules}


class MissingLibraryError(QuaclrsError, ImportError):
    """A library that is not installed; the message is one line with what to type."""


def require(extra: str) -> None:
    """Raise a `MissingLibraryError` where a library of an extra is not installed; nothing is imported.

    Args:
        extra: `torch`, `train`, `space` or `live`.
    """
    wanted = (*_MODULES["torch"], *_MODULES["train"]) if extra == "train" else _MODULES[extra]
    for module in wanted:
        if find_spec(module) is None:
            raise _without(module, extra)


def require_for_command(extra: str) -> None:
    """`require` of a package of commands: where `python -m` imports it, print the line and end with status 2."""
    try:
        require(extra)
    except MissingLibraryError as error:
        if sys.argv[:1] != ["-m"]:
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


@contextmanager
def named_extra() -> Iterator[None]:
    """Turn a failed import of a library that an extra brings into a `MissingLibraryError`."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRA_OF:
            raise
        raise _without(module, _EXTRA_OF[module]) from error


def _without(module: str, extra: str) -> MissingLibraryError:
    return MissingLibraryError(f'{module} is not installed, which this needs; pip install "quaclrs[{extra}]"')
