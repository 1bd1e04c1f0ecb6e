"""Classifier in PyTorch."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from ..errors import QuaclrsError
from ..models import QuaclrsFeatureExtractor, QuaclrsForAudioClassification
from ..saved_model import open_saved_model
from .classifier import AudioClassifier


def load_torch_classifier(
    path_or_repo: str | os.PathLike[str] | None = None, device: str | None = None
) -> TorchClassifier:
    """Load a saved model folder, a repository of the Hub, or the model that comes with the package.

    Args:
        path_or_repo, device: as of `load_classifier`.

    Raises:
        QuaclrsError: the model is not there, is not a QUACLRS classifier, its options are impossible, its weights are
            not safetensors, missing or damaged, or the device does not exist.
    """
    saved = open_saved_model(path_or_repo)
    saved.check_front_end()
    model = saved.load(QuaclrsForAudioClassification)
    return TorchClassifier(model, QuaclrsFeatureExtractor(log_mel=saved.options["log_mel"]), find_device(device))


def find_device(name: str | None) -> torch.device:
    """Find the device of that name, or the best one; a `QuaclrsError` where this machine lacks it."""
    if name is None:
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise QuaclrsError(f"device {name!r} cannot be used on this machine; try --device cpu") from error
    return device


class TorchClassifier(AudioClassifier):
    """An `AudioClassifier` in PyTorch.

    Args:
        model: on any device; moved to `device`.
        feature_extractor: of the model.
        device: the CPU where absent.
    """

    def __init__(
        self,
        model: QuaclrsForAudioClassification,
        feature_extractor: QuaclrsFeatureExtractor,
        device: torch.device | None = None,
    ) -> None:
        id2label: Any = model.config.id2label
        super().__init__(
            [id2label[i] for i in range(len(id2label))], feature_extractor.log_mel_config, model.config.false_alarms
        )
        self.device = device or torch.device("cpu")
        self.model = model.eval()
        self.model.to(device=self.device)
        # What convolutions are fastest in, on CPUs and on tensor cores.
        self.model.quaclrs.to(memory_format=torch.channels_last)
        self.feature_extractor = feature_extractor

    @torch.inference_mode()
    def _scores_of(self, waveforms: np.ndarray) -> np.ndarray:
        inputs = torch.from_numpy(np.ascontiguousarray(waveforms)).to(self.device)
        return self.model.probabilities(self.model(input_values=inputs).logits.cpu().double()).numpy()

    @torch.inference_mode()
    def _embeddings_of(self, waveforms: np.ndarray) -> np.ndarray:
        inputs = torch.from_numpy(np.ascontiguousarray(waveforms)).to(self.device)
        return self.model.quaclrs(input_values=inputs).pooler_output.float().cpu().numpy()
