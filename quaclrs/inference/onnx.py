"""The classifier that runs in ONNX Runtime: what `quaclrs export` wrote, without torch or transformers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import QuaclrsError, first_line_of
from ..files import refuse_pointer
from ..models import LogMelConfig
from ..models.configuration_checks import check_false_alarms, labels_in_order
from ..text_files import read_mapping
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
        QuaclrsError: no folder, one without an export, a graph that is damaged, of another kind or keeps its weights in
            other files, or ONNX Runtime is not installed.
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
        config = read_mapping(folder / CONFIG, f"write it with `quaclrs export --output-dir {folder}`")
        labels = labels_in_order(config.get("id2label"))
        log_mel = LogMelConfig.from_dict(config.get("log_mel", ""))
        false_alarms = check_false_alarms(config.get("false_alarms"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # errors are raised; it would print them too
        refuse_pointer(graph)
        content = graph.read_bytes()
        _refuse_external_data(content)
        # From memory: ONNX Runtime before 1.24 follows a path in the graph to any file of the machine.
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        _refuse_other_graph(session, log_mel.n_samples, len(labels))
    except QuaclrsError:
        raise
    except Exception as error:  # JSON, missing entries and ONNX Runtime fail in many ways
        raise QuaclrsError(f"export {folder} cannot be loaded ({first_line_of(error)}); export it anew") from error
    return OnnxClassifier(session, labels, log_mel, false_alarms)


class OnnxClassifier(AudioClassifier):
    """An `AudioClassifier` in ONNX Runtime.

    Args:
        session: of a graph that takes waveforms to probabilities.
        labels, log_mel, false_alarms: as for `AudioClassifier`.
    """

    def __init__(self, session: Any, labels: list[str], log_mel: Any, false_alarms: Any = None) -> None:
        super().__init__(labels, log_mel, false_alarms)
        self.session = session

    def _scores_of(self, waveforms: np.ndarray) -> np.ndarray:
        name = self.session.get_inputs()[0].name
        try:
            (probabilities,) = self.session.run(None, {name: np.ascontiguousarray(waveforms, dtype=np.float32)})
        except Exception as error:  # a graph of somebody else's fails in its own way
            raise QuaclrsError(f"the graph cannot be run ({first_line_of(error)}); export it anew") from error
        if np.shape(probabilities) != (len(waveforms), len(self.labels)):
            raise QuaclrsError(f"the graph gives scores of shape {np.shape(probabilities)}; export it anew")
        return probabilities.astype(np.float64)


def _refuse_external_data(content: bytes) -> None:
    """Raise a `ValueError` where a graph names files for its weights: an export keeps them inside."""
    if b"location" not in content:  # the key under which it would name them; the package onnx takes long to import
        return
    try:
        import onnx
    except ImportError as error:
        raise ValueError("it may keep its weights in other files; pip install onnx, to look") from error
    waiting: list[Any] = [onnx.load_model_from_string(content)]
    while waiting:
        message = waiting.pop()
        if isinstance(message, onnx.TensorProto) and (message.external_data or message.data_location):
            raise ValueError(f"its weights {message.name[:80]} lie in another file, which is not read")
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting += value if isinstance(value, Sequence) else [value]


def _refuse_other_graph(session: Any, samples: int, classes: int) -> None:
    """Raise a `ValueError` unless a graph takes such waveforms to probabilities of so many classes."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(f"its graph has {len(inputs)} inputs and {len(outputs)} outputs, not one of each")
    for part, what, size in ((inputs[0], "takes", samples), (outputs[0], "gives", classes)):
        if part.type != "tensor(float)" or len(part.shape) != 2 or part.shape[1] not in (size, None):
            raise ValueError(f"its graph {what} {part.type} of shape {part.shape}, not floats (batch, {size})")
