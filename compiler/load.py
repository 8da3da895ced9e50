"""Read a quantized ONNX file into a Graph, or say everything that is wrong with it.

The file is untrusted: it is measured before it is read, read before it is believed, and no other
file is touched before its name has been checked. A sound file that joulecut cannot take is
another matter: all of its offending nodes are listed at once, each with the nearest way out.
"""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx_ir.passes import common

from joulecut.compiler.dialects import dialect_of, normalize
from joulecut.compiler.errors import (
    ConfigError,
    Finding,
    UntrustedInputError,
)
from joulecut.compiler.graph import Graph, name_of, nodes, op_key
from joulecut.compiler.model_checks import check_finite, check_model, read_external_data
from joulecut.compiler.node_checks import check_nodes
from joulecut.compiler.passes.fold_constants import FoldConstants
from joulecut.compiler.shape_arithmetic import fold_shape_arithmetic
from joulecut.compiler.shapes import infer_shapes, pin_batch, record_shapes
from joulecut.compiler.support import ACCUMULATING, SHAPE_ONLY, findings_of, refuse
from joulecut.compiler.tidy import tidy

__all__ = ["dialect_of", "float_graph", "graph_of", "load", "parse"]

MAX_BYTES = 2**30  # protobuf itself stops at 2 GiB
NAMELESS = frozenset(
    {"", "main_graph", "torch_jit", "torch-jit-export"}
)  # what exporters write


def load(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES, batch: int = 1) -> Graph:
    """Read an ONNX file in QDQ, QCDQ or QONNX form.

    Args:
        path: the file; external weights are read from its folder only.
        max_bytes: what the file, and its tensors together, may take.
        batch: the number that replaces a dynamic batch dimension.

    Returns:
        A Graph in normal form (`compiler/dialects.py`): sorted, every shape a number.

    Raises:
        ConfigError: there is no such file, or `batch` is not positive.
        UntrustedInputError: the file is damaged, contradicts itself or reaches for others.
        UnsupportedError: the model is sound, but has nodes that joulecut cannot take.
    """
    if batch < 1:
        raise ConfigError(f"batch must be 1 or more, not {batch}")
    model = parse(Path(path), max_bytes)
    check_model(model, max_bytes)
    refuse(findings_of(model), "all operators of the model")
    check_nodes(model)
    refuse(pin_batch(model, batch), "all inputs of the model")
    read_external_data(model, Path(path).parent)
    check_finite(model)
    if model.graph.name in NAMELESS:
        model.graph.name = Path(path).stem
    return graph_of(model)


def parse(path: Path, max_bytes: int = MAX_BYTES) -> onnx.ModelProto:
    """The bare message; nothing in it is trusted.

    Raises:
        ConfigError: there is no such file.
        UntrustedInputError: it is too large, or no ONNX file.
    """
    if not path.is_file():
        raise ConfigError(f"model must be a file, and '{path}' is none")
    nbytes = path.stat().st_size
    if nbytes > max_bytes:
        raise UntrustedInputError(
            f"model '{path.name}' must be at most {max_bytes} bytes, not {nbytes}; "
            "raise max_bytes if you trust it"
        )
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, RecursionError) as error:
        raise UntrustedInputError(
            f"model '{path.name}' must be an ONNX file, not {nbytes} bytes that do not parse; "
            "it is truncated, damaged or of another kind"
        ) from error
    return model


def graph_of(model: onnx.ModelProto) -> Graph:
    """A model that was checked, with a fixed batch and its weights inside, in normal form.

    Raises:
        UntrustedInputError: its shapes contradict each other.
        UnsupportedError: it has nodes that joulecut cannot take.
    """
    found, findings = normalize(float_graph(model))
    refuse((*findings, *_never_quantized(found)), "all quantizers of the model")
    return found


def float_graph(model: onnx.ModelProto) -> Graph:
    """The same before quantizers are looked at, so it may have none; otherwise as `graph_of`."""
    fold_shape_arithmetic(model)
    known = infer_shapes(model)
    graph = ir.from_proto(model)
    graph.graph.sort()
    common.RemoveInitializersFromInputsPass()(graph)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    refuse(record_shapes(graph, known), "all shapes of the model")
    graph = FoldConstants()(tidy(graph))
    refuse(_left_over(graph), "all operators of the model")
    return graph


def _left_over(graph: Graph) -> list[Finding]:
    """Nodes that may only work out shapes, and that do more."""
    reason = "it may only work out the shape for a Reshape"
    fix = "export with fixed sizes, or move it out of the model"
    return [
        Finding(node.name or name_of(node.outputs[0]), op_key(node), reason, fix)
        for node in nodes(graph)
        if op_key(node) in SHAPE_ONLY
    ]


def _never_quantized(graph: Graph) -> list[Finding]:
    """Every layer of a model without one quantizer."""
    if dialect_of(graph) != "float":
        return []
    reason = "the model has no quantizers"
    fix = "quantize first: run `joulecut quantize`, or train it with Brevitas"
    return [
        Finding(node.name or name_of(node.outputs[0]), op_key(node), reason, fix)
        for node in nodes(graph)
        if op_key(node) in ACCUMULATING
    ]
