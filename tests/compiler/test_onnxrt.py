"""The door to onnxruntime: what a session is fed and returns, and what it is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from joulecut.compiler import onnxrt


def model() -> bytes:
    """Two inputs that arrive in another order than their names', and two outputs."""
    infos = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "bady"
    }
    nodes = [
        helper.make_node("Sub", ["b", "a"], ["d"]),
        helper.make_node("Neg", ["d"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [infos["b"], infos["a"]], [infos["y"], infos["d"]])
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


FEEDS = {"a": np.array([1, 2], np.float32), "b": np.array([5, 9], np.float32)}


@pytest.mark.parametrize("optimize", [False, True])
def test_results_come_in_the_order_of_the_outputs(optimize: bool):
    session = onnxrt.session(model(), optimize=optimize, threads=2)
    assert session.inputs == ("b", "a")
    assert session.outputs == ("y", "d")
    assert [result.tolist() for result in session.run(FEEDS)] == [[-4, -7], [4, 7]]


def test_a_model_may_lie_in_a_file(tmp_path: Path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model())
    for where in (path, str(path)):
        assert onnxrt.run(where, FEEDS)[0].tolist() == [-4, -7]


def test_8_bit_products_do_not_saturate():
    """Without x64quantprecision, kernels that add pairs of products in 16 bits would saturate."""
    a = np.full((1, 64), 255, np.uint8)
    b = np.full((64, 1), 127, np.int8)
    node = helper.make_node("MatMulInteger", ["a", "b"], ["y"])
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info("a", TensorProto.UINT8, a.shape),
            helper.make_tensor_value_info("b", TensorProto.INT8, b.shape),
        ],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 1])],
    )
    opsets = [helper.make_opsetid("", 20)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    for optimize in (False, True):
        result = onnxrt.run(made, {"a": a, "b": b}, optimize=optimize)[0]
        assert result.item() == 255 * 127 * 64
