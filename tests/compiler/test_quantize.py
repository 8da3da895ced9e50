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
    ConfigError,
    JoulecutError,
    UnsupportedError,
    UntrustedInputError,
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


# ---- shapes, operator sets --------------------------------------------------------------


def open_shapes() -> FloatBuilder:
    build = FloatBuilder()
    x = build.conv(build.input("x", ("N", 3, "height", None), (1, 3, 8, 12)), 4)
    build.output(build.dense(build.average(x), 3))
    return build


def test_open_dimensions_are_those_of_the_samples(tmp_path: Path):
    found = quantize(tmp_path, open_shapes())
    assert found.report.notes == (
        "dimension 0 of input 'x' was 'N' and is 1 (the batch)",
        "dimension 2 of input 'x' was 'height' and is 8 (as in the samples)",
        "dimension 3 of input 'x' was '?' and is 12 (as in the samples)",
    )
    assert found.report.outputs[0].name == "gemm3"


def test_dimensions_may_be_given(tmp_path: Path):
    build = open_shapes()
    found = quantize(tmp_path, build, shapes={"x": (1, 3, 8, 12)})
    assert "is 8 (as given)" in found.report.notes[1]
    path = tmp_path / "float.onnx"
    wrong = Options(shapes={"x": (1, 3, 16, 12)})
    with pytest.raises(ConfigError, match=r"must have shape \[N, 3, 16, 12\], not \[4, 3, 8"):
        quantized(path, held_arrays(build.samples(4)), wrong)


def test_a_fixed_batch_can_be_made_one(tmp_path: Path):
    build = FloatBuilder()
    x = build.conv(build.input("x", (4, 3, 8, 8), (1, 3, 8, 8)), 4)
    build.output(build.dense(build.average(x), 3))
    with pytest.raises(
        ConfigError, match=r"must begin with a batch of 1, not have shape \[4, 3"
    ):
        quantize(tmp_path, build)
    found = quantize(tmp_path, build, shapes={"x": (1, 3, 8, 8)})
    assert found.report.notes == ("dimension 0 of input 'x' was 4 and is 1 (the batch)",)


@pytest.mark.parametrize("opset", [11, 12, 13, 18, 21, 24])
def test_operator_sets(tmp_path: Path, opset: int):
    build = network("perceptron", opset=opset)
    found = quantize(tmp_path, build)
    assert found.report.outputs[0].sqnr_db is not None
    assert found.report.outputs[0].sqnr_db > ENOUGH_DB


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


# ---- refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"method": "magic"},
            r"method must be one of \['minmax', 'percentile', 'mse'\], not 'ma",
        ),
        ({"percentile": 50}, "percentile must be above 50 and at most 100, not 50"),
        ({"samples": 0}, "samples must be at least 1, not 0"),
        ({"compared": 0}, "compared must be at least 1, not 0"),
        ({"activations": "int4"}, "activations must be int8 or uint8, not 'int4'"),
    ],
)
def test_options(options: dict[str, Any], text: str):
    with pytest.raises(ConfigError, match=text):
        Options(**options)


def images(count: int = 4, *shape: int) -> np.ndarray:
    return np.zeros((count, *(shape or (3, 12, 12))), np.float32)


def broken(value: float) -> np.ndarray:
    found = images()
    found[2, 1, 3, 4] = value
    return found


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"image": images()}, r"one array for each of the inputs \['x'\], not \['image'\]"),
        (
            {"x": images(), "z": images()},
            r"inputs \['x'\], not \['x', 'z'\]; save it with numpy",
        ),
        (
            images(4, 12, 12, 3),
            r"'x' of calibration must have shape \[N, 3, 12, 12\], not \[4, 12",
        ),
        (images(4, 3, 12), r"must have shape \[N, 3, 12, 12\], not \[4, 3, 12\]"),
        (
            images().astype(np.float64),
            "'x' of calibration must be float32, not float64; prepare",
        ),
        (images().astype(np.uint8), "'x' of calibration must be float32, not uint8"),
        (images(0, 3, 12, 12), "calibration must have at least 1 sample, not none"),
        (broken(np.nan), r"'x' of calibration must be finite, not nan at \[2, 1, 3, 4\]"),
        (broken(-np.inf), r"'x' of calibration must be finite, not -inf at \[2, 1, 3, 4\]"),
        ({"x": images(), "y": np.zeros(3, int)}, "one number of samples, not {'x': 4, 'y': 3}"),
        (
            {"x": images(), "y": np.zeros(4)},
            r"labels 'y' .* must be whole numbers \[N\], not flo",
        ),
    ],
)
def test_samples_that_do_not_fit(tmp_path: Path, data: Any, text: str):
    path = network("residual").write(tmp_path / "float.onnx")
    with pytest.raises(ConfigError, match=text):
        quantized(path, held_arrays(data))


def test_nothing_runs_before_all_samples_were_read(tmp_path: Path):
    """The NaN is in the last sample of the check, and no calibration has begun."""
    build = network("residual")
    path = build.write(tmp_path / "float.onnx")
    begun: list[str] = []

    @contextmanager
    def walk(label: str) -> Generator[Progress]:
        begun.append(label)
        yield lambda _done, _total: None

    check = images(9)
    check[8] = np.nan
    with pytest.raises(
        ConfigError, match=r"'x' of check must be finite, not nan at \[8, 0, 0, 0"
    ):
        quantized(path, held_arrays(images()), check=held_arrays(check), walk=walk)
    assert begun == ["reading calibration", "reading check"]


def test_a_check_has_the_sizes_of_the_calibration(tmp_path: Path):
    build = open_shapes()
    path = build.write(tmp_path / "float.onnx")
    other = held_arrays(np.zeros((4, 3, 8, 16), np.float32))
    with pytest.raises(ConfigError, match=r"'x' of check must have shape .* as in calibration"):
        quantized(path, held_arrays(build.samples(4)), check=other)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.array([0, 10, 3, 4]), "labels must be in 0..9, not 0..10"),
        (np.array([0, -1, 3, 4]), "labels must be in 0..9, not -1..4"),
    ],
)
def test_labels_are_classes(tmp_path: Path, labels: np.ndarray, text: str):
    path = network("residual").write(tmp_path / "float.onnx")
    check = held_arrays({"x": images(), "y": labels})
    with pytest.raises(ConfigError, match=text):
        quantized(path, held_arrays(images()), check=check)


def test_labels_need_classes(tmp_path: Path):
    build = network("two ends")
    path = build.write(tmp_path / "float.onnx")
    check = held_arrays({**build.samples(2), "y": np.zeros(2, int)})
    with pytest.raises(
        ConfigError, match=r"a first output of shape \[1, classes\], not \[1, 4, 8"
    ):
        quantized(path, held_arrays(build.samples(2)), check=check)


def _softmax(build: FloatBuilder) -> None:
    logits = build.dense(build.input("x", (1, 8)), 4)
    build.output(build.node("Sigmoid", [build.node("Softmax", [logits], (1, 4))], (1, 4)))


def _left_weights(build: FloatBuilder) -> None:
    weight = build.constant("w", np.ones((5, 5), np.float32))
    build.output(build.node("MatMul", [weight, build.input("x", (1, 5, 8))], (1, 5, 8)))


def _overflowing(build: FloatBuilder) -> None:
    huge = build.constant("huge", np.full((8, 4), 1e38, np.float32))
    build.output(build.node("MatMul", [build.input("x", (1, 8)), huge], (1, 4)))


def _not_a_number(build: FloatBuilder) -> None:
    weight = build.constant("w", np.full((8, 4), np.nan, np.float32))
    build.output(build.node("MatMul", [build.input("x", (1, 8)), weight], (1, 4)))


def _quantized_already(build: FloatBuilder) -> None:
    scale = build.constant("s", np.array(0.1, np.float32))
    zero = build.constant("z", np.array(0, np.uint8))
    build.output(build.node("QuantizeLinear", [build.input("x", (1, 8)), scale, zero], (1, 8)))


def _contradicting(build: FloatBuilder) -> None:
    weight = build.constant("w", np.ones((9, 4), np.float32))
    build.output(build.node("MatMul", [build.input("x", (1, 8)), weight], (1, 4)))


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (_softmax, UnsupportedError, r"2 are not:\n  Softmax .*\n  Sigmoid"),
        (_left_weights, UnsupportedError, "its weights must be the second operand"),
        (_overflowing, ConfigError, "'matmul0' must be finite, and is not for sample 0"),
        (_not_a_number, UntrustedInputError, "tensor 'w' must hold numbers, and 32 of its 32"),
        (
            _quantized_already,
            ConfigError,
            "must be float, and its QuantizeLinear 'quantizelinear0",
        ),
        (_contradicting, JoulecutError, "onnxruntime, which refuses it|shapes must agree"),
    ],
)
def test_models_that_cannot_be_quantized(
    tmp_path: Path, make: Any, kind: type[JoulecutError], text: str
):
    build = FloatBuilder()
    make(build)
    path = build.write(tmp_path / "float.onnx")
    samples = {name: np.abs(x) + np.float32(1) for name, x in build.samples(2).items()}
    with pytest.raises(kind, match=text):
        quantized(path, held_arrays(samples))


def test_the_model_is_float32(tmp_path: Path):
    build = network("perceptron")
    model = build.model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    (tmp_path / "half.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError, match="input 'x' must be float32, not float16; export"):
        quantized(tmp_path / "half.onnx", held_arrays(build.samples(2)))


def test_the_model_is_there(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"model must be a file, and .*none\.onnx' is none"):
        quantized(tmp_path / "none.onnx", held_arrays(images()))


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ({"z": (1, 20)}, r"--shape must name one of the inputs \['x'\], not z"),
        ({"x": (1, 20, 1)}, r"--shape of 'x' must be 2 positive numbers, not \[1, 20, 1\]"),
        ({"x": (1, 0)}, r"--shape of 'x' must be 2 positive numbers, not \[1, 0\]"),
        ({"x": (2, 20)}, r"must begin with a batch of 1, not have shape \[2, 20\]"),
    ],
)
def test_shapes_that_do_not_fit(tmp_path: Path, shapes: Any, text: str):
    build = network("perceptron")
    path = build.write(tmp_path / "float.onnx")
    with pytest.raises(ConfigError, match=text):
        quantized(path, held_arrays(build.samples(2)), Options(shapes=shapes))


def test_what_onnx_cannot_convert_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise RuntimeError("no adapter")

    monkeypatch.setattr(onnx.version_converter, "convert_version", refuse)
    build = network("perceptron", opset=11)
    with pytest.raises(
        UnsupportedError, match=r"must be 13 or later.*no adapter.*opset_version="
    ):
        quantize(tmp_path, build)


def test_onnxruntime_agrees_with_the_sessions_of_the_tests(tmp_path: Path):
    """`together` is what the other tests trust."""
    build = network("residual")
    path = build.write(tmp_path / "float.onnx")
    feeds = build.samples(1)
    np.testing.assert_allclose(
        together(path, feeds)[0], run(path, feeds)[0], rtol=1e-4, atol=1e-5
    )
