"""The interpreter of docs/spec.md: feeds, batches, and the operators that no engine offers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_graphs import NETWORKS, feeds, random_graph
from one_node import full_range, number_of, ours

from joulecut.compiler.errors import ConfigError, UnsupportedError
from joulecut.compiler.graph import DOMAIN, Graph, name_of, output_specs, values
from joulecut.compiler.quant import QType, set_qtype
from joulecut.compiler.reference import OPERATORS, run_reference, trace

INT8 = {"low": -128, "high": 127, "dtype": number_of(np.dtype(np.int8)), "zero_point": 0}


def graph_of(nodes: list[ir.Node], inputs: list[ir.Value], outputs: list[ir.Value]) -> Graph:
    constants = {v.name: v for node in nodes for v in node.inputs if v and v.const_value}
    graph = ir.Graph(
        inputs,
        outputs,
        nodes=nodes,
        initializers=list(constants.values()),
        opset_imports={"": 20, DOMAIN: 1},
    )
    return ir.Model(graph, ir_version=10)


def constant(name: str, array: np.ndarray) -> ir.Value:
    return ir.val(name, const_value=ir.tensor(array, name=name))


# Graphs


def stacked(many: list[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([one[name] for one in many]) for name in many[0]}


def assert_batch_is_one_by_one(graph: Graph, batch: int) -> None:
    samples = [feeds(graph, seed) for seed in range(batch)]
    together = trace(graph, stacked(list(samples)))
    apart = stacked([trace(graph, sample) for sample in samples])
    assert list(together) == list(apart) == [name_of(value) for value in values(graph)]
    for name, array in apart.items():
        np.testing.assert_array_equal(together[name], array, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_a_batch_is_its_samples_one_by_one(seed: int, floats: bool):
    assert_batch_is_one_by_one(random_graph(seed, floats=floats), batch=3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_of_a_network_is_its_samples_one_by_one(name: str):
    assert_batch_is_one_by_one(NETWORKS[name](), batch=2)


def test_a_batch_beyond_one_chunk_keeps_its_order():
    graph = NETWORKS["conv1d"]()
    samples = [feeds(graph, seed) for seed in range(67)]
    (together,) = run_reference(graph, stacked(list(samples)))
    apart = [run_reference(graph, sample)[0] for sample in samples]
    np.testing.assert_array_equal(together, np.concatenate(apart))


@pytest.mark.parametrize(
    ("op_type", "shape", "operands", "attributes"),
    [
        ("Transpose", (3, 1, 4), [], {"perm": [1, 0, 2]}),
        ("Reshape", (12,), [np.array([12])], {}),
        ("Reshape", (3, 4), [np.array([3, 4])], {}),
        ("Concat", (3, 3, 4), [np.zeros((2, 3, 4), np.int8)], {"axis": 0}),
        ("Concat", (1, 5, 4), [np.zeros((1, 2, 4), np.int8)], {"axis": 1}),
        ("Pad", (2, 3, 4), [np.array([1, 0, 0, 0, 0, 0])], {}),
        ("Slice", (1, 3, 4), [np.array([0]), np.array([1]), np.array([0])], {}),
        ("joulecut.Mul", (1, 1, 3, 4), [np.ones((1, 1, 1, 1), np.int8)], {"a_zero_point": 0, "b_zero_point": 0}),
        ("joulecut.MatMul", (1, 3, 2, 6), [np.ones((1, 3, 4, 6), np.int8)], {"a_zero_point": 0, "b_zero_point": 0}),
    ],
)  # fmt: skip
def test_a_batch_where_a_node_would_mix_samples(
    op_type: str,
    shape: tuple[int, ...],
    operands: list[np.ndarray],
    attributes: dict[str, int | list[int]],
):
    """The samples run one by one, and the results are joined along the leading dimension."""
    sample = (2, 4) if op_type == "joulecut.MatMul" else (3, 4)
    x = ir.val("x", ir.DataType.INT8, (1, *sample))
    domain, _, name = op_type.rpartition(".")
    output = ir.val("y", ir.DataType.INT32 if domain else ir.DataType.INT8, shape)
    constants = [constant(f"c{i}", operand) for i, operand in enumerate(operands)]
    node = ir.node(name, [x, *constants], attributes, domain=domain, outputs=[output])
    graph = graph_of([node], [x], [output])
    batch = full_range(np.random.default_rng(0), np.int8, (3, *sample))
    apart = [run_reference(graph, {"x": batch[i : i + 1]})[0] for i in range(3)]
    (together,) = run_reference(graph, {"x": batch})
    assert apart[0].shape == shape
    np.testing.assert_array_equal(together, np.concatenate(apart))


def test_a_batch_of_products_of_two_computed_matrices():
    """[1, 1] x [1, 2]: the second operand's leading dimension is the one that is summed over."""
    a, b = ir.val("a", ir.DataType.INT8, (1, 1)), ir.val("b", ir.DataType.INT8, (1, 2))
    y = ir.val("y", ir.DataType.INT32, (1, 2))
    zero = {"a_zero_point": 0, "b_zero_point": 0}
    node = ir.node("MatMul", [a, b], zero, domain=DOMAIN, outputs=[y])
    left, right = np.array([[2], [3]], np.int8), np.array([[1, 4], [5, 6]], np.int8)
    (result,) = run_reference(graph_of([node], [a, b], [y]), {"a": left, "b": right})
    assert result.tolist() == [[2, 8], [15, 18]]


def test_a_batch_beside_a_node_that_reads_only_constants():
    x = ir.val("x", ir.DataType.INT8, (1, 2))
    fixed, both = (ir.val(name, ir.DataType.INT8, (1, n)) for name, n in (("c", 2), ("y", 4)))
    constants = constant("k", np.array([[3, 4]], np.int8))
    nodes = [
        ir.node("Identity", [constants], outputs=[fixed]),
        ir.node("Concat", [x, fixed], {"axis": 1}, outputs=[both]),
    ]
    (result,) = run_reference(graph_of(nodes, [x], [both]), {"x": np.eye(2, dtype=np.int8)})
    assert result.tolist() == [[1, 0, 3, 4], [0, 1, 3, 4]]


def test_a_scalar_stays_a_scalar():
    x, multiplier = np.array(6, np.int32), np.array([0.5], np.float32)
    result = ours("Requantize", [x, multiplier], {**INT8, "x_zero_point": 0})
    assert (result.shape, result.item()) == ((), 3)


def test_outputs_come_in_the_order_of_the_graph():
    graph = NETWORKS["two_inputs"]()
    results, found = run_reference(graph, feeds(graph)), trace(graph, feeds(graph))
    assert len(results) == 2
    for spec, result in zip(output_specs(graph), results, strict=True):
        assert result is found[spec.name] or np.array_equal(result, found[spec.name])
        assert result.shape == spec.shape
        assert result.dtype == spec.dtype


# What a caller may get wrong


def test_feeds_must_have_the_names_of_the_inputs():
    graph = NETWORKS["two_inputs"]()
    some = feeds(graph)
    del some["state"]
    with pytest.raises(
        ConfigError, match=r"^feeds must be \['image', 'state'\], not \['image'\]$"
    ):
        run_reference(graph, some)


def test_feeds_must_have_the_shapes_of_the_inputs():
    graph = NETWORKS["digits"]()
    text = (
        r"feed 'x' must have shape \[1, 1, 28, 28\] or N in place of the 1, not \[1, 28, 28\]"
    )
    with pytest.raises(ConfigError, match=text):
        run_reference(graph, {"x": np.zeros((1, 28, 28), np.float32)})
    with pytest.raises(ConfigError, match=r"not \[0, 1, 28, 28\]"):
        run_reference(graph, {"x": np.zeros((0, 1, 28, 28), np.float32)})


def test_feeds_must_have_the_types_of_the_inputs():
    with pytest.raises(ConfigError, match=r"^feed 'x' must be float32, not float64$"):
        run_reference(NETWORKS["digits"](), {"x": np.zeros((1, 1, 28, 28))})


def test_feeds_must_be_finite():
    x = np.zeros((1, 1, 28, 28), np.float32)
    x[0, 0, 3, 3] = np.nan
    with pytest.raises(ConfigError, match=r"^feed 'x' must be finite, not (nan|inf) at"):
        run_reference(NETWORKS["digits"](), {"x": x})


def test_feeds_must_agree_in_their_batch():
    graph = NETWORKS["two_inputs"]()
    some = {
        "image": np.zeros((2, 1, 12, 12), np.float32),
        "state": np.zeros((3, 5), np.float32),
    }
    with pytest.raises(ConfigError, match=r"^feeds must have one batch size, not \[2, 3\]$"):
        run_reference(graph, some)


def test_integer_feeds_must_be_in_range():
    x = ir.val("x", ir.DataType.INT8, (1, 2))
    set_qtype(x, QType(4, signed=True, scale=(1.0,)))
    y = ir.val("y", ir.DataType.INT8, (1, 2))
    graph = graph_of([ir.node("Identity", [x], outputs=[y])], [x], [y])
    text = r"^feed 'x' must be in -8..7, not -8..8; quantize and clamp it$"
    with pytest.raises(ConfigError, match=text):
        run_reference(graph, {"x": np.array([[-8, 8]], np.int8)})
    assert run_reference(graph, {"x": np.array([[-8, 7]], np.int8)})[0].tolist() == [[-8, 7]]


def test_a_graph_without_a_batch_dimension_takes_its_exact_shape():
    x, y = ir.val("x", ir.DataType.INT8, (3,)), ir.val("y", ir.DataType.INT8, (3,))
    graph = graph_of([ir.node("Identity", [x], outputs=[y])], [x], [y])
    assert run_reference(graph, {"x": np.array([1, 2, 3], np.int8)})[0].tolist() == [1, 2, 3]
    with pytest.raises(ConfigError, match=r"must have shape \[3\], not \[4\]"):
        run_reference(graph, {"x": np.zeros(4, np.int8)})


def test_every_unknown_operator_is_named():
    x = ir.val("x", ir.DataType.FLOAT, (1, 2))
    y, z = (ir.val(name, ir.DataType.FLOAT, (1, 2)) for name in "yz")
    nodes = [
        ir.node("Softmax", [x], outputs=[y], name="first"),
        ir.node("Gelu", [y], outputs=[z], name="second"),
    ]
    with pytest.raises(UnsupportedError, match="graph must be an integer Graph") as caught:
        run_reference(graph_of(nodes, [x], [z]), {"x": np.zeros((1, 2), np.float32)})
    assert [finding.node for finding in caught.value.findings] == ["first", "second"]
    assert "Softmax 'first': not in docs/spec.md; lower it with `pipeline`" in str(caught.value)


def test_quantize_names_the_node_that_met_infinity():
    x = np.array([[1.0, np.inf]], np.float32)
    with pytest.raises(ConfigError, match="input of Quantize 'node' must be finite"):
        ours("Quantize", [x], {"scale": 1.0, **INT8})


# The operators by hand


def test_rounding_is_half_to_even_before_the_zero_point():
    x = np.array([[-5, -3, -1, 1, 3, 5, 7]], np.int32)
    half = np.array([0.5], np.float32)
    attributes = {**INT8, "zero_point": 1, "x_zero_point": 0}
    assert ours("Requantize", [x, half], attributes).tolist() == [[-1, -1, 1, 1, 3, 3, 5]]


def test_requantize_converts_to_float32_before_it_multiplies():
    """2**24 + 1 is no float32: it becomes 2**24, and the product follows."""
    x = np.array([2**24 + 1, 2**24 + 3, -(2**31), 2**31 - 1], np.int32)
    attributes = {"low": 0, "high": 255, "dtype": 2, "zero_point": 7, "x_zero_point": 0}
    multiplier = np.array([2.0**-20], np.float32)
    assert ours("Requantize", [x, multiplier], attributes).tolist() == [23, 23, 0, 255]
    exact = np.array([1.0], np.float32)
    attributes = {"low": -1, "high": 1, "dtype": 3, "zero_point": -(2**24), "x_zero_point": 0}
    assert ours("Requantize", [x[:2], exact], attributes).tolist() == [0, 1]


def test_requantize_of_8_bits_subtracts_its_zero_point():
    x = np.array([0, 100, 255], np.uint8)
    attributes = {**INT8, "low": -8, "high": 7, "x_zero_point": 100}
    multiplier = np.array([0.0625], np.float32)
    assert ours("Requantize", [x, multiplier], attributes).tolist() == [-6, 0, 7]


@pytest.mark.parametrize(("axis", "row"), [(1, 1), (-2, 1), (2, 2), (-1, 2)])
def test_multipliers_lie_along_the_axis(axis: int, row: int):
    x = np.full((1, 2, 2), 8, np.int32)
    attributes = {**INT8, "axis": axis, "x_zero_point": 0}
    result = ours("Requantize", [x, np.array([1, 2], np.float32)], attributes)
    expected = [[8, 8], [16, 16]] if row == 1 else [[8, 16], [8, 16]]
    assert result[0].tolist() == expected


def test_add_rounds_every_product_by_itself():
    """384 * float32(1 / 3) is 128 + 4e-6, which rounds to 128; a fused one would keep the 4e-6."""
    a, b = np.array([384, -384], np.int32), np.array([-255, 255], np.int32)
    third, half = np.array([1 / 3], np.float32), np.array([0.5], np.float32)
    attributes = {**INT8, "x_zero_points": [0, 0]}
    assert ours("Add", [a, b, third, half], attributes).tolist() == [0, 0]
    fused = a * third.astype(np.float64) + b * 0.5
    assert np.rint(fused.astype(np.float32)).tolist() == [1, -1]


def test_add_of_three_goes_from_left_to_right_and_broadcasts():
    big, small = np.array([[2**24]], np.int32), np.array([1, 1], np.int32)
    one = np.array([1], np.float32)
    attributes = {**INT8, "x_zero_points": [0, 0, 2**24], "zero_point": 0}
    left = ours("Add", [big, small, np.zeros(1, np.int32), one, one, one], attributes)
    assert left.tolist() == [[0, 0]]  # (2**24 + 1) - 2**24, where the 1 is lost
    attributes["x_zero_points"] = [0, 2**24, 0]
    right = ours("Add", [big, np.zeros(1, np.int32), small, one, one, one], attributes)
    assert right.tolist() == [[1, 1]]


def test_average_pool_multiplies_the_sum_by_one_float():
    x = np.array([[[[1, 2], [4, 8]]]], np.uint8)
    attributes = {
        **INT8,
        "kernel_shape": [2, 2],
        "strides": [1, 1],
        "pads": [1, 1, 0, 0],
        "x_zero_point": 1,
        "x_scale": 0.5,
        "y_scale": 0.25,
    }
    # sums of (x - 1): 0, 1; 3, 11; divisors 1, 2; 2, 4
    assert ours("AveragePool", [x], attributes)[0, 0].tolist() == [[0, 1], [3, 6]]
    attributes["count_include_pad"] = 1
    assert ours("AveragePool", [x], attributes)[0, 0].tolist() == [[0, 0], [2, 6]]


def test_average_pool_divides_the_scales_before_it_multiplies():
    """77 * (0.30000001192092896 / (0.07000000029802322 * 4)) rounds to 83; from left to right it would be 82."""
    x = np.array([[[19, 19, 19, 20]]], np.uint8)
    scales = {"x_scale": 0.30000001192092896, "y_scale": 0.07000000029802322, "x_zero_point": 0}
    result = ours("AveragePool", [x], {**INT8, **scales, "kernel_shape": [4]})
    assert result.item() == 83
    assert (
        np.rint(
            np.float32(77)
            * np.float32(0.30000001192092896)
            / (np.float32(0.07000000029802322) * np.float32(4))
        )
        == 82
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(), (2,), (2, 1)]))
def test_matmul_is_its_definition(seed: int, leading: tuple[int, ...]):
    rng = np.random.default_rng(seed)
    rows, depth, columns = (int(size) for size in rng.integers(1, 6, 3))
    a = full_range(rng, np.uint8, (*leading, rows, depth))
    b = full_range(rng, np.int8, (*((3,) if leading else ()), depth, columns))
    b = b if len(leading) != 1 else b[:1]
    bias = rng.integers(-1000, 1000, columns).astype(np.int32)
    zero_points = full_range(rng, np.int8, (columns,))
    attributes = {"a_zero_point": 200, "b_zero_point": zero_points.tolist()}
    result = ours("MatMul", [a, b, bias], attributes)
    left = np.broadcast_to(a, (*result.shape[:-2], rows, depth))
    right = np.broadcast_to(b, (*result.shape[:-2], depth, columns))
    for *batch, i, j in np.ndindex(*result.shape):
        total = int(bias[j])
        for k in range(depth):
            x, w = int(left[(*batch, i, k)]), int(right[(*batch, k, j)])
            total += (x - 200) * (w - int(zero_points[j]))
        assert result[(*batch, i, j)] == total


def test_matmul_of_a_vector():
    a, b = np.array([1, 2], np.int8), np.array([[3], [4]], np.int8)
    assert ours("MatMul", [a, b], {"a_zero_point": 0, "b_zero_point": 0}).tolist() == [11]


def test_mul_broadcasts():
    a, b = np.array([[0], [255]], np.uint8), np.array([-128, 127], np.int8)
    result = ours("Mul", [a, b], {"a_zero_point": 1, "b_zero_point": -1})
    assert result.dtype == np.int32
    assert result.tolist() == [[127, -128], [-32258, 32512]]


def test_the_table_is_the_specification():
    """docs/spec.md names exactly these operators."""
    ours_only = {key.removeprefix("joulecut.") for key in OPERATORS if "." in key}
    assert ours_only == {
        *("Quantize", "Dequantize", "Requantize"),
        *("Conv", "MatMul", "Mul", "Add", "AveragePool"),
    }
