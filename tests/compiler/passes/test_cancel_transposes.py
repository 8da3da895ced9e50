"""Transposes and Reshapes that undo each other go, and no number changes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_builder import GraphBuilder
from integer_graphs import feeds, random_graph

from joulecut.compiler.graph import Graph, constant_of, int_of, ints_of, nodes, op_key, shape_of
from joulecut.compiler.passes.cancel_transposes import CancelTransposes
from joulecut.compiler.pipeline import PASSES
from joulecut.compiler.reference import run_reference

LAST = (0, 2, 3, 1)  # channels last, as TensorFlow has them
FIRST = (0, 3, 1, 2)


def start(seed: int = 1) -> tuple[GraphBuilder, ir.Value]:
    b = GraphBuilder("turned", seed)
    return b, b.quantize(b.input("x", (1, 3, 4, 5)))


def cancelled(graph: Graph) -> Graph:
    """The graph after the pass, which computes the same, and is done."""
    found = CancelTransposes()(graph)
    for seed in range(2):
        x = feeds(graph, seed)
        for before, after in zip(run_reference(graph, x), run_reference(found, x), strict=True):
            np.testing.assert_array_equal(before, after)
            assert before.dtype == after.dtype
    for before, after in zip(graph.graph.outputs, found.graph.outputs, strict=True):
        assert (before.name, shape_of(before)) == (after.name, shape_of(after))
        assert before.metadata_props == after.metadata_props
    assert CancelTransposes()(found) is found
    return found


def keys(graph: Graph) -> list[str]:
    return [op_key(node) for node in nodes(graph)]


def one(graph: Graph, key: str) -> ir.Node:
    (found,) = (node for node in nodes(graph) if op_key(node) == key)
    return found


def conv(b: GraphBuilder, x: ir.Value) -> ir.Value:
    return b.conv(x, 6, (1, 1))


def test_two_that_undo_each_other_go() -> None:
    b, x = start()
    b.output(b.requantize(conv(b, b.transpose(b.transpose(x, LAST), FIRST))))
    assert "Transpose" not in keys(cancelled(b.graph()))


def test_three_become_one() -> None:
    b, x = start()
    for _ in range(3):
        x = b.transpose(x, (0, 2, 1, 3))
    b.output(b.requantize(conv(b, x)))
    assert ints_of(one(cancelled(b.graph()), "Transpose"), "perm") == (0, 2, 1, 3)


def test_two_in_different_orders_become_their_product() -> None:
    b, x = start()
    b.output(b.transpose(b.transpose(x, (0, 2, 3, 1)), (0, 2, 1, 3)))
    assert ints_of(one(cancelled(b.graph()), "Transpose"), "perm") == (0, 3, 2, 1)


def test_an_axis_of_one_element_is_renamed() -> None:
    b, x = start()
    pooled = b.average_pool(x, (4, 1))  # [1, 3, 1, 5]
    b.output(b.transpose(pooled, (0, 2, 1, 3)))
    assert keys(cancelled(b.graph()))[-1] == "Reshape"


def test_reshapes_become_the_last() -> None:
    b, x = start()
    b.output(b.matmul(b.reshape(b.reshape(b.reshape(x, (1, 15, 4)), (1, 4, 15)), (1, 60)), 3))
    graph = cancelled(b.graph())
    shape = constant_of(one(graph, "Reshape").inputs[1])
    assert shape is not None
    assert shape.tolist() == [1, 60]


def test_a_reshape_there_and_back_goes() -> None:
    b, x = start()
    b.output(b.requantize(conv(b, b.reshape(b.reshape(x, (1, 60)), (1, 3, 4, 5)))))
    assert "Reshape" not in keys(cancelled(b.graph()))


def test_a_requantize_between_two_has_its_axis_moved() -> None:
    b, x = start()
    acc = b.transpose(conv(b, x), LAST)
    multiplier = b.requantize(conv(b, x)).producer()
    assert multiplier is not None
    made = b.requantize(acc)
    producer = made.producer()
    assert producer is not None
    producer.attributes["axis"] = ir.AttrInt64("axis", 3)
    producer.replace_input_with(1, multiplier.inputs[1])  # one factor per channel of the Conv
    b.output(b.transpose(made, FIRST))
    graph = cancelled(b.graph())
    assert keys(graph) == ["joulecut.Quantize", "joulecut.Conv", "joulecut.Requantize"]
    moved = one(graph, "joulecut.Requantize")
    assert int_of(moved, "axis") == 1
    factors = constant_of(moved.inputs[1])
    assert factors is not None
    assert factors.size == 6


def test_two_requantize_stay_two() -> None:
    """Rounding twice is not rounding once."""
    b, x = start()
    x = b.requantize(b.requantize(b.transpose(x, LAST), b.qtype(4)), b.qtype(3))
    b.output(b.transpose(x, FIRST))
    assert keys(cancelled(b.graph())) == ["joulecut.Quantize", *["joulecut.Requantize"] * 2]


def test_a_sum_of_two_is_turned_once() -> None:
    b, x = start()
    left, right = b.requantize(b.conv(x, 3, (1, 1))), x
    b.output(b.add([b.transpose(left, LAST), b.requantize(b.transpose(right, LAST))]))
    graph = cancelled(b.graph())
    assert keys(graph).count("Transpose") == 1
    assert keys(graph)[-1] == "Transpose"


def test_a_residual_between_two_orders_loses_all() -> None:
    b, x = start()
    left, right = (b.transpose(b.requantize(b.conv(x, 3, (1, 1))), LAST) for _ in range(2))
    b.output(b.requantize(conv(b, b.transpose(b.requantize(b.add([left, right])), FIRST))))
    assert "Transpose" not in keys(cancelled(b.graph()))


def untouched(b: GraphBuilder) -> None:
    graph = b.graph()
    assert CancelTransposes()(graph) is graph


def test_a_lone_one_stays_at_inputs_and_outputs() -> None:
    b = GraphBuilder("ends", 0)
    x = b.quantize(b.input("x", (1, 4, 5, 3)))
    acc = conv(b, b.transpose(x, FIRST))
    b.output(b.transpose(b.requantize(acc), LAST))
    untouched(b)


def test_what_somebody_else_reads_stays() -> None:
    b, x = start()
    middle = b.requantize(b.transpose(x, LAST))
    b.output(b.transpose(middle, FIRST))
    b.output(middle)
    untouched(b)


def test_sums_of_other_orders_or_shapes_stay() -> None:
    b = GraphBuilder("square", 1)
    x = b.quantize(b.input("x", (1, 4, 4, 4)))
    y = b.requantize(b.conv(x, 4, (1, 1)))
    b.output(b.add([b.transpose(x, LAST), b.transpose(y, FIRST)]))
    b.output(b.add([b.transpose(x, LAST), y]))
    untouched(b)


def test_the_input_stays_as_it_is() -> None:
    b, x = start()
    b.output(b.transpose(b.transpose(x, LAST), FIRST))
    graph = b.graph()
    before = keys(graph)
    cancelled(graph)
    assert keys(graph) == before


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_compute_the_same(seed: int) -> None:
    graph = random_graph(seed, floats=bool(seed % 2))
    found = cancelled(graph)
    assert keys(found).count("Transpose") <= keys(graph).count("Transpose")


@pytest.mark.parametrize("seed", range(20))
def test_random_chains_of_moves_compute_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    b = GraphBuilder("chain", seed)
    x = b.quantize(b.input("x", (1, *map(int, rng.integers(1, 4, 3)))))
    for _ in range(10):
        match int(rng.integers(5)):
            case 0 | 1:
                x = b.transpose(x, [0, *(1 + int(i) for i in rng.permutation(3))])
            case 2:
                x = b.requantize(x)
            case 3:
                shape = shape_of(x)
                x = b.reshape(x, (1, *(shape[1 + int(i)] for i in rng.permutation(3))))
            case _:
                perm = [0, *(1 + int(i) for i in rng.permutation(3))]
                x = b.add([b.transpose(x, perm), b.requantize(b.transpose(x, perm))])
    b.output(x)
    cancelled(b.graph())


def test_the_pipeline_has_it() -> None:
    assert CancelTransposes() in PASSES
