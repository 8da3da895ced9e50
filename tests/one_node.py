"""One operator by itself, in our reference interpreter and in onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx import helper, numpy_helper

from joulecut.compiler import onnxrt, reference

IntegerType = type[np.integer[Any]]
Attributes = Mapping[str, int | float | str | Sequence[int]]
_OPSET, _IR_VERSION = 20, 10


def ours(
    op_type: str,
    inputs: Sequence[np.ndarray | None],
    attributes: Attributes,
    *,
    shape: Sequence[int] = (),
    domain: str = "joulecut",
) -> np.ndarray:
    """What our interpreter makes of one node.

    `shape` is the recorded shape of the output, which only reshaping nodes look at.
    """
    values = [
        None if array is None else ir.val(f"x{i}", const_value=ir.tensor(array, name=f"x{i}"))
        for i, array in enumerate(inputs)
    ]
    output = ir.val("y", ir.DataType.FLOAT, shape)
    node = ir.node(op_type, values, attributes, domain=domain, outputs=[output], name="node")
    return reference.evaluate(node, inputs)


def theirs(
    op_type: str,
    inputs: Sequence[np.ndarray | np.generic | None],
    attributes: Attributes,
    *,
    result: np.dtype,
    domain: str = "",
) -> np.ndarray:
    """What onnxruntime makes of it: the first input is fed, the others are constants."""
    names = ["" if array is None else f"x{i}" for i, array in enumerate(inputs)]
    node = helper.make_node(op_type, names, ["y"], domain=domain)
    node.attribute.extend(helper.make_attribute(name, at) for name, at in attributes.items())
    first = inputs[0]
    assert first is not None
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x0", _type(first.dtype), first.shape)],
        [helper.make_tensor_value_info("y", _type(result), None)],
        [
            numpy_helper.from_array(np.asarray(array), name)
            for array, name in zip(inputs[1:], names[1:], strict=True)
            if array is not None
        ],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    return onnxrt.run(model.SerializeToString(), {"x0": np.asarray(first)})[0]


def number_of(dtype: np.dtype) -> int:
    """ONNX's number of an element type."""
    return _type(dtype)


def _type(dtype: np.dtype) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def full_range(
    rng: np.random.Generator, dtype: IntegerType, shape: Sequence[int]
) -> np.ndarray:
    """Integers from the whole range of a type, both ends more often than by chance."""
    info = np.iinfo(dtype)
    drawn = rng.integers(info.min, info.max + 1, shape)
    ends = rng.choice([info.min, info.max], shape)
    return np.where(rng.random(shape) < 0.1, ends, drawn).astype(dtype)
