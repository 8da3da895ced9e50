"""The float build computes what onnxruntime computes, and its convolutions have the schedule."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import joulecut as jc
from joulecut.compiler import onnxrt

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def build() -> Iterator[Any]:
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    yield importlib.import_module("peers.f32_build")
    patch.undo()


def network(rng: np.random.Generator) -> onnx.ModelProto:
    """A strided and a plain convolution with a sum behind them, an average, a dense layer."""
    shapes = {"a": (8, 3, 3, 3), "b": (8, 8, 3, 3), "c": (5, 8), "d": (8,), "e": (5,)}
    constants = [
        numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "a", "d"], ["p"], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("Relu", ["p"], ["q"]),
        node("Conv", ["q", "b", "d"], ["r"], pads=[1, 1, 1, 1]),
        node("Add", ["q", "r"], ["s"]),
        node("Relu", ["s"], ["t"]),
        node("GlobalAveragePool", ["t"], ["u"]),
        node("Flatten", ["u"], ["v"]),
        node("Gemm", ["v", "c", "e"], ["y"], transB=1),
    ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 3, 16, 16]), ("y", [1, 5]))
    )
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.tool
@pytest.mark.parametrize(
    ("target", "emulator", "cpu"),
    [("pynq_z2", "qemu-arm", "cortex-a9"), ("cortex_a53", "qemu-aarch64", "cortex-a53")],
)
def test_a_float_build_computes_the_network(build: Any, target: str, emulator: str, cpu: str):
    where = jc.target(target)
    for tool in (emulator, where.toolchain.compilers[0]):
        if not shutil.which(tool):
            pytest.skip(f"{tool} must be installed; run make dev")
    rng = np.random.default_rng(2)
    model, x = network(rng).SerializeToString(), rng.standard_normal((1, 3, 16, 16))
    found = build.count_f32(model, x, where, emulator, cpu)
    (expected,) = onnxrt.run(model, {"x": x.astype(np.float32)})
    np.testing.assert_allclose(found.output, expected.reshape(-1), rtol=1e-4, atol=1e-5)
    assert (found.scheduled, found.convolutions) == (2, 2)
    macs = 64 * 8 * 27 + 64 * 8 * 72 + 40
    assert macs / 4 < found.instructions < 8 * macs  # a vector instruction makes 4 products
