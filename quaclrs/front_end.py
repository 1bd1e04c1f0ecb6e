"""The front end's parameters for processes that must stay light: `import quaclrs.models` imports torch."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .models import LogMelConfig

_NAME = f"{__package__}.models.configuration_log_mel"


def make_log_mel_config(image_size: int | None = None) -> LogMelConfig:
    """A `LogMelConfig` of the paper's parameters, without importing torch.

    Args:
        image_size: another picture than the default's, in pixels.
    """
    changed = {} if image_size is None else {"image_size": image_size}
    return _module().LogMelConfig(**changed)


def fit_length(waveform: np.ndarray, log_mel: Mapping[str, Any]) -> np.ndarray:
    """`LogMelConfig.fit` by the fields of a `LogMelConfig`, without importing torch."""
    return _module().LogMelConfig.from_dict(dict(log_mel)).fit(waveform)


def _module() -> ModuleType:
    if _NAME not in sys.modules:
        # By its path: importing it by name would run the package `quaclrs.models` first.
        spec = importlib.util.spec_from_file_location(_NAME, Path(__file__).parent / "models/configuration_log_mel.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[_NAME] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
    return sys.modules[_NAME]
