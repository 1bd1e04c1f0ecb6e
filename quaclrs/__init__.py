"""QUACLRS: urban sound classification with few labels. Importing the package is light; names load when first used."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import load_urbansound13
    from .errors import QuaclrsError
    from .folds import FoldPlan
    from .inference.loading import load_classifier
    from .labels import CLASS_NAMES
    from .models import (
        LogMelConfig,
        LogMelSpectrogram,
        QuaclrsConfig,
        QuaclrsFeatureExtractor,
        QuaclrsForAudioClassification,
        QuaclrsModel,
    )

try:
    __version__ = version("quaclrs")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

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
    "load_classifier",
    "load_urbansound13",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .extras import named_extra

    with named_extra():
        return getattr(importlib.import_module(f".{_MODULE_OF_NAME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
