"""An integer Graph as bytes and back: our own .onnx files.

What we write is deterministic, so that equal graphs are equal files. What we read may have been
written by anyone: a bundle travels, and its hashes say only that it is what its maker made.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.graph import DOMAIN, DOMAIN_VERSION, Graph, name_of, values
from joulecut.compiler.model_checks import check_model
from joulecut.compiler.quant import QTYPE_KEY, qtype_of

MAX_BYTES = 2**30


def graph_to_bytes(graph: Graph) -> bytes:
    """The Graph as a .onnx file; equal graphs give equal bytes."""
    return ir.to_proto(graph).SerializeToString(deterministic=True)


def graph_from_bytes(data: bytes, name: str, *, max_bytes: int = MAX_BYTES) -> Graph:
    """Inverse of `graph_to_bytes`.

    Args:
        data: a .onnx file, untrusted.
        name: what errors call it.
        max_bytes: what all tensors of the graph together may take.

    Raises:
        UntrustedInputError: the bytes are not an integer Graph of this version.
    """
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise UntrustedInputError(f"'{name}' must be an ONNX model, not other bytes") from error
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if versions.get(DOMAIN) != DOMAIN_VERSION:
        raise UntrustedInputError(
            f"'{name}' must use version {DOMAIN_VERSION} of the '{DOMAIN}' operators, not "
            f"{versions.get(DOMAIN)}; build it again with this joulecut"
        )
    check_model(model, max_bytes)
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise UntrustedInputError(
                f"tensor '{tensor.name}' of '{name}' must be inside of the file, not external"
            )
    try:
        graph = ir.from_proto(model)
    except (ValueError, TypeError, KeyError) as error:
        raise UntrustedInputError(f"'{name}' must be a sound ONNX graph: {error}") from error
    _check_values(graph, name)
    return graph


def _check_values(graph: Graph, name: str) -> None:
    """Every value has a shape, a type, and a meaning that can be read."""
    for value in (*values(graph), *graph.graph.initializers.values()):
        if value.dtype is None or value.shape is None or not value.shape.is_static():
            raise UntrustedInputError(
                f"value '{value.name}' of '{name}' must have a type and a shape of numbers"
            )
        try:
            qtype = qtype_of(value)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UntrustedInputError(
                f"{QTYPE_KEY} of '{name_of(value)}' in '{name}' must describe integers: {error}"
            ) from error
        if qtype is not None and qtype.dtype != value.dtype.numpy():
            raise UntrustedInputError(
                f"'{name_of(value)}' in '{name}' must be {qtype.dtype} as its {QTYPE_KEY} "
                f"says, not {value.dtype.numpy()}"
            )
