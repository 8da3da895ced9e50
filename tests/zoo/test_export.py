"""Exports say what Brevitas computes, the same bytes each time, in the dialect that they claim."""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytestmark = pytest.mark.train

from zoo_networks import NETWORKS, calibrated, inputs  # noqa: E402

from joulecut.compiler.onnxrt import session  # noqa: E402
from joulecut.zoo.export import brevitas_logits, export_qcdq, export_qonnx  # noqa: E402

Export = Callable[[Any, np.ndarray, Path], Path]


def exported(export: Export, name: str, path: Path) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(
        export(calibrated(name), inputs(name, 1), path / "m.onnx").read_bytes()
    )


@pytest.mark.parametrize("export", [export_qcdq, export_qonnx])
@pytest.mark.parametrize("name", ["digits-8", "resnet8-4", "dense-8"])
def test_exports_are_repeatable_and_plainly_named(tmp_path: Path, name: str, export: Export):
    first, second = (exported(export, name, tmp_path / run) for run in ("a", "b"))
    assert first.SerializeToString() == second.SerializeToString()
    assert [value.name for value in first.graph.input] == ["x"]
    assert [value.name for value in first.graph.output] == ["y"]
    shape = first.graph.input[0].type.tensor_type.shape
    assert tuple(side.dim_value for side in shape.dim) == NETWORKS[name][1]
    assert {entry.domain: entry.version for entry in first.opset_import}[""] == 17
    assert any(
        "/conv1/Conv" in node.name or "/stem/Conv" in node.name for node in first.graph.node
    )


def test_qcdq_holds_standard_operators_and_integers(tmp_path: Path):
    model = exported(export_qcdq, "digits-4", tmp_path)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    weights = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8]
    assert any(tuple(tensor.dims) == (16, 1, 5, 5) for tensor in weights)


def test_qonnx_states_the_bit_widths(tmp_path: Path):
    model = exported(export_qonnx, "digits-4", tmp_path)
    constants = {
        tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer
    } | {
        node.output[0]: onnx.numpy_helper.to_array(node.attribute[0].t)
        for node in model.graph.node
        if node.op_type == "Constant"
    }
    quants = [node for node in model.graph.node if node.op_type == "Quant"]
    assert {node.domain for node in quants} == {"qonnx.custom_op.general"}
    bits = sorted(float(constants[node.input[3]]) for node in quants)
    # One input of 8 bits, 8 activations and 9 weights of 4, 9 biases of 32.
    assert bits == [4.0] * 17 + [8.0] + [32.0] * 9


@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_node_by_node_agrees_with_brevitas(tmp_path: Path, name: str):
    """Floats of another summation order: a tie may round the other way, logits barely move."""
    path = export_qcdq(calibrated(name), inputs(name, 1), tmp_path / "m.onnx")
    engine = session(path, optimize=False)
    x = inputs(name, 6)
    theirs = np.concatenate([engine.run({"x": row[None]})[0] for row in x])
    ours = brevitas_logits(calibrated(name), x)
    assert np.abs(theirs - ours).max() <= 0.05 * ours.std()
    assert (theirs.argmax(1) == ours.argmax(1)).all()


def test_export_keeps_the_network_usable(tmp_path: Path):
    before = brevitas_logits(calibrated("dense-8"), inputs("dense-8", 2))
    exported(export_qonnx, "dense-8", tmp_path)
    exported(export_qcdq, "dense-8", tmp_path)
    np.testing.assert_array_equal(
        brevitas_logits(calibrated("dense-8"), inputs("dense-8", 2)), before
    )
