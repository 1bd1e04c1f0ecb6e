"""Classifier in ONNX Runtime, without torch or transformers, by a model's own graph or an export."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import QuaclrsError, first_line_of
from ..files import refuse_pointer
from ..models import LogMelConfig
from ..models.configuration_checks import check_false_alarms, labels_in_order
from ..saved_model import GRAPH, WEIGHTS, SavedModel, find_model_folder, open_saved_model
from ..text_files import read_mapping
from .classifier import AudioClassifier
from .encoder_graph import BASE, EMBEDDINGS, ENCODER, HEAD, encoder_of, with_weights
from .head import LinearHead, head_of

#: Files of an export: waveforms to probabilities, the same in 8 bits, log-mels to logits, and what graphs do not say.
WAVEFORM, INT8, CLASSIFIER, CONFIG = "model.onnx", "model_int8.onnx", "classifier.onnx", "config.json"

#: Bytes that a message of Protocol Buffers may have.
_LARGEST = (1 << 31) - 1


def load_onnx_classifier(
    path_or_repo: str | os.PathLike[str] | None = None, int8: bool = False, threads: int = 0
) -> OnnxClassifier:
    """Load a model with an ONNX graph: a folder or a repository with weights beside it, or what `quaclrs export` wrote.

    Args:
        path_or_repo: as of `load_classifier`, or the folder of an export.
        int8: take the export's graph in 8 bits.
        threads: windows of a batch that are worked on at once; 0 for all cores that this process may use.

    Raises:
        QuaclrsError: no such model, one without a graph, a graph that is damaged, of another model or keeps its weights
            in other files, weights that are missing or damaged, or ONNX Runtime is not installed.
    """
    folder = find_model_folder(path_or_repo)
    if not int8 and _is_model(folder):
        classifier = load_model(open_saved_model(folder, f"model {path_or_repo or folder}"), threads)
    else:
        classifier = _load_export(folder, int8, threads)
    classifier.loaded_from = (os.path.abspath(folder), int8, threads)
    return classifier


def _is_model(folder: Path) -> bool:
    """True for the folder of a model, whose weights lie beside the graph if they are not lost; False for an export."""
    if (folder / WEIGHTS).is_file():
        return True
    return (folder / CONFIG).is_file() and "model_type" in read_mapping(folder / CONFIG)


def load_model(saved: SavedModel, threads: int = 0, graph: Path | None = None) -> OnnxClassifier:
    """The classifier of a folder with weights and the graph of their encoder; `graph` is another one for the latter."""
    saved.check_front_end()
    graph = graph or saved.folder / GRAPH
    write = f"write it with `quaclrs export --in-place --model {saved.folder}`"
    if not graph.is_file():
        raise QuaclrsError(f"{saved.name} has no {GRAPH}; {write}, or run it with --backend torch")
    weights = {name.removeprefix(BASE): array for name, array in saved.arrays().items()}
    head = head_of(saved, weights)
    try:
        session = _open_session(graph, {n: w for n, w in weights.items() if not n.startswith(HEAD)})
        _refuse_other_graph(session, saved.log_mel.n_samples, head.weight.shape[1], encoder=True)
        written_for = json.loads(session.get_modelmeta().custom_metadata_map.get(ENCODER, "{}"))
        if encoder_of(written_for) != encoder_of(saved.options):
            raise ValueError("it is the graph of another encoder than config.json's")
    except QuaclrsError:
        raise
    except Exception as error:  # a graph of somebody else's fails in its own way
        raise QuaclrsError(f"{graph} cannot be loaded ({first_line_of(error)}); {write}") from error
    return OnnxClassifier(session, saved.labels, saved.log_mel, saved.options.get("false_alarms"), head, threads)


def is_export(folder: Path) -> bool:
    """True for what `quaclrs export` wrote: a graph, and a configuration that is of no model with weights."""
    return (folder / WAVEFORM).is_file() and (folder / CONFIG).is_file() and not _is_model(folder)


def read_export(folder: Path) -> tuple[list[str], LogMelConfig, dict[str, dict[str, float]] | None]:
    """Labels, front end and thresholds (as of `AudioClassifier`) of an export, by its `config.json`.

    Raises:
        QuaclrsError: the file is missing or damaged.
    """
    if not (folder / CONFIG).is_file():
        raise QuaclrsError(f"{folder / CONFIG} does not exist; {_how_to_write(folder)}")
    with _export_named(folder):
        config = read_mapping(folder / CONFIG, _how_to_write(folder))
        labels = labels_in_order(config.get("id2label"))
        log_mel = LogMelConfig.from_dict(config.get("log_mel", ""))
        return labels, log_mel, check_false_alarms(config.get("false_alarms"))


def _load_export(folder: Path, int8: bool, threads: int) -> OnnxClassifier:
    """The classifier of a folder that `quaclrs export` wrote."""
    graph = folder / (INT8 if int8 else WAVEFORM)
    if not graph.is_file():
        raise QuaclrsError(f"{graph} does not exist; {_how_to_write(folder)}")
    labels, log_mel, false_alarms = read_export(folder)
    with _export_named(folder):
        session = _open_session(graph)
        _refuse_other_graph(session, log_mel.n_samples, len(labels))
    return OnnxClassifier(session, labels, log_mel, false_alarms, threads=threads)


def _how_to_write(folder: Path) -> str:
    return f"write it with `quaclrs export --output-dir {folder}`"


@contextmanager
def _export_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except QuaclrsError:
        raise
    except Exception as error:  # JSON, missing entries and ONNX Runtime fail in many ways
        raise QuaclrsError(f"export {folder} cannot be loaded ({first_line_of(error)}); export it anew") from error


class OnnxClassifier(AudioClassifier):
    """An `AudioClassifier` in ONNX Runtime.

    Args:
        session: of a graph that takes waveforms to embeddings, or, without `head`, to probabilities.
        labels, log_mel, false_alarms: as for `AudioClassifier`.
        head: on the embeddings.
        threads: as of `load_onnx_classifier`.

    Attributes:
        loaded_from: arguments of `load_onnx_classifier`, by which another process loads it anew; None without a folder.
    """

    loaded_from: tuple[str, bool, int] | None = None

    def __init__(
        self,
        session: Any,
        labels: Sequence[str],
        log_mel: LogMelConfig,
        false_alarms: Mapping[str, Mapping[str, float]] | None = None,
        head: LinearHead | None = None,
        threads: int = 0,
    ) -> None:
        super().__init__(labels, log_mel, false_alarms)
        self.session = session
        self.head = head
        self.threads = threads or usable_cores()

    def __reduce__(self) -> Any:
        """Let `pickle`, and so a pool of processes, take it along: a session stays where it is."""
        return super().__reduce__() if self.loaded_from is None else (load_onnx_classifier, self.loaded_from)

    def _scores_of(self, waveforms: np.ndarray) -> np.ndarray:
        if self.head is None:
            return self._run(waveforms, len(self.labels)).astype(np.float64)
        return self.head.scores(self._embeddings_of(waveforms), self.log_mel_config.is_silent(waveforms))

    def _embeddings_of(self, waveforms: np.ndarray) -> np.ndarray:
        if self.head is None:
            raise QuaclrsError("an export gives scores and no embeddings; give the model that it was made of")
        return self._run(waveforms, self.head.weight.shape[1])

    def _run(self, waveforms: np.ndarray, size: int) -> np.ndarray:
        """Run waveforms, a share on each thread, and return values (clips, size).

        Threads that share one clip would wait for each other in every layer: for long where another program has a core.
        """
        shares = np.array_split(waveforms, max(1, min(self.threads, len(waveforms))))
        if len(shares) == 1:
            return self._run_share(waveforms, size)
        from concurrent.futures import ThreadPoolExecutor  # takes time to import, which a single sound does without

        with ThreadPoolExecutor(len(shares)) as pool:
            return np.concatenate(list(pool.map(lambda share: self._run_share(share, size), shares)))

    def _run_share(self, waveforms: np.ndarray, size: int) -> np.ndarray:
        name = self.session.get_inputs()[0].name
        try:
            (values,) = self.session.run(None, {name: np.ascontiguousarray(waveforms, dtype=np.float32)})
        except Exception as error:  # a graph of somebody else's fails in its own way
            raise QuaclrsError(f"the graph cannot be run ({first_line_of(error)}); export it anew") from error
        if np.shape(values) != (len(waveforms), size):
            raise QuaclrsError(f"the graph gives values of shape {np.shape(values)}; export it anew")
        return values


def _open_session(graph: Path, weights: Mapping[str, np.ndarray] | None = None) -> Any:
    """Open a session of a graph on the CPU with these weights; a `ValueError` where the graph names other files."""
    try:
        import onnxruntime
    except ImportError as error:
        raise QuaclrsError("--backend onnx needs ONNX Runtime; pip install onnxruntime") from error
    refuse_pointer(graph)
    if graph.stat().st_size > _LARGEST:
        raise ValueError("it is larger than a graph can be")
    content = graph.read_bytes()
    _refuse_external_data(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised; it would print them too
    if weights:
        content = with_weights(content, weights)
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(w)) for w in weights.values()]
        options.add_external_initializers(list(weights), values)
    # From memory: ONNX Runtime before 1.24 follows a path in the graph to any file of the machine.
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def usable_cores() -> int:
    """Cores that this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _refuse_external_data(content: bytes) -> None:
    """Raise a `ValueError` where a graph names files for its weights: none of ours does."""
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


def _refuse_other_graph(session: Any, samples: int, size: int, encoder: bool = False) -> None:
    """Raise a `ValueError` unless a graph takes such waveforms to `size` scores, or an encoder's embeddings."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(f"its graph has {len(inputs)} inputs and {len(outputs)} outputs, not one of each")
    for part, what, values in ((inputs[0], "takes", samples), (outputs[0], "gives", size)):
        if part.type != "tensor(float)" or len(part.shape) != 2 or part.shape[1] not in (values, None):
            raise ValueError(f"its graph {what} {part.type} of shape {part.shape}, not floats (batch, {values})")
    if (outputs[0].name == EMBEDDINGS) != encoder:
        raise ValueError(f"its graph gives {outputs[0].name[:40]}, not {EMBEDDINGS if encoder else 'probabilities'}")
