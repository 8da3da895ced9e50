"""Pads and shapes that exporters compute in the graph become constants; data does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper
from qdq_models import QdqBuilder, write

from joulecut.compiler.load import load
from joulecut.compiler.onnxrt import run
from joulecut.compiler.pipeline import pipeline
from joulecut.compiler.reference import run_reference
from joulecut.compiler.shape_arithmetic import MAX_ELEMENTS, fold_shape_arithmetic


def folded(
    nodes: list[NodeProto], **constants: np.ndarray
) -> tuple[list[str], dict[str, list[int]]]:
    """Operators that are left, and the new initializers."""
    given = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [], [], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    fold_shape_arithmetic(model)
    made = {t.name: numpy_helper.to_array(t).tolist() for t in model.graph.initializer}
    return (
        [node.op_type for node in model.graph.node],
        {name: value for name, value in made.items() if name not in constants},
    )


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def torch_pad() -> list[NodeProto]:
    """The nodes that torch's exporter writes for F.pad, from `amounts` to `pads`."""
    missing = helper.make_tensor("v", TensorProto.INT64, [1], [0])
    return [
        helper.make_node("ConstantOfShape", ["missing"], ["zeros"], value=missing),
        helper.make_node("Concat", ["amounts", "zeros"], ["all"], axis=0),
        helper.make_node("Reshape", ["all", "pairs"], ["rows"]),
        helper.make_node("Slice", ["rows", "start", "end", "first", "step"], ["turned"]),
        helper.make_node("Transpose", ["turned"], ["columns"], perm=[1, 0]),
        helper.make_node("Reshape", ["columns", "flat"], ["listed"]),
        helper.make_node("Cast", ["listed"], ["pads"], to=TensorProto.INT64),
    ]


PAD_CONSTANTS = {
    "missing": ints(4),
    "amounts": ints(0, 1, 2, 3),
    "pairs": ints(-1, 2),
    "start": ints(-1),
    "end": ints(-(2**63) + 1),
    "first": ints(0),
    "step": ints(-1),
    "flat": ints(-1),
}


def test_the_pads_of_torch_become_a_constant():
    left, made = folded(torch_pad(), **PAD_CONSTANTS)
    assert left == []
    assert made["pads"] == [0, 0, 2, 0, 0, 0, 3, 1]


def test_a_network_padded_so_computes_what_it_did(tmp_path: Path):
    b = QdqBuilder(3)
    x = b.quantize(b.input("x", (1, 2, 6, 6)))
    b.nodes += torch_pad()
    for name, value in PAD_CONSTANTS.items():
        b.initializers.append(numpy_helper.from_array(value, name))
    # onnxruntime's quantize_static gives what a Pad fills with a Dequantize of its own.
    b.initializers += [
        numpy_helper.from_array(np.array(7, np.uint8), "fill_q"),
        numpy_helper.from_array(np.array(0.5, np.float32), "fill_scale"),
    ]
    b.node("DequantizeLinear", ["fill_q", "fill_scale", "fill_q"], "filler")
    b.output(b.quantize(b.node("Pad", [x, "pads", "filler"], "padded")))
    model = b.model()
    path = write(model, tmp_path)
    feed = {"x": np.random.default_rng(0).standard_normal((1, 2, 6, 6)).astype(np.float32)}
    (got,), (expected,) = run_reference(pipeline(load(path)), feed), run(path, feed)
    assert got.shape == (1, 2, 11, 7)
    assert np.abs(got - expected).max() <= np.abs(expected).max() / 100


def test_floats_and_large_results_are_left():
    one = helper.make_tensor("v", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("ConstantOfShape", ["many"], ["a"], value=one),
        helper.make_node("Cast", ["few"], ["b"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["few", "unknown"], ["c"]),
    ]
    left, made = folded(nodes, many=ints(MAX_ELEMENTS + 1), few=ints(1, 2))
    assert left == ["ConstantOfShape", "Cast", "Add"]
    assert made == {}


def test_a_bomb_is_not_lit():
    one = helper.make_tensor("v", TensorProto.INT64, [1], [1])
    bomb = helper.make_node("ConstantOfShape", ["huge"], ["a"], value=one)
    assert folded([bomb], huge=ints(2**40, 2**20))[0] == ["ConstantOfShape"]
    assert folded([bomb], huge=ints(-1))[0] == ["ConstantOfShape"]


def test_what_the_evaluator_refuses_is_judged_later():
    bad = helper.make_node("Reshape", ["few", "shape"], ["a"])
    assert folded([bad], few=ints(1, 2), shape=ints(7))[0] == ["Reshape"]
