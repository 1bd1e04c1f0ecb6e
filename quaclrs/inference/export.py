"""A classifier as ONNX graphs, with the front end and without, and a script that runs them without torch."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import try_to_load_from_cache
from torch import nn

from ..files import name_unwritable, refuse_used_folder, written
from ..models import QuaclrsForAudioClassification
from .export_card import CARD, MODEL_CARD, export_card
from .graphs import largest_difference, refuse_different, save_graph, traced
from .onnx import CLASSIFIER, CONFIG, WAVEFORM
from .pytorch import TorchClassifier

_SCRIPT = Path(__file__).with_name("onnx_script.py.txt")


class _WaveformToProbabilities(nn.Module):
    def __init__(self, model: QuaclrsForAudioClassification) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        return self.model.probabilities(self.model(input_values=input_values).logits)


class _LogMelToLogits(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_features: torch.Tensor) -> torch.Tensor:
        return self.model(input_features=input_features).logits


def export_onnx(classifier: TorchClassifier, folder: str | os.PathLike[str]) -> float:
    """Write a folder that runs without torch: two graphs, their configuration, a script, the model's licence, a card.

    `model.onnx` takes waveforms (batch, samples) to probabilities; `classifier.onnx`, of a model of one encoder, takes
    log-mels (batch, mels, frames) to logits. They are compared with PyTorch on noise before anything is left in the
    folder.

    Args:
        classifier: any; it is exported from the CPU.
        folder: new or empty.

    Returns:
        The largest difference of a probability or a logit from PyTorch's.

    Raises:
        QuaclrsError: the folder holds something, ONNX is not installed, the architecture cannot be exported, or a graph
            differs from PyTorch by more than `PARITY`.
    """
    folder = Path(folder)
    refuse_used_folder(folder)
    model, log_mel = copy.deepcopy(classifier.model).cpu().eval(), classifier.log_mel_config
    noise = np.random.default_rng(0).normal(0, 0.1, (3, log_mel.n_samples))
    waveforms = torch.from_numpy(noise.astype(np.float32))
    classifier.classify(waveforms.numpy())  # before minutes are spent on scores that are NaN or infinite
    graphs: list[tuple[nn.Module, str, torch.Tensor, str, str]] = [
        (_WaveformToProbabilities(model), "input_values", waveforms, "probabilities", WAVEFORM)
    ]
    if not model.config.more_encoders:  # several encoders have a log-mel each
        with torch.inference_mode():
            log_mels = model.quaclrs.log_mel(waveforms)
        graphs.append((_LogMelToLogits(model), "input_features", log_mels, "logits", CLASSIFIER))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with name_unwritable(folder), written(folder) as unfinished:
        unfinished.mkdir()
        differences = [
            _export_graph(graph, name, inputs, outputs, unfinished / file)
            for graph, name, inputs, outputs, file in graphs
        ]
        config = {
            "id2label": {str(i): label for i, label in enumerate(classifier.labels)},
            "log_mel": log_mel.to_dict(),
            **({"false_alarms": classifier.false_alarms} if classifier.false_alarms else {}),
        }
        (unfinished / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        shutil.copy(_SCRIPT, unfinished / "predict.py")
        for name, kept_as in (("LICENSE", "LICENSE"), (CARD, MODEL_CARD)):
            if source := _file_of(classifier.model.name_or_path, name):
                shutil.copy(source, unfinished / kept_as)
        (unfinished / CARD).write_text(export_card(classifier.labels, log_mel, unfinished), encoding="utf-8")
    return max(differences)


def _file_of(model: str, name: str) -> Path | None:
    """A file that lies beside a model's weights, in a folder or in the Hub's cache; None where there is none."""
    if not model:  # made in memory
        return None
    if Path(model).is_dir():
        return file if (file := Path(model) / name).is_file() else None
    found = try_to_load_from_cache(model, name)
    return Path(found) if isinstance(found, str) else None


def _export_graph(graph: nn.Module, name: str, inputs: torch.Tensor, output: str, file: Path) -> float:
    """Write a graph for batches of any size; the largest difference of its output from PyTorch's."""
    save_graph(traced(graph.eval(), inputs, name, output), file)
    import onnxruntime

    session = onnxruntime.InferenceSession(os.fspath(file), providers=["CPUExecutionProvider"])

    @torch.inference_mode()
    def of_torch(batch: np.ndarray) -> np.ndarray:
        return graph(torch.from_numpy(batch)).numpy()

    def of_onnx(batch: np.ndarray) -> np.ndarray:
        return session.run(None, {name: batch})[0]

    difference = largest_difference(of_onnx, of_torch, inputs.numpy())
    refuse_different(file, difference)
    return difference
