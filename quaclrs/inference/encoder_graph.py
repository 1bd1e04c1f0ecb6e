"""The encoder as an ONNX graph: `model.onnx` beside the weights of a model, waveforms in, embeddings out.

The graph holds no weights. It names them as `QuaclrsModel` does, and gets them from `model.safetensors` when it is
loaded: so they lie in a folder once, in half precision, and a graph serves every model of the same encoder, whatever
its weights and classes. Nothing here imports torch or onnx.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..models import LogMelConfig
from ..models.configuration_checks import complete_encoders

#: Name of the graph's output, and of the entry of its metadata that says which encoder it is.
EMBEDDINGS, ENCODER = "embeddings", "quaclrs.encoder"

#: Prefix of the encoder's weights in a classifier, and that of the classifier's own.
BASE, HEAD = "quaclrs.", "classifier."

#: Options of a configuration that the graph follows from.
_OPTIONS = (
    "backbone",
    "log_mel",
    "image_mean",
    "image_std",
    "pooling",
    "patch_overlap",
    "tag_groups",
    "earlier_stages",
    "more_encoders",
    "standardize",
)

#: Options of the front end that act before the graph, or after it.
_OUTSIDE = ("pad_mode", "silence_dbfs")

#: Numbers of fields in ONNX's Protocol Buffers, and of the type and the place of data.
_MODEL_GRAPH, _GRAPH_INITIALIZER = 7, 5
_DIMS, _TYPE, _NAME, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 13, 14
_FLOAT, _EXTERNAL = 1, 1


def encoder_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a configuration that decide what its encoder's graph is, all of them written out.

    Args:
        options: of a `config.json`, or those that a graph was written with, perhaps by an older version.

    Raises:
        ValueError: they are impossible.
    """
    encoder: dict[str, Any] = {name: options.get(name) for name in _OPTIONS}
    log_mel = LogMelConfig.from_dict(encoder["log_mel"] or {}).to_dict()
    others = complete_encoders(encoder["more_encoders"], log_mel)
    encoder |= {
        "log_mel": log_mel,
        "more_encoders": others,
        "pooling": encoder["pooling"] or "mean",
        "patch_overlap": float(encoder["patch_overlap"] or 0),
        "earlier_stages": int(encoder["earlier_stages"] or 0),
        "standardize": bool(encoder["standardize"]),
    }
    for one in (encoder, *(others or [])):
        if not one["earlier_stages"]:
            del one["earlier_stages"]  # encoders without them keep the digests that they had before there were any
    for front_end in (log_mel, *(other["log_mel"] for other in others or [])):
        for name in _OUTSIDE:
            del front_end[name]
    return json.loads(json.dumps(encoder))  # tuples become lists


def with_weights(graph: bytes, weights: Mapping[str, np.ndarray]) -> bytes:
    """A serialised model whose graph also names these weights as initializers, whose data the session is to be given.

    Protocol Buffers merge what is written twice, so the names can follow the graph, which need not be parsed.
    """
    return graph + _message(
        _MODEL_GRAPH, b"".join(_message(_GRAPH_INITIALIZER, _initializer(*item)) for item in weights.items())
    )


def _initializer(name: str, array: np.ndarray) -> bytes:
    return (
        b"".join(_number(_DIMS, size) for size in array.shape)
        + _number(_TYPE, _FLOAT)
        + _message(_NAME, name.encode())
        + _message(_EXTERNAL_DATA, _message(1, b"location") + _message(2, b"given to the session"))
        + _number(_DATA_LOCATION, _EXTERNAL)
    )


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all bytes but the last have the highest bit set."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
