"""Sounds in, labels out: the classifier behind `quaclrs predict`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig

from .audio import Recording, read_recording
from .errors import QuaclrsError, first_line_of
from .hub import may_be_repo_id
from .models import QuaclrsFeatureExtractor, QuaclrsForAudioClassification, WaveformError

Prediction = list[dict[str, Any]]


def load_classifier(path_or_repo: str | os.PathLike, device: str | None = None) -> AudioClassifier:
    """Load a saved model folder, or a repository of the Hub.

    Args:
        path_or_repo: what `save_pretrained` wrote, or `namespace/name`.
        device: `cpu`, `cuda`, `cuda:1`, `mps`; the best at hand where absent.

    Raises:
        QuaclrsError: the model is not there, is no QUACLRS classifier, lacks weights, or the device does not exist.
    """
    name = os.fspath(path_or_repo)
    if not Path(name).is_dir() and not may_be_repo_id(name):
        raise QuaclrsError(f"model folder {name} does not exist; give the model/ folder of a run or a Hub repository")
    try:
        config = AutoConfig.from_pretrained(name)
        if config.model_type != "quaclrs":
            raise QuaclrsError(f"{name} is a model of type {config.model_type}, not quaclrs; give a QUACLRS classifier")
        # float32 whatever the checkpoint stores: half precision is for disks, not for CPUs.
        loaded: Any = QuaclrsForAudioClassification.from_pretrained(name, dtype=torch.float32, output_loading_info=True)
        model, loading = loaded
        feature_extractor = QuaclrsFeatureExtractor.from_pretrained(name)
    except QuaclrsError:
        raise
    except Exception as error:  # files, JSON, tensors and the Hub client fail in many ways
        raise QuaclrsError(
            f"model {name} cannot be loaded ({first_line_of(error)}); give the model/ folder of a run"
        ) from error
    if loading["missing_keys"]:
        raise QuaclrsError(f"model {name} lacks weights ({min(loading['missing_keys'])} …); it is no whole classifier")
    if feature_extractor.log_mel != model.config.log_mel:
        raise QuaclrsError(f"model {name}: preprocessor_config.json and config.json differ in log_mel; save both anew")
    return AudioClassifier(model, feature_extractor, find_device(device))


def find_device(name: str | None) -> torch.device:
    """The device of that name, or the best at hand; a `QuaclrsError` where this machine has no such device."""
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


class AudioClassifier:
    """A model with its feature extractor on one device; make one with `load_classifier`."""

    def __init__(
        self,
        model: QuaclrsForAudioClassification,
        feature_extractor: QuaclrsFeatureExtractor,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.model = model.eval()
        self.model.to(device=self.device)
        self.feature_extractor = feature_extractor

    @property
    def labels(self) -> list[str]:
        """Class names in the order of the logits."""
        return [self.model.config.id2label[i] for i in range(self.model.config.num_labels)]

    def predict(
        self,
        sound: Any,
        sampling_rate: int | None = None,
        top_k: int | None = None,
        batch_size: int = 8,
    ) -> Prediction | list[Prediction]:
        """Classify one sound or a list of them.

        Args:
            sound: a path; a waveform (samples,) or (channels, samples); or a list of those.
            sampling_rate: of waveforms, in Hz; the model's own where absent. Files know theirs.
            top_k: how many classes to return, all where absent.
            batch_size: sounds that go through the model at once.

        Returns:
            `{"label", "score"}` dictionaries, best first, scores in [0, 1]; a list of such lists for a list of sounds.

        Raises:
            QuaclrsError: a sound that cannot be decoded or holds no usable samples.
        """
        if isinstance(sound, (list, tuple)):
            return list(self.predict_many(sound, sampling_rate, top_k, batch_size))
        return next(self.predict_many([sound], sampling_rate, top_k))

    def predict_many(
        self, sounds: Iterable[Any], sampling_rate: int | None = None, top_k: int | None = None, batch_size: int = 8
    ) -> Iterator[Prediction]:
        """Predictions one by one as `predict` makes them, holding one batch in memory however many sounds there are."""
        if batch_size < 1 or (top_k is not None and top_k < 1):
            raise QuaclrsError(f"batch size {batch_size} and top-k {top_k} must be 1 or more")
        waiting, labels = iter(sounds), self.labels
        while batch := list(islice(waiting, batch_size)):
            for scores in self.probabilities(batch, sampling_rate):
                best = np.argsort(-scores, kind="stable")[:top_k]
                yield [{"label": labels[i], "score": float(scores[i])} for i in best]

    @torch.inference_mode()
    def probabilities(self, sounds: Sequence[Any], sampling_rate: int | None = None) -> np.ndarray:
        """Class probabilities of sounds that go through the model at once, each as `predict` takes it.

        Returns:
            (sounds, classes), float64, columns in the order of `labels`.

        Raises:
            QuaclrsError: no sound, or one that cannot be decoded or holds no usable samples.
        """
        if len(sounds) == 0:
            raise QuaclrsError("there is no sound to classify; give one or more")
        inputs = np.concatenate([self._prepare(sound, sampling_rate) for sound in sounds])
        logits = self.model(input_values=torch.from_numpy(inputs).to(self.device)).logits
        return logits.cpu().double().softmax(-1).numpy()

    def _prepare(self, sound: Any, sampling_rate: int | None) -> np.ndarray:
        if isinstance(sound, (str, os.PathLike)):
            sound = read_recording(Path(sound))
        if isinstance(sound, Recording):
            sound, sampling_rate = sound.waveform, sound.sampling_rate
        try:
            return self.feature_extractor([sound], sampling_rate=sampling_rate)["input_values"]
        except WaveformError as error:
            raise QuaclrsError(str(error)) from error
