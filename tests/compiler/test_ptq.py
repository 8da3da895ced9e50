"""Quantization after training makes QDQ files whose sums fit in int32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.load import load
from joulecut.compiler.onnxrt import run
from joulecut.compiler.pipeline import pipeline
from joulecut.compiler.ptq import quantize_static_qdq
from joulecut.compiler.reference import run_reference

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
BIAS = np.array([0.5, -0.5, 2.0, -3.0], np.float32)


def float_model(path: Path, weight: np.ndarray) -> Path:
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["y"], "relu"),
        ],
        "float",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(BIAS, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def feeds(count: int) -> list[dict[str, np.ndarray]]:
    return [{"x": RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(count)]


def test_the_quantized_model_is_near_the_float_one(tmp_path: Path):
    source = float_model(tmp_path / "float.onnx", WEIGHT)
    path = quantize_static_qdq(source, tmp_path / "out" / "q.onnx", iter(feeds(16)))
    graph = pipeline(load(path))
    assert all(node.domain == "joulecut" for node in graph.graph)
    for feed in feeds(4):
        [quantized], [exact] = run_reference(graph, feed), run(source, feed)
        assert np.abs(quantized - exact).mean() < 0.02 * exact.std()


def test_calibration_must_not_be_empty(tmp_path: Path):
    source = float_model(tmp_path / "float.onnx", WEIGHT)
    with pytest.raises(ConfigError, match="calibration must have at least one input, not none"):
        quantize_static_qdq(source, tmp_path / "q.onnx", [])


def test_the_float_model_must_exist(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"none\.onnx, which is not a file"):
        quantize_static_qdq(tmp_path / "none.onnx", tmp_path / "q.onnx", feeds(1))


def test_a_dead_channel_gets_room_for_its_bias(tmp_path: Path):
    dead = WEIGHT.copy()
    dead[1] *= np.float32(1e-9)
    source = float_model(tmp_path / "float.onnx", dead)
    path = quantize_static_qdq(source, tmp_path / "q.onnx", feeds(8))
    model = onnx.ModelProto.FromString(path.read_bytes())
    [largest] = [
        np.abs(numpy_helper.to_array(tensor).astype(np.int64)).max()
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.INT32 and numpy_helper.to_array(tensor).any()
    ]
    assert largest > 2**30  # onnxruntime leaves it no room; the lowering does
    graph = pipeline(load(path))
    for feed in feeds(4):
        [quantized], [exact] = run_reference(graph, feed), run(source, feed)
        assert np.abs(quantized - exact).mean() < 0.02 * exact.std()
