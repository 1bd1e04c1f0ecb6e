"""QUACLRS: urban sound classification with few labels. Importing the package is light; names load when first used."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# ONNX Runtime reads it when it is imported; without it, it keeps an id of the machine and calls its maker's host.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    __version__: str
    from .data import load_urbansound13
    from .errors import QuaclrsError
    from .folds import FoldPlan
    from .inference.loading import load_classifier
    from .labels import CLASS_NAMES
    from .learning import learn
    from .models import (
        LogMelConfig,
        LogMelSpectrogram,
        QuaclrsConfig,
        QuaclrsFeatureExtractor,
        QuaclrsForAudioClassification,
        QuaclrsModel,
    )

_MODULE_OF_NAME = {
    "CLASS_NAMES": "labels",
    "FoldPlan": "folds",
    "LogMelConfig": "models",
    "LogMelSpectrogram": "models",
    "QuaclrsConfig": "models",
    "QuaclrsError": "errors",
    "QuaclrsFeatureExtractor": "models",
    "QuaclrsForAudioClassification": "models",
    "QuaclrsModel": "models",
    "learn": "learning",
    "load_classifier": "inference",
    "load_urbansound13": "data",
}

__all__ = [
    "CLASS_NAMES",
    "FoldPlan",
    "LogMelConfig",
    "LogMelSpectrogram",
    "QuaclrsConfig",
    "QuaclrsError",
    "QuaclrsFeatureExtractor",
    "QuaclrsForAudioClassification",
    "QuaclrsModel",
    "__version__",
    "learn",
    "load_classifier",
    "load_urbansound13",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .extras import named_extra

    with named_extra():
        return getattr(importlib.import_module(f".{_MODULE_OF_NAME[name]}", __name__), name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # takes a tenth of the time to the first label

    try:
        return version("quaclrs")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0+unknown"


def __dir__() -> list[str]:
    return __all__
