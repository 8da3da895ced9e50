"""Checks of a parsed ONNX file that nothing of it has been trusted for yet.

A model file is input from a stranger. Everything that later code takes for granted (sizes that
agree, names that are defined once and before use, an operator set that was tested) is checked
here on the bare protobuf message, before any array is made from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import TensorProto

from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.safe_files import safe_open_under

OPSETS = range(11, 25)  # what the tests run; 10 and older spell Clip and Pad differently
MAX_ELEMENTS = 2**31 - 1
MAX_DEPTH = 4  # of graphs inside nodes; control flow is refused anyway, this bounds the walk

_BITS: dict[int, int] = {
    TensorProto.FLOAT: 32,
    TensorProto.FLOAT16: 16,
    TensorProto.BFLOAT16: 16,
    TensorProto.DOUBLE: 64,
    TensorProto.INT8: 8,
    TensorProto.UINT8: 8,
    TensorProto.INT16: 16,
    TensorProto.UINT16: 16,
    TensorProto.INT32: 32,
    TensorProto.UINT32: 32,
    TensorProto.INT64: 64,
    TensorProto.UINT64: 64,
    TensorProto.BOOL: 8,
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
}
_TYPED_FIELDS: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
}


def check_model(model: onnx.ModelProto, max_bytes: int) -> None:
    """Check structure and sizes; external data is measured, not read.

    Args:
        model: a parsed file.
        max_bytes: what all tensors of the model together may take.

    Raises:
        UntrustedInputError: the first thing that a sound file cannot contain.
    """
    _check_text(model)
    if not model.HasField("graph") or not model.graph.node:
        raise UntrustedInputError("model must contain a graph with nodes, not none")
    if not model.graph.output:
        raise UntrustedInputError("graph must have an output, not none")
    _check_opsets(model)
    _check_depth(model.graph, 0)
    total_bytes = 0
    for tensor in _tensors(model.graph):
        total_bytes += check_tensor_size(tensor)
        if total_bytes > max_bytes:
            raise UntrustedInputError(
                f"tensors of the model must take at most {max_bytes} bytes together, and "
                f"'{tensor.name}' is the one that exceeds it; raise max_bytes if you trust it"
            )
    _check_names(model.graph)
    _check_order(model.graph)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        _check_shape(value)


def check_tensor_size(tensor: TensorProto) -> int:
    """Bytes of a tensor, after its dimensions and its stored data were found to agree."""
    dims = tuple(tensor.dims)
    count = bounded_product(dims, tensor.name)
    bits = _BITS.get(tensor.data_type)
    if bits is None:
        raise UntrustedInputError(
            f"tensor '{tensor.name}' must hold numbers, not ONNX data type {tensor.data_type}"
        )
    nbytes = -(-count * bits // 8)
    if tensor.data_location == TensorProto.EXTERNAL:
        return nbytes
    if tensor.HasField("raw_data"):
        stored, unit = len(tensor.raw_data), "bytes"
        needed = nbytes
    else:
        field = _TYPED_FIELDS.get(tensor.data_type, "int32_data")
        stored, unit = len(getattr(tensor, field)), f"numbers in {field}"
        needed = -(-count * bits // 8) if bits == 4 else count
    if stored != needed:
        raise UntrustedInputError(
            f"tensor '{tensor.name}' of shape {list(dims)} must hold {needed} {unit}, "
            f"not {stored}; the file is truncated or damaged"
        )
    return nbytes


def bounded_product(dims: Sequence[int], name: str) -> int:
    """Number of elements, refused when a dimension is negative or the product is too large."""
    if any(dim < 0 for dim in dims):
        raise UntrustedInputError(f"dimensions of '{name}' must be 0 or more, not {list(dims)}")
    count = math.prod(dims)  # Python's integers do not overflow
    if count > MAX_ELEMENTS or len(dims) > 16:
        raise UntrustedInputError(
            f"'{name}' must have fewer than 2^31 elements in at most 16 dimensions, "
            f"not shape {list(dims)[:16]}"
        )
    return count


def read_external_data(model: onnx.ModelProto, directory: Path) -> None:
    """Bring external tensors into the message, from plain files under `directory` only.

    Raises:
        UntrustedInputError: a path leaves the folder, or offset and length leave the file.
    """
    for tensor in _tensors(model.graph):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        nbytes = check_tensor_size(tensor)
        offset = _whole(entries.get("offset", "0"), tensor.name, "offset")
        length = _whole(entries.get("length", str(nbytes)), tensor.name, "length")
        if length != nbytes:
            raise UntrustedInputError(
                f"external tensor '{tensor.name}' must be {nbytes} bytes long, not {length}"
            )
        with safe_open_under(directory, entries.get("location", "")) as file:
            size = file.seek(0, 2)
            if offset + length > size:
                raise UntrustedInputError(
                    f"external tensor '{tensor.name}' must lie within the {size} bytes of "
                    f"'{entries['location']}', not at {offset} with {length} bytes"
                )
            file.seek(offset)
            tensor.raw_data = file.read(length)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")


def check_finite(model: onnx.ModelProto) -> None:
    """No floating-point weight may be NaN; infinity is how some exporters write "no limit"."""
    for tensor in _tensors(model.graph):
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16):
            array = onnx.numpy_helper.to_array(tensor)
            if np.isnan(array).any():
                raise UntrustedInputError(
                    f"tensor '{tensor.name}' must hold numbers, and "
                    f"{int(np.isnan(array).sum())} of its {array.size} are NaN"
                )


def _check_text(message: Message) -> None:
    """Every string is text: protobuf hands out what is not UTF-8 as bytes."""
    fields: list[tuple[FieldDescriptor, Any]] = list(message.ListFields())
    for field, value in fields:
        many: list[Any] = list(value) if field.is_repeated else [value]
        if field.type == FieldDescriptor.TYPE_STRING:
            for item in many:
                if not isinstance(item, str):
                    raise UntrustedInputError(
                        f"{field.full_name} must be UTF-8 text, not {item!r:.60}"
                    )
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for item in many:
                _check_text(item)


def _whole(text: str, name: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise UntrustedInputError(
            f"{what} of external tensor '{name}' must be a whole number, not {text[:40]!r}"
        )
    return int(text)


def _check_opsets(model: onnx.ModelProto) -> None:
    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if domain in versions:
            raise UntrustedInputError(f"domain '{domain}' must be imported once, not twice")
        versions[domain] = entry.version
    if versions.get("") not in OPSETS:
        raise UntrustedInputError(
            f"ONNX operator set must be {OPSETS.start} to {OPSETS.stop - 1}, not "
            f"{versions.get('')}; export the model again with opset_version=17"
        )


def _subgraphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs


def _check_depth(graph: onnx.GraphProto, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UntrustedInputError(f"graphs must be nested at most {MAX_DEPTH} deep, not more")
    for inner in _subgraphs(graph):
        _check_depth(inner, depth + 1)


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Every dense tensor: initializers and attributes, of the graph and of those within."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
    for inner in _subgraphs(graph):
        yield from _tensors(inner)


def _once(names: Iterable[str], what: str) -> set[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UntrustedInputError(f"{what} '{name}' must be defined once, not twice")
        seen.add(name)
    return seen


def _check_names(graph: onnx.GraphProto) -> None:
    """Static single assignment: a name is defined once and something defines what is read."""
    if any(not item.name for item in (*graph.input, *graph.output, *graph.initializer)):
        raise UntrustedInputError("inputs, outputs and initializers must have a name, not none")
    inputs = _once((value.name for value in graph.input), "input")
    initializers = _once((tensor.name for tensor in graph.initializer), "initializer")
    _once((value.name for value in graph.output), "output")
    made = [name for node in graph.node for name in node.output if name]
    _once((*sorted(inputs | initializers), *made), "value")
    known = inputs | initializers | set(made)
    for node in graph.node:
        for name in node.input:
            if name and name not in known:
                raise UntrustedInputError(
                    f"input '{name}' of {node.op_type} '{node.name}' must be defined "
                    "somewhere in the graph, not nowhere"
                )
    for value in graph.output:
        if value.name not in known:
            raise UntrustedInputError(f"output '{value.name}' must be made by a node")


def _check_order(graph: onnx.GraphProto) -> None:
    """No value may depend on itself (Kahn's algorithm; the order in the file is free)."""
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    missing = [{makers[n] for n in node.input if n in makers} for node in graph.node]
    readers: dict[int, list[int]] = {}
    for i, needed in enumerate(missing):
        for maker in needed:
            readers.setdefault(maker, []).append(i)
    ready = [i for i, needed in enumerate(missing) if not needed]
    done = 0
    while ready:
        maker = ready.pop()
        done += 1
        for reader in readers.get(maker, ()):
            missing[reader].discard(maker)
            if not missing[reader]:
                ready.append(reader)
    if done < len(missing):
        stuck = next(graph.node[i] for i, needed in enumerate(missing) if needed)
        raise UntrustedInputError(
            f"graph must have no cycle, and {stuck.op_type} '{stuck.name}' depends on itself"
        )


def _check_shape(value: onnx.ValueInfoProto) -> None:
    dims = value.type.tensor_type.shape.dim
    known = [dim.dim_value for dim in dims if dim.HasField("dim_value")]
    bounded_product([dim for dim in known if dim != 0], value.name)
