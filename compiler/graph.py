"""Questions about a Graph, which is an `onnx_ir.Model`: sorted, with every shape known.

Two dialects live in the same type. What `load` returns computes in float between
Quantize and Dequantize nodes; what `pipeline` returns computes in integers (docs/spec.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from joulecut.compiler.quant import TensorSpec, qtype_of

Graph = ir.Model
Node = ir.Node
Value = ir.Value

DOMAIN = "joulecut"
DOMAIN_VERSION = 1


def nodes(graph: Graph) -> Iterator[ir.Node]:
    """The nodes in an order in which every value is made before it is used."""
    return iter(graph.graph)


def op_key(node: ir.Node) -> str:
    """`Conv` for ONNX's own operators, `joulecut.Conv` for ours."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def name_of(value: ir.Value) -> str:
    """The name of a value; every value of a Graph has one."""
    assert value.name is not None
    return value.name


def shape_of(value: ir.Value) -> tuple[int, ...]:
    """The shape of a value; every dimension of a Graph is a number."""
    assert value.shape is not None, f"shape of {value.name} must be known"
    return tuple(int(dim) for dim in value.shape)  # pyright: ignore[reportArgumentType]


def dtype_of(value: ir.Value) -> np.dtype[Any]:
    """The numpy type of a value."""
    assert value.dtype is not None, f"type of {value.name} must be known"
    return value.dtype.numpy()


def constant_of(value: ir.Value | None) -> npt.NDArray[Any] | None:
    """The array behind an initializer, or None for a value that is computed."""
    if value is None or value.const_value is None:
        return None
    return value.const_value.numpy()


def is_constant(value: ir.Value) -> bool:
    """Is the value an initializer?"""
    return value.const_value is not None


def spec_of(value: ir.Value) -> TensorSpec:
    """What a caller must know to feed or to read the value."""
    return TensorSpec(name_of(value), shape_of(value), dtype_of(value).name, qtype_of(value))


def input_specs(graph: Graph) -> tuple[TensorSpec, ...]:
    """Specs of the graph's inputs; initializers are not inputs."""
    return tuple(spec_of(value) for value in graph.graph.inputs if not is_constant(value))


def output_specs(graph: Graph) -> tuple[TensorSpec, ...]:
    """Specs of the graph's outputs, in order."""
    return tuple(spec_of(value) for value in graph.graph.outputs)


def values(graph: Graph) -> Iterator[ir.Value]:
    """Every computed value: the inputs, then the outputs of each node."""
    yield from (value for value in graph.graph.inputs if not is_constant(value))
    for node in nodes(graph):
        yield from node.outputs


def activations(node: ir.Node) -> Iterator[ir.Value]:
    """The computed inputs of a node, constants left out."""
    for value in node.inputs:
        if value is not None and not is_constant(value):
            yield value


def attribute(node: ir.Node, name: str, default: object = None) -> object:
    """An attribute as a plain Python value: int, float, str, list of these, or `default`."""
    found = node.attributes.get(name)
    if found is None:
        return default
    value: object = found.value
    return list(cast("list[object]", value)) if isinstance(value, tuple | list) else value


def sizes(specs: Iterable[TensorSpec]) -> int:
    """Bytes of several tensors together."""
    return sum(spec.nbytes for spec in specs)


def element_count(value: ir.Value) -> int:
    """Number of elements of a value."""
    return math.prod(shape_of(value))


def int_of(node: ir.Node, name: str, default: int | None = None) -> int:
    """An attribute that is one integer; without a default it must be there."""
    found = attribute(node, name, default)
    assert isinstance(found, int), f"{op_key(node)} '{node.name}': {name} must be an int"
    return found


def ints_of(node: ir.Node, name: str, default: Iterable[int] | None = None) -> tuple[int, ...]:
    """An attribute that is integers, or one integer; without a default it must be there."""
    found = attribute(node, name, default)
    if isinstance(found, int):
        return (found,)
    assert isinstance(found, Iterable), f"{op_key(node)} '{node.name}': {name} must be ints"
    return tuple(int(number) for number in cast("Iterable[int]", found))


def float_of(node: ir.Node, name: str) -> np.float32:
    """An attribute that is one float; it must be there."""
    found = attribute(node, name)
    assert isinstance(found, float), f"{op_key(node)} '{node.name}': {name} must be a float"
    return np.float32(found)


def text_of(node: ir.Node, name: str, default: str | None = None) -> str:
    """An attribute that is a string; without a default it must be there."""
    found = attribute(node, name, default)
    assert isinstance(found, str), f"{op_key(node)} '{node.name}': {name} must be a string"
    return found
