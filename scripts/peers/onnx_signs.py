"""A QDQ model  =>  the same network with int8, or with uint8, activations.

    zero point z of uint8  <=>  zero point z - 128 of int8

Which of the two is faster is onnxruntime's affair: its kernels differ. Weights stay as they
are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from joulecut.compiler.errors import ConfigError

_TYPES = {True: TensorProto.INT8, False: TensorProto.UINT8}
_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


def with_signs(model: onnx.ModelProto, *, signed: bool) -> onnx.ModelProto:
    """A copy whose 8-bit activations all have one type.

    Raises:
        ConfigError: something else than quantizers computes on the integers, or a quantizer's
            zero point is not constant.
    """
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in _QUANTIZERS and node.input[0] not in constants:
            zero_point = _zero_point(node, constants)
            if zero_point.dtype.name in ("int8", "uint8"):
                name = f"{node.output[0]}_zero_{'signed' if signed else 'unsigned'}"
                moved = _moved(zero_point, signed)
                graph.initializer.append(numpy_helper.from_array(moved, name))
                node.input[2:] = [name]
    for value in (*graph.input, *graph.output):
        kind = value.type.tensor_type
        if value.name not in constants and kind.elem_type in _TYPES.values():
            kind.elem_type = _TYPES[signed]
    for node in _others_on_integers(found):
        raise ConfigError(
            f"8-bit integers must be read by quantizers only, not by {node.op_type} "
            f"'{node.name}'; export the model with its quantizers around every operator"
        )
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]  # some speak of the former type
    return found


def _zero_point(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> np.ndarray:
    if len(node.input) < 3:
        return np.array(0, np.uint8)  # ONNX's default
    if node.input[2] not in constants:
        raise ConfigError(f"zero point of {node.op_type} '{node.name}' must be constant")
    return numpy_helper.to_array(constants[node.input[2]])


def _moved(zero_point: np.ndarray, signed: bool) -> np.ndarray:
    """The zero point in the other type; as it is if it has that type."""
    dtype = np.dtype(np.int8 if signed else np.uint8)
    if zero_point.dtype == dtype:
        return zero_point
    return (zero_point.astype(np.int16) + (-128 if signed else 128)).astype(dtype)


def _others_on_integers(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Nodes that compute on what a QuantizeLinear made, or on an integer input."""
    graph = model.graph
    codes = {node.output[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    codes |= {
        value.name
        for value in graph.input
        if value.type.tensor_type.elem_type in _TYPES.values()
    }
    for node in graph.node:
        if node.op_type != "DequantizeLinear" and codes & set(node.input):
            yield node
