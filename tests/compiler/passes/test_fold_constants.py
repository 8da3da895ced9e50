"""What exporters leave to be computed from weights is computed when a model is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from joulecut.compiler.graph import nodes, op_key
from joulecut.compiler.load import load
from joulecut.compiler.pipeline import pipeline
from joulecut.compiler.reference import run_reference

WEIGHTS = np.random.default_rng(0).integers(-9, 9, (3, 2, 1, 1)).astype(np.float32) / 10
Nodes = list[onnx.NodeProto]


def saved(before: Nodes, constants: dict[str, np.ndarray], folder: Path) -> Path:
    """A quantized Conv whose weights are `w`, which `before` makes of constants."""
    quantized = [
        helper.make_node(f"{op}Linear", [name, "scale", "zero"], [name + suffix])
        for name, op, suffix in (("x", "Quantize", "q"), ("xq", "Dequantize", "d"))
    ]
    weights = [
        helper.make_node(f"{op}Linear", [name, "scale", "zero"], [name + suffix])
        for name, op, suffix in (("w", "Quantize", "q"), ("wq", "Dequantize", "d"))
    ]
    product = [
        helper.make_node("Conv", ["xqd", "wqd"], ["y"]),
        helper.make_node("QuantizeLinear", ["y", "scale", "zero"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "scale", "zero"], ["out"]),
    ]
    arrays = {"scale": np.array(0.1, np.float32), "zero": np.array(0, np.int8), **constants}
    graph = helper.make_graph(
        [*before, *quantized, *weights, *product],
        "weights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, 4, 4])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    path = folder / "model.onnx"
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("before", "constants"),
    [
        (
            [helper.make_node("Transpose", ["w0"], ["w"], perm=[1, 0, 2, 3])],
            {"w0": WEIGHTS.transpose(1, 0, 2, 3)},
        ),
        (
            [helper.make_node("Reshape", ["w0", "shape"], ["w"])],
            {"w0": WEIGHTS.reshape(3, 2), "shape": np.array([3, 2, 1, 1])},
        ),
        (
            [
                helper.make_node("Mul", ["w0", "factor"], ["w1"]),
                helper.make_node("Transpose", ["w1"], ["w"], perm=[3, 2, 0, 1]),
            ],
            {
                "w0": (WEIGHTS / 2).transpose(2, 3, 1, 0),
                "factor": np.full((1, 1, 1, 3), 2, np.float32),
            },
        ),
    ],
    ids=["transpose", "reshape", "scaled"],
)
def test_weights_are_worked_out(
    before: Nodes, constants: dict[str, np.ndarray], tmp_path: Path
) -> None:
    graph = load(saved(before, constants, tmp_path))
    assert not {op_key(node) for node in nodes(graph)} & {"Transpose", "Reshape", "Mul"}
    plain = load(saved([], {"w": WEIGHTS}, tmp_path))
    x = np.random.default_rng(1).standard_normal((1, 2, 4, 4)).astype(np.float32)
    (found,) = run_reference(pipeline(graph), {"x": x})
    (expected,) = run_reference(pipeline(plain), {"x": x})
    np.testing.assert_array_equal(found, expected)
    assert np.unique(found).size > 5


def test_what_is_not_finite_stays(tmp_path: Path) -> None:
    before = [helper.make_node("Div", ["w0", "none"], ["w"])]
    constants = {"w0": WEIGHTS, "none": np.array(0, np.float32)}
    graph = load(saved(before, constants, tmp_path))
    assert "Div" in {op_key(node) for node in nodes(graph)}
