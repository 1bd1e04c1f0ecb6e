"""What the front end does without torch, for processes that must stay light: `quaclrs.models` imports torch."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .models import LogMelConfig


#: Two threads must not find a module that is half loaded.
_LOADING = threading.Lock()


def make_log_mel_config(image_size: int | None = None) -> LogMelConfig:
    """A `LogMelConfig` of the paper's parameters, without importing torch.

    Args:
        image_size: another picture than the default's, in pixels.
    """
    return log_mel_config_of({} if image_size is None else {"image_size": image_size})


def log_mel_config_of(log_mel: Mapping[str, Any]) -> LogMelConfig:
    """The `LogMelConfig` of a saved dictionary, without importing torch; a `ValueError` names unknown options."""
    return _module("configuration_log_mel").LogMelConfig.from_dict(dict(log_mel))


def fit_length(waveform: np.ndarray, log_mel: Mapping[str, Any]) -> np.ndarray:
    """`LogMelConfig.fit` by the fields of a `LogMelConfig`, without importing torch."""
    return log_mel_config_of(log_mel).fit(waveform)


def mono_at(clip: Any, sampling_rate: int | None, wanted_rate: int) -> np.ndarray:
    """`quaclrs.models.waveforms.mono_at` without importing torch."""
    return _module("waveforms").mono_at(clip, sampling_rate, wanted_rate)


def _module(name: str) -> ModuleType:
    full = f"{__package__}.models.{name}"
    with _LOADING:
        if full not in sys.modules:
            # By its path: importing it by name would run the package `quaclrs.models` first.
            spec = importlib.util.spec_from_file_location(full, Path(__file__).parent / f"models/{name}.py")
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[full] = module  # dataclasses look their module up
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[full]
                raise
        return sys.modules[full]
