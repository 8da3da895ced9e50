"""Both types of activations are the same network."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from joulecut.compiler import onnxrt
from joulecut.compiler.errors import ConfigError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def signs() -> Iterator[Any]:
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    yield importlib.import_module("peers.onnx_signs")
    patch.undo()


def model(dtype: type[np.integer[Any]], *, between: str = "") -> onnx.ModelProto:
    """A quantized convolution, whose weight and activations share a zero point if signed."""
    arrays = {
        "scale": np.array(0.05, np.float32),
        "zero": np.array(0 if dtype is np.int8 else 131, dtype),
        "weight": np.random.default_rng(0).integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "weight_zero": np.array(0, np.int8),
    }
    weight_zero = "zero" if dtype is np.int8 else "weight_zero"
    node = helper.make_node
    nodes = [
        node("DequantizeLinear", ["x", "scale", "zero"], ["xf"]),
        node("DequantizeLinear", ["weight", "scale", weight_zero], ["wf"]),
        node("Conv", ["xf", "wf"], ["yf"]),
        node("QuantizeLinear", ["yf", "scale", "zero"], ["q" if between else "y"]),
    ]
    if between:
        nodes.append(node(between, ["q"], ["y"], name="odd"))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    x, y = (
        helper.make_tensor_value_info(name, kind, shape)
        for name, shape in (("x", [1, 3, 6, 6]), ("y", [1, 4, 4, 4]))
    )
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_signed_and_unsigned_models_compute_the_same(signs: Any):
    given = model(np.uint8)
    signed = signs.with_signs(given, signed=True)
    checker: Any = onnx.checker
    checker.check_model(signed)
    assert signed.graph.input[0].type.tensor_type.elem_type == TensorProto.INT8
    x = np.random.default_rng(1).integers(0, 256, (1, 3, 6, 6)).astype(np.uint8)
    (expected,) = onnxrt.run(given.SerializeToString(), {"x": x})
    moved = (x.astype(np.int16) - 128).astype(np.int8)
    (got,) = onnxrt.run(signed.SerializeToString(), {"x": moved})
    assert got.dtype == np.int8
    np.testing.assert_array_equal(got.astype(int) + 128, expected)
    back = signs.with_signs(signed, signed=False)
    np.testing.assert_array_equal(onnxrt.run(back.SerializeToString(), {"x": x})[0], expected)


def test_weights_keep_a_zero_point_that_they_share_with_activations(signs: Any):
    unsigned = signs.with_signs(model(np.int8), signed=False)
    constants = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in unsigned.graph.initializer
    }
    zeros = [constants[node.input[2]] for node in unsigned.graph.node if len(node.input) > 2]
    assert [(zero.dtype.name, int(zero)) for zero in zeros] == [
        ("uint8", 128),
        ("int8", 0),
        ("uint8", 128),
    ]


def test_operators_on_integers_are_refused(signs: Any):
    with pytest.raises(ConfigError) as caught:
        signs.with_signs(model(np.uint8, between="Abs"), signed=True)
    assert str(caught.value) == (
        "8-bit integers must be read by quantizers only, not by Abs 'odd'; "
        "export the model with its quantizers around every operator"
    )
