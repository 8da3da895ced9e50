"""Quantizing after training: integer networks near the float ones, and every refusal by its text."""

from __future__ import annotations

import json
import math
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from float_models import NETWORKS, FloatBuilder, network, random_network
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper

from joulecut.compiler.cut import cuts
from joulecut.compiler.errors import (
    UnsupportedError,
)
from joulecut.compiler.graph_file import graph_to_bytes
from joulecut.compiler.load import load
from joulecut.compiler.onnxrt import run, session
from joulecut.compiler.pipeline import float_nodes, pipeline
from joulecut.compiler.plan import partition, run_plan
from joulecut.compiler.post_training.arrays import held_arrays
from joulecut.compiler.post_training.ranges import METHODS
from joulecut.compiler.post_training.samples import Progress
from joulecut.compiler.post_training.stage import Options, Quantized, quantized
from joulecut.compiler.quant import qtype_of
from joulecut.compiler.reference import run_reference, trace

ENOUGH_DB = 25.0  # each bit of a uniform quantizer is worth 6 dB; 8 bits meet 30 to 45 here
SAMPLES = 64


def quantize(
    tmp_path: Path, build: FloatBuilder, *, count: int = SAMPLES, **options: Any
) -> Quantized:
    """The network of a builder, calibrated on its own samples."""
    path = build.write(tmp_path / "float.onnx")
    return quantized(path, held_arrays(build.samples(count)), Options(**options))


def sqnr_db(exact: np.ndarray, rounded: np.ndarray) -> float:
    noise = float(np.square(exact.astype(np.float64) - rounded).sum())
    signal = float(np.square(exact.astype(np.float64)).sum())
    return 10 * math.log10(signal / noise) if noise else math.inf


def together(model: bytes | Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of an ONNX model of batch 1 for all samples, by onnxruntime as it likes."""
    engine = session(model, optimize=True)
    count = len(next(iter(feeds.values())))
    parts = [
        engine.run({name: x[i : i + 1] for name, x in feeds.items()}) for i in range(count)
    ]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


# ---- what comes out ---------------------------------------------------------------------


@pytest.mark.parametrize("activations", ["uint8", "int8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_integer_network_is_near_the_float_one(tmp_path: Path, name: str, activations: str):
    build = network(name)
    found = quantize(tmp_path, build, activations=activations, require_integer=True)
    assert float_nodes(found.graph) == []
    feeds = build.samples(SAMPLES, seed=8)  # others than those of the calibration
    exact = together(tmp_path / "float.onnx", feeds)
    for real, rounded in zip(exact, run_reference(found.graph, feeds), strict=True):
        assert sqnr_db(real, rounded) > ENOUGH_DB
    kinds = {qtype_of(value).dtype.name for value in _codes(found)}  # pyright: ignore[reportOptionalMemberAccess]
    assert kinds <= {activations, "int32"}


def _codes(found: Quantized) -> list[Any]:
    return [
        value
        for node in found.graph.graph
        for value in node.outputs
        if qtype_of(value) is not None
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_is_that_network_and_other_tools_read_it(tmp_path: Path, name: str):
    build = network(name)
    found = quantize(tmp_path, build)
    data = found.model.SerializeToString()
    (tmp_path / "q.onnx").write_bytes(data)
    checker: Any = onnx.checker
    checker.check_model(found.model, full_check=True)
    assert {entry.domain for entry in found.model.opset_import} == {""}
    graph = pipeline(load(tmp_path / "q.onnx"), require_integer=True)
    assert graph_to_bytes(graph) == graph_to_bytes(found.graph)
    feeds = build.samples(8, seed=8)
    ours = run_reference(graph, feeds)
    for integer, theirs in zip(ours, together(data, feeds), strict=True):
        assert sqnr_db(integer, theirs) > ENOUGH_DB


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), depth=st.integers(1, 8), method=st.sampled_from(METHODS))
def test_random_networks_keep_their_sqnr(
    tmp_path_factory: pytest.TempPathFactory, seed: int, depth: int, method: str
):
    found = quantize(
        tmp_path_factory.mktemp("net"), random_network(seed, depth), method=method, count=16
    )
    assert found.report.float_nodes == ()
    for row in (*found.report.layers, *found.report.outputs):
        assert row.sqnr_db is None or row.sqnr_db > 20, row


def test_parts_of_a_quantized_network_compose(tmp_path: Path):
    build = network("residual")
    graph = quantize(tmp_path, build).graph
    feed = build.samples(1)
    [whole] = run_reference(graph, feed)
    for cut in cuts(graph):
        [made] = run_plan(partition(graph, cut), feed)
        np.testing.assert_array_equal(made, whole)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path):
    first, second = (quantize(tmp_path, network("densely")) for _ in range(2))
    assert first.model.SerializeToString() == second.model.SerializeToString()
    assert first.report == second.report


# ---- where quantizers go ----------------------------------------------------------------


def test_a_residual_sum_takes_one_accumulator_as_it_is(tmp_path: Path):
    found = quantize(tmp_path, network("residual"))
    kinds = [row.kind for row in found.report.layers]
    assert kinds.count("Conv+Add") == 2
    assert "Add" not in kinds


def test_an_output_that_a_layer_makes_stays_an_accumulator(tmp_path: Path):
    build = network("perceptron")
    found = quantize(tmp_path, build)
    last = list(found.graph.graph)[-1]
    assert (last.op_type, last.inputs[0].dtype.numpy()) == ("Dequantize", np.int32)  # pyright: ignore[reportOptionalMemberAccess]


def test_operands_of_a_concat_share_one_scale(tmp_path: Path):
    found = quantize(tmp_path, network("two ends"))
    [concat] = [node for node in found.graph.graph if node.op_type == "Concat"]
    assert len({qtype_of(value) for value in (*concat.inputs, *concat.outputs) if value}) == 1


@pytest.mark.parametrize("name", ["wave", "densely"])
def test_what_only_moves_keeps_its_scale(tmp_path: Path, name: str):
    found = quantize(tmp_path, network(name))
    moves = [
        node for node in found.graph.graph if node.op_type in ("MaxPool", "Reshape", "Concat")
    ]
    assert moves
    for node in moves:
        x = node.inputs[0]
        assert x is not None
        assert qtype_of(x) == qtype_of(node.outputs[0])


def test_batch_norms_and_pads_cost_no_node(tmp_path: Path):
    build = FloatBuilder()
    x = build.input("x", (1, 3, 8, 8))
    pads = build.constant("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    padded = build.node("Pad", [x, pads], (1, 3, 10, 10))
    normed = build.norm(build.conv(padded, 4, pad=0, bias=False))
    build.output(build.dense(build.average(build.relu(normed)), 3))
    found = quantize(tmp_path, build)
    assert {row.kind for row in found.report.layers} == {
        *("Quantize", "Conv+Requantize", "AveragePool", "Reshape")
    }


def test_weights_that_are_listed_as_inputs_are_constants_all_the_same(tmp_path: Path):
    build = network("residual")
    model = build.model()
    for tensor in model.graph.initializer:
        model.graph.input.append(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    path = tmp_path / "old.onnx"
    path.write_bytes(model.SerializeToString())
    samples = held_arrays(build.samples(SAMPLES))
    assert quantized(path, samples).report == quantize(tmp_path, build).report


def test_a_pool_before_the_relu_loses_nothing(tmp_path: Path):
    build = FloatBuilder()
    pooled = build.pool(build.conv(build.input("x", (1, 3, 8, 8)), 4))
    build.output(build.conv(build.relu(pooled), 2))
    found = quantize(tmp_path, build)
    [row] = [row for row in found.report.layers if row.kind == "MaxPool"]
    assert row.low == 0  # codes for what the ReLU keeps, not for what it drops


# ---- weights and biases -----------------------------------------------------------------


def test_dead_channels_leave_room_for_their_bias(tmp_path: Path):
    build = FloatBuilder()
    weight = build.rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    weight[0], weight[1], weight[2] = 0, weight[1] * 1e-30, weight[2] * 1e-9
    operands = [
        build.input("x", (1, 3, 8, 8)),
        build.constant("w", weight),
        build.constant("b", np.array([0, 1, -3, 0.5], np.float32)),
    ]
    build.output(build.relu(build.node("Conv", operands, (1, 4, 6, 6))))
    found = quantize(tmp_path, build)
    biases = [
        numpy_helper.to_array(tensor).astype(np.int64)
        for tensor in found.model.graph.initializer
        if tensor.data_type == TensorProto.INT32
    ]
    assert np.abs(biases[0]).max() <= 2**30
    feeds = build.samples(4, seed=3)
    [real], [rounded] = (
        together(tmp_path / "float.onnx", feeds),
        run_reference(found.graph, feeds),
    )
    assert sqnr_db(real, rounded) > ENOUGH_DB


def test_a_weight_that_two_layers_share(tmp_path: Path):
    build = FloatBuilder()
    weight = build.constant("w", (build.rng.normal(size=(4, 4, 3, 3)) / 6).astype(np.float32))
    x = build.input("x", (1, 4, 10, 10))
    x = build.relu(build.node("Conv", [x, weight], (1, 4, 8, 8)))
    build.output(build.node("Conv", [x, weight], (1, 4, 6, 6)))
    found = quantize(tmp_path, build)
    assert found.report.outputs[0].sqnr_db is not None
    assert found.report.outputs[0].sqnr_db > ENOUGH_DB


def test_corrected_biases_keep_the_means_of_channels(tmp_path: Path):
    """Weights that all round the same way on inputs of one sign: the worst case for the mean."""
    build = FloatBuilder()
    weight = np.full((2, 16), 0.3 / 127, np.float32)
    weight[:, 0] = 1
    x = build.input("x", (1, 16))
    bias = build.constant("b", np.zeros(2, np.float32))
    build.output(build.node("Gemm", [x, build.constant("w", weight), bias], (1, 2), transB=1))
    path = build.write(tmp_path / "float.onnx")
    feeds = {"x": np.random.default_rng(0).uniform(0.5, 1, (64, 16)).astype(np.float32)}
    [exact] = together(path, feeds)
    shifts: list[float] = []
    for correct in (True, False):
        found = quantized(path, held_arrays(feeds), Options(bias_correction=correct))
        [rounded] = run_reference(found.graph, feeds)
        shifts.append(float(np.abs((rounded - exact).mean(0)).max()))
    with_correction, without = shifts
    assert without > 0.02
    assert with_correction < without / 20


def test_scaled_gemm_keeps_its_factors(tmp_path: Path):
    build = FloatBuilder()
    weight = build.constant("w", build.rng.normal(size=(8, 3)).astype(np.float32))
    bias = build.constant("b", np.array([1, 2, 3], np.float32))
    operands = [build.input("x", (1, 8)), weight, bias]
    build.output(build.node("Gemm", operands, (1, 3), alpha=0.5, beta=2.0))
    found = quantize(tmp_path, build)
    feeds = build.samples(16, seed=4)
    [real], [rounded] = (
        together(tmp_path / "float.onnx", feeds),
        run_reference(found.graph, feeds),
    )
    assert sqnr_db(real, rounded) > ENOUGH_DB


# ---- the report -------------------------------------------------------------------------


def test_the_report_is_what_the_reference_gives(tmp_path: Path):
    build = network("residual")
    found = quantize(tmp_path, build, compared=3)
    report = found.report
    assert (report.samples, report.samples_given, report.compared) == (SAMPLES, SAMPLES, 3)
    feeds = {name: x[:3] for name, x in build.samples(SAMPLES).items()}
    values = trace(found.graph, feeds)
    model = build.model()
    [row] = [row for row in report.layers if row.source == "relu2"]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info("relu2"))
    exact = together(model.SerializeToString(), feeds)[-1]
    rounded = (values[row.name].astype(np.float64) - row.zero_point) * row.scale
    assert row.sqnr_db == pytest.approx(sqnr_db(exact, rounded), abs=0.01)
    assert row.low <= 0 <= row.high
    assert row.seen_high >= exact.max()
    document = json.loads(json.dumps(report.to_dict()))
    assert document["provenance"] == "measured"
    assert document["integer_bytes"] < document["weight_bytes"] / 2


def test_a_check_counts_hits_of_both_networks(tmp_path: Path):
    build = network("residual")
    path = build.write(tmp_path / "float.onnx")
    held_out = build.samples(40, seed=9)
    [logits] = together(path, held_out)
    labels = logits.argmax(1)
    found = quantized(
        path, held_arrays(build.samples(16)), check=held_arrays({**held_out, "y": labels})
    )
    [rounded] = run_reference(found.graph, held_out)
    check = found.report.check
    assert check is not None
    assert check.samples == 40
    assert check.float_accuracy == 1.0
    assert check.integer_accuracy == check.outputs[0].agreement
    assert check.integer_accuracy == float((rounded.argmax(1) == labels).mean())
    assert check.outputs[0].sqnr_db == pytest.approx(sqnr_db(logits, rounded), abs=0.01)
    unlabelled = quantized(path, held_arrays(build.samples(16)), check=held_arrays(held_out))
    assert unlabelled.report.check is not None
    assert unlabelled.report.check.float_accuracy is None
    assert unlabelled.report.check.outputs == check.outputs


def test_nodes_that_stay_in_float_are_named(tmp_path: Path):
    build = FloatBuilder()
    x = build.conv(build.input("x", (1, 3, 8, 8)), 4)
    one = build.constant("one", np.array([20], np.float32))
    divisor = build.node("Add", [build.relu(x), one], (1, 4, 8, 8))
    build.output(build.conv(build.node("Div", [x, divisor], (1, 4, 8, 8)), 2))
    found = quantize(tmp_path, build)
    assert [text.split()[0] for text in found.report.float_nodes] == ["Div"]
    with pytest.raises(
        UnsupportedError, match=r"must be integer, and 1 stayed in float:\n  Div"
    ):
        quantize(tmp_path, build, require_integer=True)


def test_a_value_that_is_always_zero_is_noted(tmp_path: Path):
    build = network("perceptron")
    path = build.write(tmp_path / "float.onnx")
    found = quantized(path, held_arrays({"x": np.zeros((4, 20), np.float32)}))
    assert "'x' is 0 for every sample; its quantizer is a guess" in found.report.notes


def test_progress_is_told_of_each_walk(tmp_path: Path):
    build = network("perceptron")
    told: dict[str, list[tuple[int, int]]] = {}

    @contextmanager
    def walk(label: str) -> Generator[Progress]:
        told[label] = []
        yield lambda done, total: told[label].append((done, total))

    path = build.write(tmp_path / "float.onnx")
    samples = held_arrays(build.samples(5))
    quantized(path, samples, Options(compared=2), check=samples, walk=walk)
    assert told["calibrating"] == [(i + 1, 10) for i in range(10)]
    assert told["comparing"] == [(1, 2), (2, 2)]
    assert [label for label, calls in told.items() if calls[-1][0] != calls[-1][1]] == []
    assert [*told] == [
        *("reading calibration", "reading check", "calibrating", "correcting biases"),
        *("comparing", "checking"),
    ]


def test_onnxruntime_agrees_with_the_sessions_of_the_tests(tmp_path: Path):
    """`together` is what the other tests trust."""
    build = network("residual")
    path = build.write(tmp_path / "float.onnx")
    feeds = build.samples(1)
    np.testing.assert_allclose(
        together(path, feeds)[0], run(path, feeds)[0], rtol=1e-4, atol=1e-5
    )
