"""Learn a classifier from a handful of labels, judge it, and choose what to label next. Nothing here imports torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .learning import Learned, LearnOptions, learn
    from .report import LearnReport

_MODULE_OF_NAME = {"LearnOptions": "learning", "LearnReport": "report", "Learned": "learning", "learn": "learning"}

__all__ = ["LearnOptions", "LearnReport", "Learned", "learn"]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF_NAME[name]}", __name__), name)
