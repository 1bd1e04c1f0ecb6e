"""Torch modules as ONNX graphs: the export itself, and how far ONNX Runtime lies from PyTorch."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from ..errors import QuaclrsError, first_line_of
from ..extras import named_extra
from .quantization import quiet_logging

if TYPE_CHECKING:
    import onnx_ir

#: Largest difference between PyTorch and ONNX Runtime of a probability or a logit, and of an embedding as a share of
#: the largest number in it.
PARITY = 1e-4


def traced(module: nn.Module, inputs: torch.Tensor, name: str, output: str, optimize: bool = True) -> onnx_ir.Model:
    """The graph of a module for batches of any size, with its weights as initializers.

    Args:
        module: in evaluation mode on the CPU.
        inputs: an example, more than one in the batch.
        name, output: of the graph's input and output.
        optimize: fold what is constant, weights too.

    Raises:
        QuaclrsError: a library is missing, or the architecture cannot be exported.
    """
    with named_extra():
        import onnxscript  # noqa: F401 - what torch exports by
    try:
        with quiet_logging(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (inputs,),
                dynamo=True,
                external_data=False,
                input_names=[name],
                output_names=[output],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                optimize=optimize,
                verbose=False,
            )
    except OSError:  # the disk
        raise
    except Exception as error:  # every architecture fails in its own way
        raise QuaclrsError(f"the model cannot be exported to ONNX ({first_line_of(error)})") from error
    assert program is not None
    return program.model


def save_graph(model: onnx_ir.Model, file: Path) -> None:
    """Write a graph without what the export notes beside it: lines of source files, by paths of this machine."""
    import onnx_ir

    for part in (model.graph, *model.graph):
        part.metadata_props.clear()
        part.doc_string = None
    proto = onnx_ir.to_proto(model)
    del proto.graph.value_info[:]  # shapes, which ONNX Runtime infers for itself
    file.write_bytes(proto.SerializeToString())


def largest_difference(
    found: Callable[[np.ndarray], np.ndarray], wanted: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray
) -> float:
    """The largest absolute difference of two functions of batches, for a batch of one and for all of it."""
    return max(float(np.abs(found(batch) - wanted(batch)).max()) for batch in (inputs[:1], inputs))


def refuse_different(file: str | os.PathLike[str], difference: float) -> None:
    """Raise a `QuaclrsError` where a graph lies further than `PARITY` from PyTorch, or gives no numbers."""
    if not difference <= PARITY:
        name = os.path.basename(file)
        raise QuaclrsError(f"{name} differs from PyTorch by {difference:.2g}, more than {PARITY:g}; not exported")
