"""Costs are counted once and add: against the networks' own arithmetic, and against a slow twin."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import pytest
from graph_builder import GraphBuilder
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_graphs import NETWORKS, feeds, random_graph

from joulecut.compiler.cost import Cost, cost, cost_of_layer
from joulecut.compiler.cut import cuts
from joulecut.compiler.graph import Graph, constant_of, ints_of, name_of, nodes, op_key
from joulecut.compiler.layers import layers
from joulecut.compiler.plan import partition
from joulecut.compiler.reference import trace

COUNTS = st.integers(0, 2**40)
COSTS = st.builds(Cost, *[COUNTS] * 12)


@given(COSTS, COSTS, COSTS)
def test_costs_add(a: Cost, b: Cost, c: Cost):
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Cost() == a
    assert (a + b).weight_bytes == a.weight_bytes + b.weight_bytes


def test_the_digit_network_is_that_of_the_paper():
    """433,274 parameters and 6,236,544 MACs: docs/energy.md."""
    graph = NETWORKS["digits"]()
    found = cost(graph)
    assert found.macs == 6_236_544
    assert found.parameters == 433_274
    biases = 16 + 32 + 48 + 64 + 512 + 256 + 128 + 64 + 10
    assert found.weight_bytes == 433_274 + 3 * biases  # a bias is an int32
    per_layer = [cost_of_layer(layer) for layer in layers(graph)]
    assert [each.macs for each in per_layer if each.macs] == [
        *(313_600, 2_508_800, 1_881_600, 1_228_800),
        *(131_072, 131_072, 32_768, 8_192, 640),
    ]
    assert [each.parameters for each in per_layer if each.parameters] == [
        *(416, 12_832, 38_448, 76_864),
        *(131_584, 131_328, 32_896, 8_256, 650),
    ]


def nonzero(node: ir.Node, read: list[np.ndarray], made: int) -> Cost:
    """Weights that do something, output channel by output channel."""
    weights = read[1]
    if op_key(node) == "joulecut.Conv":
        channels, points = list(weights), ints_of(node, "w_zero_point")
    else:
        channels, points = list(np.moveaxis(weights, -1, 0)), ints_of(node, "b_zero_point")
    points = points * len(channels) if len(points) == 1 else points
    live = [sum(int(q) != p for q in c.flat) for c, p in zip(channels, points, strict=True)]
    if constant_of(node.inputs[1]) is None:
        return Cost(nonzero_macs=made * weights.shape[-2])
    biases = sum(int(b) != 0 for b in read[2]) if len(read) == 3 else 0
    return Cost(
        nonzero_macs=sum(made // len(channels) * count for count in live),
        nonzero_parameters=sum(live) + biases,
        nonzero_bytes=sum(live) + 4 * biases,
    )


def slow_cost(graph: Graph) -> Cost:
    """Counts from the arrays themselves: what each node really read and made."""
    arrays = trace(graph, feeds(graph))
    total = Cost()

    def array(value: ir.Value) -> np.ndarray:
        constant = constant_of(value)
        return arrays[name_of(value)] if constant is None else constant

    for node in nodes(graph):
        made = arrays[name_of(node.outputs[0])].size
        read = [array(value) for value in node.inputs if value is not None]
        constants = [constant_of(value) for value in node.inputs]
        fixed = [constant for constant in constants if constant is not None]
        nbytes = sum(constant.nbytes for constant in fixed)
        key = op_key(node)
        if key in ("joulecut.Conv", "joulecut.MatMul"):
            axes = range(1, read[1].ndim) if key == "joulecut.Conv" else [read[1].ndim - 2]
            terms = math.prod(read[1].shape[axis] for axis in axes)
            total += nonzero(node, read, made)
            total += Cost(
                macs=made * terms,
                additions=made * (len(read) == 3),
                parameters=sum(constant.size for constant in fixed),
                weight_bytes=nbytes,
            )
            continue
        operands = len(read) // 2
        work = {
            "joulecut.Mul": Cost(macs=made, nonzero_macs=made),
            "joulecut.Quantize": Cost(float_products=made),
            "joulecut.Dequantize": Cost(float_products=made),
            "joulecut.Requantize": Cost(float_products=made),
            "joulecut.Add": Cost(
                float_products=made * operands, float_additions=made * (operands - 1)
            ),
        }
        if key == "joulecut.AveragePool":
            kernel = node.attributes["kernel_shape"].as_ints()
            total += Cost(additions=made * (math.prod(kernel) - 1), float_products=made)
        total += work.get(key, Cost()) + Cost(constant_bytes=nbytes)
    for layer in layers(graph):
        total += Cost(
            activation_bytes_in=sum(arrays[name_of(value)].nbytes for value in layer.inputs),
            activation_bytes_out=arrays[layer.name].nbytes,
        )
    return total


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_cost_is_what_the_arrays_say(seed: int):
    graph = random_graph(seed)
    assert cost(graph) == slow_cost(graph)


@pytest.mark.parametrize("name", NETWORKS)
def test_cost_of_a_network_is_what_the_arrays_say(name: str):
    graph = NETWORKS[name]()
    assert cost(graph) == slow_cost(graph)


def test_parts_cost_what_the_whole_does():
    graph = NETWORKS["resnet8"]()
    for cut in cuts(graph):
        plan = partition(graph, cut)
        assert cost(plan.edge.graph).macs == cut.edge_macs
        assert cost(plan.edge.graph) + cost(plan.cloud.graph) == cost(graph)


def test_float_nodes_have_a_price_and_moves_have_none():
    b = GraphBuilder("float", 0)
    x = b.relu(b.input("x", (1, 2, 4, 4)))
    b.output(b.reshape(b.quantize(x), (1, 32)))
    found = cost(b.graph())
    assert (found.macs, found.additions, found.float_additions) == (0, 0, 0)
    assert found.float_products == 32  # of Quantize
    assert found.activation_bytes_in == 32 * 4 + 32 * 4 + 32
    assert found.activation_bytes_out == 32 * 4 + 32 + 32
