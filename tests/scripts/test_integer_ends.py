"""Models without their conversions at the ends compute the same codes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from joined_network import ENDS, SHAPE, float_model, qdq_model
from onnx import helper, numpy_helper

import joulecut as jc
from joulecut.compiler import onnxrt
from joulecut.compiler.errors import ConfigError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def strip(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    return importlib.import_module("integer_ends").with_integer_ends


def ends(model: onnx.ModelProto) -> list[tuple[str, int]]:
    values = (*model.graph.input, *model.graph.output)
    return [(value.name, value.type.tensor_type.elem_type) for value in values]


def numbers(model: onnx.ModelProto, node: onnx.NodeProto) -> list[Any]:
    """Scale and zero point."""
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    return [numpy_helper.to_array(known[name]) for name in node.input[1:]]


@pytest.mark.parametrize("end", ENDS)
def test_codes_in_give_the_same_codes_out(strip: Any, tmp_path: Path, end: str):
    model = qdq_model(tmp_path, end)
    (first,) = [node for node in model.graph.node if "x" in node.input]
    last = model.graph.node[-1]
    assert (first.op_type, last.op_type) == ("QuantizeLinear", "DequantizeLinear")
    before = model.SerializeToString()
    stripped = strip(model)
    assert model.SerializeToString() == before
    assert len(stripped.graph.node) == len(model.graph.node) - 2
    uint8 = onnx.TensorProto.UINT8
    assert ends(stripped) == [("x", uint8), (model.graph.output[0].name, uint8)]

    rng = np.random.default_rng(1)
    real = rng.normal(size=SHAPE).astype(np.float32)
    scale, zero = numbers(model, first)
    codes = np.clip(np.rint(real / scale) + zero, 0, 255).astype(np.uint8)
    (out,) = onnxrt.run(model.SerializeToString(), {"x": real})
    (out_codes,) = onnxrt.run(stripped.SerializeToString(), {"x": codes})
    scale, zero = numbers(model, last)
    centred = (out_codes.astype(np.int32) - zero).astype(np.float32)
    np.testing.assert_array_equal(out, centred * scale)


def test_stripped_models_load_and_lower_to_integers_alone(strip: Any, tmp_path: Path):
    stripped = strip(qdq_model(tmp_path, "pixels"))
    path = tmp_path / "stripped.onnx"
    path.write_bytes(stripped.SerializeToString())
    graph = jc.pipeline(jc.load(path), require_integer=True)
    kinds = [node.op_type for node in graph.graph]
    assert "Quantize" not in kinds
    assert "Dequantize" not in kinds
    x = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    (ours,) = jc.run_reference(graph, {"x": x})
    (theirs,) = onnxrt.run(path, {"x": x})
    assert ours.dtype == np.uint8
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_signed_codes_stay_signed(strip: Any, tmp_path: Path):
    model = qdq_model(tmp_path, "image")
    for tensor in model.graph.initializer:  # the same codes, moved by 128
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.uint8:
            moved = (array.astype(int) - 128).astype(np.int8)
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    del model.graph.value_info[:]
    assert [kind for _, kind in ends(strip(model))] == [onnx.TensorProto.INT8] * 2


def test_constants_that_nothing_reads_go(strip: Any, tmp_path: Path):
    stripped = strip(qdq_model(tmp_path, "one pixel"))
    read = {name for node in stripped.graph.node for name in node.input}
    assert {tensor.name for tensor in stripped.graph.initializer} <= read


def test_float_ends_are_refused(strip: Any, tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"input 'x' must be read by QuantizeLinear only, not by Conv"
    ):
        strip(float_model("image"))
    model = qdq_model(tmp_path, "image")
    last = model.graph.node[-1]
    last.op_type = "Relu"
    del last.input[1:]
    with pytest.raises(
        ConfigError, match=r"must be made by a DequantizeLinear of its own, not by Relu"
    ):
        strip(model)


def test_an_input_must_be_quantized_in_one_way(strip: Any, tmp_path: Path):
    model = qdq_model(tmp_path, "image")
    scale = numpy_helper.from_array(np.array(0.5, np.float32), "another_scale")
    model.graph.initializer.append(scale)
    (zero,) = [node.input[2] for node in model.graph.node if node.input[0] == "x"]
    second: Any = helper.make_node("QuantizeLinear", ["x", "another_scale", zero], ["unread"])
    model.graph.node.insert(1, second)
    with pytest.raises(ConfigError, match="input 'x' must be quantized in one way, not in 2"):
        strip(model)
