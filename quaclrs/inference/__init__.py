"""Classify sounds: the classifier and its backends, timelines, exports and explanations."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .classifier import AudioClassifier
    from .head import LinearHead
    from .hearing import Heard
    from .loading import load_classifier
    from .onnx import OnnxClassifier, load_onnx_classifier

# ONNX Runtime's door must open without torch, so names load when first used.
_MODULE_OF_NAME = {
    "AudioClassifier": "classifier",
    "Heard": "hearing",
    "LinearHead": "head",
    "OnnxClassifier": "onnx",
    "load_classifier": "loading",
    "load_onnx_classifier": "onnx",
}

__all__ = ["AudioClassifier", "Heard", "LinearHead", "OnnxClassifier", "load_classifier", "load_onnx_classifier"]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF_NAME[name]}", __name__), name)
