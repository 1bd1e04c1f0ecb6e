"""The classifier that runs in ONNX Runtime: what `quaclrs export` wrote, without torch or transformers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import QuaclrsError, first_line_of
from ..models import LogMelConfig
from .classifier import AudioClassifier

#: Files of an export: waveforms to probabilities, the same in 8 bits, log-mels to logits, and what graphs do not say.
WAVEFORM, INT8, CLASSIFIER, CONFIG = "model.onnx", "model_int8.onnx", "classifier.onnx", "config.json"


def load_onnx_classifier(folder: str | os.PathLike[str] | None, int8: bool = False, threads: int = 0) -> OnnxClassifier:
    """Load a folder that `quaclrs export` wrote.

    Args:
        folder: of the export.
        int8: take the graph in 8 bits.
        threads: of ONNX Runtime; as many as it finds cores where 0.

    Raises:
        QuaclrsError: no folder, one without an export, or ONNX Runtime is not installed.
    """
    if folder is None:
        raise QuaclrsError("--backend onnx needs --model DIR; write DIR with `quaclrs export --output-dir DIR`")
    folder = Path(folder)
    graph = folder / (INT8 if int8 else WAVEFORM)
    for file in (graph, folder / CONFIG):
        if not file.is_file():
            raise QuaclrsError(f"{file} does not exist; write it with `quaclrs export --output-dir {folder}`")
    try:
        import onnxruntime
    except ImportError as error:
        raise QuaclrsError('--backend onnx needs ONNX Runtime; pip install "quaclrs[onnx]"') from error
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        labels = [config["id2label"][str(i)] for i in range(len(config["id2label"]))]
        log_mel = LogMelConfig.from_dict(config["log_mel"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(os.fspath(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # JSON, missing entries and ONNX Runtime fail in many ways
        raise QuaclrsError(f"export {folder} cannot be loaded ({first_line_of(error)}); export it anew") from error
    return OnnxClassifier(session, labels, log_mel)


class OnnxClassifier(AudioClassifier):
    """An `AudioClassifier` in ONNX Runtime.

    Args:
        session: of a graph that takes waveforms to probabilities.
        labels, log_mel: as for `AudioClassifier`.
    """

    def __init__(self, session: Any, labels: list[str], log_mel: Any) -> None:
        super().__init__(labels, log_mel)
        self.session = session

    def classify(self, waveforms: np.ndarray) -> np.ndarray:
        name = self.session.get_inputs()[0].name
        (probabilities,) = self.session.run(None, {name: np.ascontiguousarray(waveforms, dtype=np.float32)})
        return probabilities.astype(np.float64)
