"""Make every shape of a model a number: pin the batch, infer the rest, check that all is known.

onnx's own inference does the work, on a copy in which Quant nodes (which it does not know) are
Identity; what it returns is believed only after it was bounded.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from joulecut.compiler.errors import Finding, UntrustedInputError
from joulecut.compiler.graph import Graph, values
from joulecut.compiler.model_checks import bounded_product
from joulecut.compiler.support import QONNX_DOMAIN


def pin_batch(model: onnx.ModelProto, batch: int) -> tuple[Finding, ...]:
    """Fix the batch, in place; what else is not a number is a finding.

    The batch is a first dimension of an input that has no number; every dimension of the same
    name is the batch too. Shapes that the file records for other values are dropped: they are
    inferred anew.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    batch_names = {
        dims[0].dim_param for dims in map(_dims, inputs) if dims and dims[0].dim_param
    }
    findings: list[Finding] = []
    for value in inputs:
        for i, dim in enumerate(_dims(value)):
            if dim.dim_value > 0:
                continue
            if i == 0 or dim.dim_param in batch_names:
                dim.dim_value = batch
            else:
                reason = f"dimension {i} of the input must be a number, not '{dim.dim_param}'"
                fix = "export with fixed sizes; only the batch may be dynamic"
                findings.append(Finding(value.name, "Input", reason, fix))
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    return tuple(findings)


def infer_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, tuple[int, ...] | None]]:
    """Element type and shape (None where not all numbers) of each value by name.

    Raises:
        UntrustedInputError: shapes contradict each other.
    """
    skeleton = onnx.ModelProto()
    skeleton.CopyFrom(model)
    for node in skeleton.graph.node:
        if node.domain == QONNX_DOMAIN:
            node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output))
    try:
        inferred = onnx.shape_inference.infer_shapes(
            skeleton, check_type=True, strict_mode=True, data_prop=True
        )
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise UntrustedInputError(f"shapes must agree along the graph: {text}") from error
    graph = inferred.graph
    return {
        value.name: (value.type.tensor_type.elem_type, _known(value))
        for value in (*graph.input, *graph.value_info, *graph.output)
    }


def record_shapes(
    graph: Graph, known: dict[str, tuple[int, tuple[int, ...] | None]]
) -> tuple[Finding, ...]:
    """Write inferred types and shapes into the graph; values without are findings."""
    findings: list[Finding] = []
    for value in values(graph):
        element, shape = known.get(value.name or "", (0, None))
        if value.name and (shape is None or element == 0):
            maker = value.producer()
            op_type = "Input" if maker is None else maker.op_type
            reason = "the shape of its output cannot be worked out"
            fix = "export with fixed sizes; only the batch may be dynamic"
            findings.append(Finding(value.name, op_type, reason, fix))
        elif value.name and shape is not None:
            value.dtype = ir.DataType(element)
            value.shape = ir.Shape(shape)
    return tuple(findings)


def _dims(value: onnx.ValueInfoProto) -> list[onnx.TensorShapeProto.Dimension]:
    return list(value.type.tensor_type.shape.dim)


def _known(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    dims = _dims(value)
    if not value.type.tensor_type.HasField("shape") or any(
        not dim.HasField("dim_value") for dim in dims
    ):
        return None
    shape = tuple(dim.dim_value for dim in dims)
    if bounded_product(shape, value.name) == 0:
        raise UntrustedInputError(f"'{value.name}' must have elements, not shape {list(shape)}")
    return shape
