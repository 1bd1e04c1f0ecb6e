"""`model.onnx` beside a model's weights: its encoder's graph, by which ONNX Runtime runs the model without torch."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..errors import QuaclrsError
from ..files import name_unwritable, written
from ..models import QuaclrsModel
from ..saved_model import GRAPH, SavedModel, open_saved_model
from .encoder_graph import EMBEDDINGS, ENCODER, encoder_of
from .graphs import largest_difference, refuse_different, save_graph, traced
from .onnx import load_model
from .pytorch import TorchClassifier, load_torch_classifier


class _WaveformToEmbedding(nn.Module):
    def __init__(self, encoder: QuaclrsModel) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_values: torch.Tensor) -> torch.Tensor:
        return self.encoder(input_values=input_values).pooler_output


def write_encoder_graph(folder: str | os.PathLike[str], known: Path | None = None) -> float:
    """Write `model.onnx` into the folder of a classifier, and compare what it gives with PyTorch before it stays there.

    The graph names the weights and holds none of them, so it stays right when they are trained further, and for any
    classes. It is of the options in `config.json`.

    Args:
        folder: that `save_pretrained` wrote. A former graph is replaced.
        known: graph of a model that may have the same encoder: where it has, it is copied, and the export saved.

    Returns:
        The largest difference from PyTorch on noise: of a probability, or of an embedding as a share of its largest
        number.

    Raises:
        QuaclrsError: the folder holds no whole classifier, a library is missing, the architecture cannot be exported,
            or the graph differs from PyTorch by more than `PARITY`.
    """
    saved = open_saved_model(folder)
    classifier = load_torch_classifier(folder, "cpu")
    noise = np.random.default_rng(0).normal(0, 0.1, (3, saved.log_mel.n_samples)).astype(np.float32)
    with name_unwritable(saved.folder / GRAPH), written(saved.folder / GRAPH) as file:
        if known is not None and known.is_file():
            with suppress(QuaclrsError):  # of another encoder, or of an older version
                shutil.copyfile(known, file)
                return _checked_difference(saved, file, classifier, noise)
        encoder = _WaveformToEmbedding(classifier.model.quaclrs).eval()
        weights = {f"encoder.{n}": n for n, t in encoder.encoder.state_dict().items() if t.is_floating_point()}
        graph = traced(encoder, torch.from_numpy(noise), "input_values", EMBEDDINGS, weights)
        graph.metadata_props[ENCODER] = json.dumps(encoder_of(saved.options))
        save_graph(graph, file)
        return _checked_difference(saved, file, classifier, noise)


def _checked_difference(saved: SavedModel, file: Path, classifier: TorchClassifier, noise: np.ndarray) -> float:
    """Measure how far a graph is from PyTorch; a `QuaclrsError` where that is too far, or it is of another model."""
    found = load_model(saved, threads=1, graph=file)
    size = float(np.abs(classifier.embed_waveforms(noise)).max())
    difference = max(
        largest_difference(found.classify, classifier.classify, noise),
        largest_difference(found.embed_waveforms, classifier.embed_waveforms, noise) / size,
    )
    refuse_different(file, difference)
    return difference
