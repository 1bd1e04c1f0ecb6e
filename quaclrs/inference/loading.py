"""`load_classifier`: load a model by its name, in ONNX Runtime or in PyTorch."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from ..errors import QuaclrsError
from ..extras import MissingLibraryError, named_extra
from ..saved_model import GRAPH, find_model_folder

if TYPE_CHECKING:
    from .classifier import AudioClassifier
    from .onnx import OnnxClassifier
    from .pytorch import TorchClassifier

Backend = Literal["auto", "onnx", "torch"]
BACKENDS: tuple[str, ...] = get_args(Backend)

Model = str | os.PathLike[str] | None


@overload
def load_classifier(
    path_or_repo: Model = None, device: str | None = None, *, backend: Literal["torch"], threads: int = 0
) -> TorchClassifier: ...


@overload
def load_classifier(
    path_or_repo: Model = None, device: None = None, *, backend: Literal["onnx"], threads: int = 0
) -> OnnxClassifier: ...


@overload
def load_classifier(
    path_or_repo: Model = None, device: str | None = None, *, backend: Backend = "auto", threads: int = 0
) -> AudioClassifier: ...


def load_classifier(
    path_or_repo: Model = None, device: str | None = None, *, backend: Backend = "auto", threads: int = 0
) -> Any:
    """Load a saved model folder, a repository of the Hub, the folder of an export, or the package's own model.

    Args:
        path_or_repo: what `save_pretrained` or `quaclrs export` wrote, or `namespace/name`; the package's own model
            where absent.
        device: `cpu`, `cuda`, `cuda:1` or `mps`; naming one chooses PyTorch. With `backend="torch"` the best at hand
            where absent.
        backend: `onnx` for ONNX Runtime on the CPU, `torch` for PyTorch. `auto` takes ONNX Runtime where the model has
            a graph for it (`model.onnx`).
        threads: that work on one batch; 0 for all cores that this process may use.

    Raises:
        QuaclrsError: the model is not there, is not a QUACLRS classifier, its options are impossible, its weights are
            not safetensors, missing or damaged, its graph is damaged, the device does not exist, or what the backend
            needs is not installed.
    """
    if backend not in BACKENDS:
        raise QuaclrsError(f"backend is {backend!r}; choose {', '.join(BACKENDS)}")
    if threads < 0:
        raise QuaclrsError(f"threads is {threads}; it must be 1 or more, or 0 for all cores")
    if device and backend == "onnx":
        raise QuaclrsError("device has no use with the backend onnx, which runs on the CPU; leave it out")
    if backend == "auto":
        has_graph = (find_model_folder(path_or_repo) / GRAPH).is_file()
        if not has_graph and not find_spec("torch"):
            raise MissingLibraryError(
                f"model {path_or_repo} has no {GRAPH} for ONNX Runtime, and PyTorch, which could run it, is not "
                'installed; pip install "quaclrs[torch]", or ask for a model with a graph'
            )
        backend = "onnx" if has_graph and not device and find_spec("onnxruntime") else "torch"
    if backend == "onnx":
        from .onnx import load_onnx_classifier

        return load_onnx_classifier(path_or_repo, threads=threads)
    with named_extra():
        from .pytorch import load_torch_classifier
    if threads:
        import torch

        torch.set_num_threads(threads)
    return load_torch_classifier(path_or_repo, device)
