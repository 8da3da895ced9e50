"""Each pass: before, expected; nothing where it should do nothing; the same when run twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from qdq_models import NETWORKS, QdqBuilder, feeds_for, network, write

from joulecut.compiler import onnxrt
from joulecut.compiler.errors import UnsupportedError
from joulecut.compiler.graph import Graph, constant_of, int_of, ints_of, name_of, nodes, op_key
from joulecut.compiler.load import load
from joulecut.compiler.passes.fold_batchnorm import FoldBatchNorm
from joulecut.compiler.passes.infra import Pass
from joulecut.compiler.passes.lower_quantization import LowerQuantization
from joulecut.compiler.passes.split_to_slices import SplitToSlices
from joulecut.compiler.passes.unify_pools import UnifyPools
from joulecut.compiler.pipeline import float_nodes, pipeline
from joulecut.compiler.reference import run_reference, trace

PASSES: tuple[Pass, ...] = (FoldBatchNorm(), UnifyPools(), SplitToSlices())


def loaded(b: QdqBuilder, folder: Path) -> Graph:
    return load(write(b.model(), folder))


def operators(graph: Graph) -> list[str]:
    return [op_key(node) for node in nodes(graph)]


def text_of_graph(graph: Graph) -> str:
    return str(ir.to_proto(graph))


def one(graph: Graph, key: str) -> ir.Node:
    (found,) = (node for node in nodes(graph) if op_key(node) == key)
    return found


@pytest.mark.parametrize("step", PASSES, ids=lambda step: type(step).__name__)
@pytest.mark.parametrize("name", NETWORKS)
def test_passes_are_idempotent_and_pure(step: Pass, name: str, tmp_path: Path):
    graph = load(write(network(name), tmp_path))
    before = text_of_graph(graph)
    once = step(graph)
    assert text_of_graph(graph) == before
    assert text_of_graph(step(once)) == text_of_graph(once)


@pytest.mark.parametrize("step", PASSES, ids=lambda step: type(step).__name__)
def test_passes_do_nothing_without_their_operator(step: Pass, tmp_path: Path):
    graph = load(write(network("two_inputs"), tmp_path))
    before, after = operators(graph), operators(step(graph))
    assert after == before


def test_pools_are_unified(tmp_path: Path):
    b = QdqBuilder()
    x = b.quantize(b.input("x", (1, 2, 3, 4)))
    b.output(
        b.node("GlobalAveragePool", [x], "a"),
        b.node("GlobalMaxPool", [x], "b"),
        b.node("ReduceMean", [x], "c", axes=[2, 3], keepdims=0),
        b.node("ReduceMean", [x], "d", axes=[1], keepdims=0),
    )
    graph = UnifyPools()(loaded(b, tmp_path))
    expected = ["AveragePool", "MaxPool", "AveragePool", "Reshape", "ReduceMean"]
    assert operators(graph)[2:] == expected
    assert ints_of(one(graph, "MaxPool"), "kernel_shape") == (3, 4)
    assert [name_of(value) for value in graph.graph.outputs] == ["a", "b", "c", "d"]


def test_splits_become_slices(tmp_path: Path):
    b = QdqBuilder()
    x = b.quantize(b.input("x", (1, 6)))
    sizes = b.constant(np.array([2, 4], np.int64))
    parts = b.split(x, sizes, ("left", "right"), axis=1)
    b.output(*parts)
    graph = loaded(b, tmp_path)
    assert operators(SplitToSlices()(graph))[2:] == ["Slice", "Slice"]
    feeds = feeds_for(b.model())
    theirs = onnxrt.run(b.model().SerializeToString(), feeds)
    for ours, expected in zip(run_reference(pipeline(graph), feeds), theirs, strict=True):
        assert np.array_equal(ours, expected)


# FoldBatchNorm


def normed(*, negative: bool = False, reader: bool = False) -> QdqBuilder:
    b = QdqBuilder(3, dialect="QCDQ")
    x = b.quantize(b.input("x", (1, 2, 5, 5)))
    y = b.conv(x, (4, 2, 3, 3), name="conv")
    b.output(b.quantize(b.batch_norm(y, 4, negative=negative)))
    if reader:
        b.output(b.quantize(y))
    return b


@pytest.mark.parametrize("negative", [False, True])
def test_batch_norm_folds_into_scales_and_signs(negative: bool, tmp_path: Path):
    b = normed(negative=negative)
    before = loaded(b, tmp_path)
    after = FoldBatchNorm()(before)
    assert "BatchNormalization" not in operators(after)
    assert "Mul" not in operators(after)
    weights = [_weight(graph) for graph in (before, after)]
    signs = np.array([-1 if negative else 1, 1, 1, 1])
    assert np.array_equal(weights[1], weights[0] * signs.reshape(-1, 1, 1, 1))
    ours, theirs = _both(b, tmp_path)
    assert (ours != theirs).mean() <= 0.02


def test_batch_norm_is_spelled_out_where_the_conv_has_another_reader(tmp_path: Path):
    b = normed(reader=True)
    after = FoldBatchNorm()(loaded(b, tmp_path))
    assert operators(after).count("Mul") == operators(after).count("Add") == 1
    ours, theirs = _both(b, tmp_path)
    assert float_nodes(pipeline(loaded(b, tmp_path))) == []
    assert (ours != theirs).mean() <= 0.02


def test_batch_norm_with_a_dead_channel_is_spelled_out(tmp_path: Path):
    b = normed()
    gamma = next(t for t in b.initializers if t.name == "gamma")
    gamma.raw_data = np.array([0, 1, 1, 1], np.float32).tobytes()
    assert "Mul" in operators(FoldBatchNorm()(loaded(b, tmp_path)))
    ours, theirs = _both(b, tmp_path)
    assert np.abs(ours - theirs).max() < 1e-6


def _weight(graph: Graph) -> np.ndarray:
    dequantize = one(graph, "Conv").inputs[1]
    assert dequantize is not None
    maker = dequantize.producer()
    assert maker is not None
    codes = constant_of(maker.inputs[0])
    assert codes is not None
    return codes.astype(int)


def _both(b: QdqBuilder, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    feeds = feeds_for(b.model())
    ours = run_reference(pipeline(loaded(b, folder)), feeds)[0]
    return ours, onnxrt.run(b.model().SerializeToString(), feeds)[0]


# LowerQuantization, rule by rule


def lowered(b: QdqBuilder, folder: Path) -> Graph:
    return LowerQuantization()(loaded(b, folder))


def agree(b: QdqBuilder, folder: Path) -> Graph:
    """The lowered graph; its outputs equal onnxruntime's, scales being powers of two."""
    graph = pipeline(loaded(b, folder))
    feeds = feeds_for(b.model())
    theirs = onnxrt.run(b.model().SerializeToString(), feeds)
    for ours, expected in zip(run_reference(graph, feeds), theirs, strict=True):
        assert np.array_equal(ours, expected)
    return graph


@pytest.fixture
def b() -> QdqBuilder:
    return QdqBuilder(7, power_of_two=True)


def test_a_quantizer_of_the_same_type_is_dropped(b: QdqBuilder, tmp_path: Path):
    x = b.quantize(b.input("x", (1, 5)), scale=0.25)
    b.output(b.quantize(x, scale=0.25))
    assert operators(agree(b, tmp_path)) == ["joulecut.Quantize", "joulecut.Dequantize"]


def test_a_quantizer_of_another_type_requantizes(b: QdqBuilder, tmp_path: Path):
    x = b.quantize(b.input("x", (1, 5)), scale=0.25)
    b.output(b.quantize(x, scale=0.5, signed=False, bits=3, zero_point=2))
    b.output(b.quantize(x, scale=0.25, zero_point=1))
    assert operators(agree(b, tmp_path)).count("joulecut.Requantize") == 2


def test_relu_and_clip_narrow_the_range(b: QdqBuilder, tmp_path: Path):
    x = b.quantize(b.input("x", (1, 3, 4)))
    y = b.conv(x, (2, 3, 1))
    bounds = [b.constant(np.array(v, np.float32)) for v in (-0.5, 1.0)]
    b.output(b.quantize(b.node("Clip", [y, *bounds]), scale=1 / 64, zero_point=5))
    graph = agree(b, tmp_path)
    node = one(graph, "joulecut.Requantize")
    assert (int_of(node, "low"), int_of(node, "high")) == (5 - 32, 5 + 64)


def test_a_clip_on_codes_is_a_clamp(b: QdqBuilder, tmp_path: Path):
    x = b.quantize(b.input("x", (1, 2, 6)), zero_point=3)
    b.output(b.conv(b.node("Relu", [x]), (2, 2, 3)))
    graph = agree(b, tmp_path)
    assert operators(graph)[:3] == ["joulecut.Quantize", "joulecut.Requantize", "joulecut.Conv"]
    assert int_of(one(graph, "joulecut.Requantize"), "low") == 3


def test_moves_wait_for_the_quantizer(b: QdqBuilder, tmp_path: Path):
    y = b.conv(b.quantize(b.input("x", (1, 2, 6, 6))), (4, 2, 1, 1))
    y = b.node("MaxPool", [y], kernel_shape=[2, 2], strides=[2, 2])
    y = b.node("Transpose", [b.node("Relu", [y])], perm=[0, 2, 3, 1])
    pads = b.constant(np.array([0, 1, 0, 0, 0, 0, 2, 0], np.int64))
    y = b.node("Pad", [y, pads])
    b.output(b.quantize(y, zero_point=-7))
    assert operators(agree(b, tmp_path)) == [
        "joulecut.Quantize",
        "joulecut.Conv",
        "joulecut.Requantize",
        "MaxPool",
        "Transpose",
        "Pad",
        "joulecut.Dequantize",
    ]


def test_a_negative_factor_does_not_pass_a_maximum(b: QdqBuilder, tmp_path: Path):
    y = b.conv(b.quantize(b.input("x", (1, 2, 6))), (4, 2, 1))
    y = b.node("MaxPool", [y], kernel_shape=[2])
    b.output(b.quantize(b.node("Mul", [y, b.constant(np.array(-0.5, np.float32))])))
    graph = agree(b, tmp_path)
    assert [op_key(node) for node in float_nodes(graph)] == ["MaxPool", "Mul"]


def test_factors_and_divisors_change_scales(b: QdqBuilder, tmp_path: Path):
    y = b.conv(b.quantize(b.input("x", (1, 2, 6))), (4, 2, 1))
    factors = np.array([0.5, -2, 4, 1], np.float32).reshape(4, 1)
    y = b.node("Mul", [b.constant(factors), y])
    y = b.node("Div", [y, b.constant(np.array(4, np.float32))])
    b.output(b.quantize(b.node("Relu", [y]), signed=False))
    assert float_nodes(agree(b, tmp_path)) == []


@pytest.mark.parametrize("op", ["Add", "Sub"])
def test_sums_of_accumulators_codes_and_constants(op: str, b: QdqBuilder, tmp_path: Path):
    x = b.quantize(b.input("x", (1, 4, 6)), zero_point=-3)
    y = b.conv(x, (4, 4, 3), pads=[1, 1])
    total = b.node(op, [y, x])
    grid = b.constant(np.array([[0.5, -1, 2, 0, 1, 0.25]], np.float32))
    b.output(b.quantize(b.node(op, [grid, total])))
    graph = agree(b, tmp_path)
    assert float_nodes(graph) == []
    assert len(ints_of(one(graph, "joulecut.Add"), "x_zero_points")) == 3


def test_a_constant_addend_joins_the_bias(b: QdqBuilder, tmp_path: Path):
    x = b.quantize(b.input("x", (1, 3, 4)))
    y = b.node("MatMul", [x, b.weight((4, 5), axis=1)])
    addend = b.constant(np.array([1, 0, -2, 0.5, 0], np.float32))
    b.output(b.quantize(b.node("Add", [y, addend])))
    graph = agree(b, tmp_path)
    assert operators(graph)[1:3] == ["joulecut.MatMul", "joulecut.Requantize"]
    assert len(one(graph, "joulecut.MatMul").inputs) == 3


def test_products_of_activations(b: QdqBuilder, tmp_path: Path):
    q = b.quantize(b.input("q", (1, 2, 3, 4)), zero_point=2)
    k = b.quantize(b.input("k", (1, 2, 4, 3)), signed=False, zero_point=100)
    b.output(b.quantize(b.node("MatMul", [q, k])), b.node("Mul", [q, q]))
    keys = operators(agree(b, tmp_path))
    assert keys.count("joulecut.MatMul") == keys.count("joulecut.Mul") == 1


def test_an_average_without_a_quantizer_is_a_convolution_with_ones(
    b: QdqBuilder, tmp_path: Path
):
    x = b.quantize(b.input("x", (1, 3, 4, 4)), zero_point=9)
    b.output(b.node("GlobalAveragePool", [x]))
    assert operators(agree(b, tmp_path)) == [
        "joulecut.Quantize",
        "joulecut.Conv",
        "joulecut.Dequantize",
    ]


def test_one_concat_of_equal_types_moves_codes_only(b: QdqBuilder, tmp_path: Path):
    x, y = (b.quantize(b.input(name, (1, 2)), scale=0.125) for name in "xy")
    b.output(b.node("Concat", [x, y], axis=1))
    assert "joulecut.Requantize" not in operators(agree(b, tmp_path))


def _gemm(b: QdqBuilder, x: str, **fields: Any) -> str:
    return b.gemm(x, 3, 4, name="fc", **fields)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("float input", "its input 'x' must be quantized, not float; add a quantizer after"),
        ("alpha", "alpha must be positive, not -1.0"),
        ("pad", "it must fill with 0, which every zero point stands for, not 1.0"),
        ("left", "its weights must be the second operand, not the first"),
        ("axis", "its weights must be scaled along axis 0, not 1"),
        ("sums", "its sums may reach .*, and int32 ends at 2147483647; use fewer bits"),
        ("bias", "its bias is too large for int32 at the scale of its products"),
        ("border", "an average with its own divisor at each border must be quantized"),
        ("axes", "ReduceMean 'mean_node': it has no integer form here"),
    ],
)
def test_refusals_by_text(case: str, message: str, b: QdqBuilder, tmp_path: Path):
    shape = {"border": (1, 1, 4, 4), "axes": (1, 2, 3), "sums": (1, 40000)}.get(case, (1, 4))
    raw = b.input("x", shape)
    x = b.quantize(raw)
    match case:
        case "float input":
            b.output(_gemm(b, b.node("Relu", [raw]), bias=None))
            message = message.replace("'x'", "'relu'")
        case "alpha":
            b.output(_gemm(b, x, alpha=-1.0))
        case "pad":
            pads = b.constant(np.array([0, 1, 0, 1], np.int64))
            b.output(b.node("Pad", [x, pads, b.constant(np.array(1, np.float32))]))
        case "left":
            b.output(b.node("MatMul", [b.weight((3, 1)), x]))
        case "axis":
            b.output(b.node("Gemm", [x, b.weight((3, 4), axis=1)], transB=1))
        case "sums":
            wide = b.quantize(raw, signed=False, zero_point=0)
            weight = b.weight((2, 40000), signed=False, zero_points=False)
            codes = next(t for t in b.initializers if t.name == "weight_codes")
            codes.raw_data = np.full((2, 40000), 255, np.uint8).tobytes()
            b.output(b.node("Gemm", [wide, weight], transB=1))
        case "bias":
            bias = b.constant(np.full(3, 1e30, np.float32))
            b.output(b.node("Gemm", [x, b.weight((3, 4)), bias], transB=1))
        case "border":
            b.output(b.node("AveragePool", [x], kernel_shape=[2, 2], pads=[1, 1, 0, 0]))
        case _:
            b.output(b.node("ReduceMean", [x], "mean", axes=[1]))
    with pytest.raises(UnsupportedError, match=message):
        pipeline(loaded(b, tmp_path))


def test_a_sum_that_just_fits_is_taken(b: QdqBuilder, tmp_path: Path):
    raw = b.input("x", (1, 33025))
    wide = b.quantize(raw, signed=False, zero_point=0)
    weight = b.weight((1, 33025), signed=False, axis=None)
    codes = next(t for t in b.initializers if t.name == "weight_codes")
    codes.raw_data = np.full((1, 33025), 255, np.uint8).tobytes()
    b.output(b.node("Gemm", [wide, weight], transB=1))
    graph = lowered(b, tmp_path)
    feeds = {"x": np.full((1, 33025), 1e6, np.float32)}
    acc = trace(graph, feeds)["gemm_acc"]
    assert acc.item() == 33025 * 255 * 255 <= 2**31 - 1 < 33026 * 255 * 255
