"""Front end and Transformers models of QUACLRS. Names load when used: `LogMelConfig` needs no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..extras import named_extra

if TYPE_CHECKING:
    from .backbone_specs import AUDIO_BACKBONES, PAPER_BACKBONES, BackboneError, find_backbone
    from .backbones import Backbone
    from .configuration_log_mel import PAD_MODES, LogMelConfig
    from .configuration_quaclrs import QuaclrsConfig
    from .feature_extraction_quaclrs import QuaclrsFeatureExtractor
    from .log_mel import LogMelSpectrogram
    from .modeling_quaclrs import QuaclrsForAudioClassification, QuaclrsModel, QuaclrsPreTrainedModel
    from .waveforms import WaveformError

_MODULE_OF_NAME = {
    "AUDIO_BACKBONES": "backbone_specs",
    "PAD_MODES": "configuration_log_mel",
    "PAPER_BACKBONES": "backbone_specs",
    "Backbone": "backbones",
    "BackboneError": "backbone_specs",
    "LogMelConfig": "configuration_log_mel",
    "LogMelSpectrogram": "log_mel",
    "QuaclrsConfig": "configuration_quaclrs",
    "QuaclrsFeatureExtractor": "feature_extraction_quaclrs",
    "QuaclrsForAudioClassification": "modeling_quaclrs",
    "QuaclrsModel": "modeling_quaclrs",
    "QuaclrsPreTrainedModel": "modeling_quaclrs",
    "WaveformError": "waveforms",
    "find_backbone": "backbone_specs",
}

__all__ = [
    "AUDIO_BACKBONES",
    "PAD_MODES",
    "PAPER_BACKBONES",
    "Backbone",
    "BackboneError",
    "LogMelConfig",
    "LogMelSpectrogram",
    "QuaclrsConfig",
    "QuaclrsFeatureExtractor",
    "QuaclrsForAudioClassification",
    "QuaclrsModel",
    "QuaclrsPreTrainedModel",
    "WaveformError",
    "find_backbone",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULE_OF_NAME[name]
    with named_extra():
        if module.endswith("_quaclrs"):  # who has such a class may use the Auto classes
            importlib.import_module("quaclrs.auto")
        return getattr(importlib.import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return __all__
