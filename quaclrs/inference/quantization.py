"""Quantise an exported graph to 8 bits: static, per channel, calibrated on clips, kept only if it labels as well.

Dynamic quantisation does not do: it slows convolutions down and moves their outputs.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import QuaclrsError, first_line_of
from ..extras import named_extra
from ..files import written
from .onnx import INT8, WAVEFORM, load_onnx_classifier

#: Largest fall of the accuracy from float32 to int8, as a share of the clips.
LARGEST_LOSS = 0.01


@dataclass(frozen=True)
class Int8Accuracy:
    """Share of clips, in [0, 1], that each graph labels rightly, and on which both agree."""

    float32: float
    int8: float
    agreement: float


def quantize_export(
    folder: str | os.PathLike[str], calibration: np.ndarray, clips: np.ndarray, labels: np.ndarray
) -> Int8Accuracy:
    """Write `model_int8.onnx` beside an export's `model.onnx`: convolutions and the classifier in 8 bits.

    The front end stays in float32: its decibels span eight orders of magnitude.

    Args:
        folder: of the export.
        calibration: waveforms (clips, samples) of training clips: their activations set the scales.
        clips: waveforms (clips, samples) of other clips, on which both graphs are compared.
        labels: (clips,) their classes.

    Raises:
        QuaclrsError: a library is missing, the graph cannot be quantised, or int8's accuracy falls more than
            `LARGEST_LOSS` below float32's; then no int8 graph is left.
    """
    folder = Path(folder)
    with named_extra():
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    try:
        with quiet_logging(), written(folder / INT8) as made:
            quantize_static(
                folder / WAVEFORM,
                made,
                _Clips(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv", "Gemm"],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
    except Exception as error:  # every architecture fails in its own way
        raise QuaclrsError(f"the graph cannot be quantised ({first_line_of(error)})") from error
    whole, small = (_classes(folder, clips, int8) for int8 in (False, True))
    accuracy = Int8Accuracy(*(float(np.mean(a == b)) for a, b in ((whole, labels), (small, labels), (whole, small))))
    if accuracy.float32 - accuracy.int8 > LARGEST_LOSS:
        (folder / INT8).unlink()
        raise QuaclrsError(
            f"int8 labels {accuracy.int8:.1%} of {len(clips)} clips rightly and float32 "
            f"{accuracy.float32:.1%}: it is not kept; the float32 graph is"
        )
    return accuracy


class _Clips:
    """Calibration clips one by one, as ONNX Runtime asks for them."""

    def __init__(self, clips: np.ndarray) -> None:
        self._left = iter(clips)

    def get_next(self) -> dict[str, np.ndarray] | None:
        clip = next(self._left, None)
        return None if clip is None else {"input_values": clip[None]}


def _classes(folder: Path, clips: np.ndarray, int8: bool) -> np.ndarray:
    classifier = load_onnx_classifier(folder, int8)
    return np.concatenate([classifier.classify(clips[i : i + 8]).argmax(1) for i in range(0, len(clips), 8)])


@contextlib.contextmanager
def quiet_logging() -> Iterator[None]:
    """Silence exporter and quantiser in this block, but for errors."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
