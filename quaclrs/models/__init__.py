"""Transformers models of QUACLRS. Importing this registers them with the Auto classes and imports torch."""

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification

from .backbones import AUDIO_BACKBONES, PAPER_BACKBONES, Backbone, BackboneError, find_backbone
from .configuration_log_mel import PAD_MODES, LogMelConfig
from .configuration_quaclrs import QuaclrsConfig
from .feature_extraction_quaclrs import QuaclrsFeatureExtractor
from .log_mel import LogMelSpectrogram
from .modeling_quaclrs import QuaclrsForAudioClassification, QuaclrsModel, QuaclrsPreTrainedModel
from .waveforms import WaveformError

AutoConfig.register("quaclrs", QuaclrsConfig, exist_ok=True)
AutoModel.register(QuaclrsConfig, QuaclrsModel, exist_ok=True)
AutoModelForAudioClassification.register(QuaclrsConfig, QuaclrsForAudioClassification, exist_ok=True)
AutoFeatureExtractor.register(QuaclrsConfig, QuaclrsFeatureExtractor, exist_ok=True)

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
