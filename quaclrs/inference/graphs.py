"""Torch modules as ONNX graphs: the export itself, and how far ONNX Runtime lies from PyTorch."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable, Mapping
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


def traced(
    module: nn.Module, inputs: torch.Tensor, name: str, output: str, left_out: Mapping[str, str] | None = None
) -> onnx_ir.Model:
    """Trace a module as a graph for batches of any size, in which everything is folded that is constant.

    Args:
        module: in evaluation mode on the CPU.
        inputs: an example, more than one in the batch.
        name, output: of the graph's input and output.
        left_out: weights, by their name in the module, that the graph only names, as this says.

    Raises:
        QuaclrsError: a library is missing, or the architecture cannot be exported.
    """
    with named_extra():
        import onnx_ir
        from onnxscript.optimizer import optimize
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
                optimize=not left_out,
                verbose=False,
            )
            assert program is not None
            model, graph = program.model, program.model.graph
            if left_out:
                # What is an input while the graph is folded is taken for unknown: batch norms stay what they are.
                weights = [graph.initializers.pop(old) for old in left_out if old in graph.initializers]
                for value in weights:
                    value.const_value = None
                    graph.inputs.append(value)
                optimize(model)
                for value in weights:
                    graph.inputs.remove(value)
                    value.name = left_out[str(value.name)]
    except OSError:  # the disk
        raise
    except Exception as error:  # every architecture fails in its own way
        raise QuaclrsError(f"the model cannot be exported to ONNX ({first_line_of(error)})") from error
    for node in graph:
        if node.op_type == "Resize" and node.attributes.get_int("antialias", 0):
            # PyTorch weighs what lies inside a picture alone; torch 2.8 wrote that its border is weighed too.
            node.attributes["exclude_outside"] = onnx_ir.AttrInt64("exclude_outside", 1)
    return model


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
