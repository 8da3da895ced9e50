"""A QDQ model that takes and gives floats  =>  the same model with integers at both ends.

    x -> QuantizeLinear -> q -> ..   =>   q -> ..
    .. -> q -> DequantizeLinear -> y   =>   .. -> q

Whoever feeds an accelerator has bytes, and two engines compare better without the conversions,
which each does in its own way. Names of inputs and outputs stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from joulecut.compiler.errors import ConfigError


def with_integer_ends(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose inputs and outputs are the codes that the float ones had.

    Raises:
        ConfigError: an input is read by something else than quantizers of one scale and zero
            point, or an output is not made by a DequantizeLinear of its own.
    """
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for value in graph.input:
        if value.name not in constants:
            _strip_input(graph, value, constants)
    for value in graph.output:
        _strip_output(graph, value, constants)
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]  # some speak of values that are gone
    checker: Any = onnx.checker
    checker.check_model(found, full_check=True)
    return found


def _strip_input(
    graph: onnx.GraphProto,
    value: onnx.ValueInfoProto,
    constants: Mapping[str, onnx.TensorProto],
) -> None:
    readers = [node for node in graph.node if value.name in node.input]
    kinds = sorted({node.op_type for node in readers} - {"QuantizeLinear"})
    if kinds or not readers:
        raise ConfigError(
            f"input '{value.name}' must be read by QuantizeLinear only, "
            f"not by {', '.join(kinds) or 'nothing'}; quantize the model's input too"
        )
    meanings = {tuple(_numbers(node, constants)) for node in readers}
    if len(meanings) != 1:
        raise ConfigError(
            f"input '{value.name}' must be quantized in one way, not in {len(meanings)}"
        )
    for reader in readers:
        _rename(graph, reader.output[0], value.name)
        graph.node.remove(reader)
    value.type.tensor_type.elem_type = _element_type(readers[0], constants)


def _strip_output(
    graph: onnx.GraphProto,
    value: onnx.ValueInfoProto,
    constants: Mapping[str, onnx.TensorProto],
) -> None:
    (maker,) = [node for node in graph.node if value.name in node.output]
    codes = maker.input[0] if maker.op_type == "DequantizeLinear" else ""
    is_end = codes in {value.name for value in (*graph.input, *graph.output)}
    is_read = any(value.name in node.input for node in graph.node)
    if not codes or codes in constants or is_end or is_read:
        raise ConfigError(
            f"output '{value.name}' must be made by a DequantizeLinear of its own, "
            f"not by {maker.op_type}; quantize the model's output too"
        )
    value.type.tensor_type.elem_type = _element_type(maker, constants)
    graph.node.remove(maker)
    _rename(graph, codes, value.name)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new


def _numbers(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]
) -> Iterator[tuple[float, ...]]:
    """Scale and zero point."""
    for name in node.input[1:]:
        if name not in constants:
            raise ConfigError(f"{node.op_type} '{node.name}' must have constant scales")
        yield tuple(np.ravel(numpy_helper.to_array(constants[name])).tolist())


def _element_type(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> int:
    """Of the codes: that of the zero point; without one they are uint8."""
    zero_point = constants.get(node.input[2]) if len(node.input) > 2 else None
    return onnx.TensorProto.UINT8 if zero_point is None else zero_point.data_type
