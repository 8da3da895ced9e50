"""Work out, before anything else, the small integers that exporters compute in the graph.

torch writes F.pad and view as a dozen nodes that compute pads and shapes from constants. Folded,
they are constants, and shape inference sees through them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

MAX_ELEMENTS = 4096  # a shape, pads or axes; a tensor of data is not folded

FOLDABLE = frozenset(
    {
        *("Cast", "Concat", "ConstantOfShape", "Gather", "Identity", "Reshape", "Slice"),
        *("Squeeze", "Transpose", "Unsqueeze", "Add", "Sub", "Mul", "Div"),
    }
)

Integers = npt.NDArray[Any]


def fold_shape_arithmetic(model: onnx.ModelProto) -> None:
    """Replace, in place, nodes on small constant integers by what they compute.

    Results that are not small integers, and nodes that onnx's reference evaluator refuses, stay
    for later stages to judge. Nodes are taken in the order of the file.
    """
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    known = _constants(model)
    kept: list[onnx.NodeProto] = []
    for node in model.graph.node:
        found = _folded(node, known, opsets)
        if found is None:
            kept.append(node)
            continue
        known[node.output[0]] = found
        model.graph.initializer.append(numpy_helper.from_array(found, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _constants(model: onnx.ModelProto) -> dict[str, Integers]:
    """Small integer initializers and Constant nodes by name."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and len(node.attribute) == 1:
            (attribute,) = node.attribute
            if attribute.name == "value":
                tensors[node.output[0]] = attribute.t
    return {
        name: numpy_helper.to_array(tensor)
        for name, tensor in tensors.items()
        if tensor.data_type in (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
        and math.prod(tensor.dims) <= MAX_ELEMENTS
        and tensor.data_location != onnx.TensorProto.EXTERNAL
    }


def _folded(
    node: onnx.NodeProto, known: Mapping[str, Integers], opsets: Mapping[str, int]
) -> Integers | None:
    if node.domain not in ("", "ai.onnx") or node.op_type not in FOLDABLE:
        return None
    if len(node.output) != 1 or any(name and name not in known for name in node.input):
        return None
    feeds = {name: known[name] for name in node.input if name}
    if node.op_type == "ConstantOfShape" and _too_large(list(feeds.values())):
        return None
    try:
        evaluator: Any = ReferenceEvaluator(node, opsets=dict(opsets))
        (found,) = evaluator.run(None, feeds)
    except Exception:
        return None
    result = np.asarray(found)
    small = result.dtype.name in ("int64", "int32") and result.size <= MAX_ELEMENTS
    return result if small else None


def _too_large(inputs: list[Integers]) -> bool:
    """Would a ConstantOfShape make more than a shape needs?"""
    sizes = [int(size) for size in inputs[0].ravel()] if inputs else []
    return any(size < 0 for size in sizes) or math.prod(sizes) > MAX_ELEMENTS
