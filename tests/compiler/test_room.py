"""Channels whose bias fills int32: made coarser where they must be, and by no more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from joulecut.compiler.errors import UnsupportedError
from joulecut.compiler.graph import constant_of, nodes
from joulecut.compiler.load import load
from joulecut.compiler.lowering.room import MAX_BIAS, MAX_PRODUCTS, Channels
from joulecut.compiler.onnxrt import run
from joulecut.compiler.pipeline import pipeline
from joulecut.compiler.reference import run_reference


def channels(bias: list[int], axis: int = 0) -> Channels:
    shape = (len(bias), 3) if axis == 0 else (3, len(bias))
    return Channels(
        np.full(shape, 100, np.int8),
        np.ones(len(bias), np.float32),
        np.array(bias, np.int64),
        axis,
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_only_channels_that_overflow_change_by_the_least_power_of_two(axis: int):
    before = channels([MAX_BIAS, 2**31 - 2, -(2**31), 2**33, 7], axis)
    after = before.with_room(np.full(5, 1000))
    assert after.scale.tolist() == [1, 2, 4, 16, 1]
    assert after.bias.tolist() == [MAX_BIAS, 2**30 - 1, -(2**29), 2**29, 7]
    assert np.moveaxis(after.codes, axis, 0)[:, 0].tolist() == [100, 50, 25, 6, 100]


def test_a_large_bias_that_fits_beside_its_products_stays():
    before = channels([2**31 - 5000])
    assert before.with_room(np.array([1000])) is before


def test_products_that_are_too_large_themselves_are_no_matter_of_room():
    before = channels([2**31 - 1])
    assert before.with_room(np.array([MAX_PRODUCTS + 1])) is before


def qdq_conv(folder: Path, bias: list[int], weights: int = 100) -> Path:
    """A 1x1 Conv of one int8 weight a channel, whose output step is 2^24 of its sums."""
    count = len(bias)
    tensors = {
        "s": np.float32(0.5),
        "z": np.uint8(128),
        "w_q": np.full((count, 1, 1, 1), weights, np.int8),
        "w_s": np.full(count, 2.0**-20, np.float32),
        "w_z": np.zeros(count, np.int8),
        "b_q": np.array(bias, np.int32),
        "b_s": np.full(count, 2.0**-21, np.float32),
        "b_z": np.zeros(count, np.int32),
        "y_s": np.float32(8.0),
    }
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["x_q"]),
            helper.make_node("DequantizeLinear", ["x_q", "s", "z"], ["x_d"]),
            helper.make_node("DequantizeLinear", ["w_q", "w_s", "w_z"], ["w"], axis=0),
            helper.make_node("DequantizeLinear", ["b_q", "b_s", "b_z"], ["b"], axis=0),
            helper.make_node("Conv", ["x_d", "w", "b"], ["c"]),
            helper.make_node("QuantizeLinear", ["c", "y_s", "z"], ["c_q"]),
            helper.make_node("DequantizeLinear", ["c_q", "y_s", "z"], ["y"]),
        ],
        "qdq",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, count, 4, 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_network_with_such_a_bias_lowers_to_what_it_computes_in_float(tmp_path: Path):
    path = qdq_conv(tmp_path, [-(2**31), 2**31 - 1, 2**30, 12345])
    graph = pipeline(load(path))
    feed = {"x": np.random.default_rng(0).uniform(-64, 63, (1, 1, 4, 4)).astype(np.float32)}
    (got,), (expected,) = run_reference(graph, feed), run(path, feed)
    assert np.abs(expected).max() > 100
    np.testing.assert_array_equal(got, expected)


def test_weights_that_fit_are_carried_as_they_are(tmp_path: Path):
    graph = pipeline(load(qdq_conv(tmp_path, [5, -5])))
    (conv,) = (node for node in nodes(graph) if node.op_type == "Conv")
    codes = constant_of(conv.inputs[1])
    assert codes is not None
    assert codes.ravel().tolist() == [100, 100]


def test_products_beyond_int32_are_still_refused(tmp_path: Path):
    path = tmp_path / "model.onnx"
    depth = 2**18
    tensors = {
        "s": np.float32(1.0),
        "z": np.int8(0),
        "w_q": np.full((depth, 1), 127, np.int8),
        "w_s": np.float32(1.0),
    }
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["x_q"]),
            helper.make_node("DequantizeLinear", ["x_q", "s", "z"], ["x_d"]),
            helper.make_node("DequantizeLinear", ["w_q", "w_s", "z"], ["w"]),
            helper.make_node("MatMul", ["x_d", "w"], ["y"], name="deep"),
        ],
        "qdq",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, depth])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError, match=r"MatMul 'deep': its sums may reach 42\d+"):
        pipeline(load(path))
