"""What no output depends on goes, and every output stays, integer for integer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from graph_builder import GraphBuilder
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_graphs import NETWORKS, feeds, random_graph
from qdq_models import feeds_for, network, write

from joulecut.compiler.channel_ranges import channel_ranges, channels_of
from joulecut.compiler.cost import cost
from joulecut.compiler.graph import (
    Graph,
    constant_of,
    input_specs,
    int_of,
    ints_of,
    name_of,
    nodes,
    op_key,
    shape_of,
    values,
)
from joulecut.compiler.load import load
from joulecut.compiler.passes.prune_filters import PruneFilters
from joulecut.compiler.pipeline import pipeline
from joulecut.compiler.quant import QType, qtype_of
from joulecut.compiler.reference import run_reference, trace

ReLU = QType(8, False, (1.0,))  # zero point 0, so that a ReLU clamps at it


def extremes(graph: Graph) -> list[dict[str, np.ndarray]]:
    """Random inputs, and the ends of what quantizers can hold."""
    specs = input_specs(graph)
    flat = [{s.name: np.full(s.shape, v, s.dtype) for s in specs} for v in (-1e6, 0.0, 1e6)]
    rng = np.random.default_rng(0)
    ends = {s.name: (rng.choice([-1e6, 1e6], s.shape)).astype(s.dtype) for s in specs}
    return [feeds(graph, 0), feeds(graph, 1), ends, *flat]


def pruned(graph: Graph) -> Graph:
    """The graph after the pass, which computes the same, and is done."""
    found = PruneFilters()(graph)
    for x in extremes(graph):
        for before, after in zip(run_reference(graph, x), run_reference(found, x), strict=True):
            np.testing.assert_array_equal(before, after)
    assert PruneFilters()(found) is found
    for value in values(found):
        qtype = qtype_of(value)
        if qtype is not None and qtype.axis is not None:
            assert len(qtype.scale) == shape_of(value)[qtype.axis]
    return found


def set_constant(graph: Graph, node: int, position: int, change: Callable[[np.ndarray], None]):
    """Change a constant operand of the node of that number among Conv and MatMul."""
    dense = [n for n in nodes(graph) if op_key(n) in ("joulecut.Conv", "joulecut.MatMul")]
    value = dense[node].inputs[position]
    assert value is not None
    array = constant_of(value)
    assert array is not None
    array = array.copy()
    change(array)
    value.const_value = ir.tensor(array, name=name_of(value))


def zero_filter(graph: Graph, node: int, channels: Sequence[int], bias: int | None = 0) -> None:
    """Make weights of output channels 0, and their biases what is given."""
    dense = [n for n in nodes(graph) if op_key(n) in ("joulecut.Conv", "joulecut.MatMul")][node]
    is_conv = op_key(dense) == "joulecut.Conv"

    def change(array: np.ndarray) -> None:
        points = np.array(ints_of(dense, "w_zero_point" if is_conv else "b_zero_point"))
        for channel in channels:
            point = points[channel % len(points)]
            array[(channel,) if is_conv else (slice(None), channel)] = point

    set_constant(graph, node, 1, change)
    if bias is not None and len(dense.inputs) > 2:
        set_constant(graph, node, 2, lambda array: array.__setitem__(list(channels), bias))


def channels(graph: Graph) -> dict[str, int]:
    """Of what each Conv and MatMul makes, by the number of the node."""
    return {
        op_key(node).split(".")[1] + str(i): shape_of(node.outputs[0])[1]
        for i, node in enumerate(
            n for n in nodes(graph) if op_key(n) in ("joulecut.Conv", "joulecut.MatMul")
        )
    }


def chain(pads: Sequence[int] = (0, 0, 0, 0)) -> Graph:
    """Conv, ReLU, pool, Conv, ReLU, flatten, two dense layers."""
    b = GraphBuilder("chain", 3)
    x = b.quantize(b.input("x", (1, 2, 10, 10)))
    x = b.requantize(b.conv(x, 6, (3, 3)), ReLU, relu=True)
    x = b.max_pool(x, (2, 2), (2, 2))
    x = b.requantize(b.conv(x, 5, (3, 3), pads=pads), ReLU, relu=True)
    flat = b.reshape(x, (1, 5 * shape_of(x)[2] * shape_of(x)[3]))
    x = b.requantize(b.matmul(flat, 7), ReLU, relu=True)
    b.output(b.dequantize(b.matmul(x, 3)))
    return b.graph()


def test_a_filter_takes_its_reader_s_weights_along():
    graph = chain()
    zero_filter(graph, 0, [1, 4])
    found = pruned(graph)
    assert channels(found) == {"Conv0": 4, "Conv1": 5, "MatMul2": 7, "MatMul3": 3}
    first, second = (n for n in nodes(found) if op_key(n) == "joulecut.Conv")
    old, _ = (n for n in nodes(graph) if op_key(n) == "joulecut.Conv")
    weights = constant_of(old.inputs[1])
    assert weights is not None
    np.testing.assert_array_equal(constant_of(first.inputs[1]), weights[[0, 2, 3, 5]])
    assert second.inputs[1] is not None
    assert shape_of(second.inputs[1]) == (5, 4, 3, 3)


def test_a_filter_that_nothing_reads_goes():
    graph = chain()
    set_constant(graph, 1, 1, lambda w: w.__setitem__((slice(None), 2), 0))
    assert channels(pruned(graph))["Conv0"] == 5


def test_one_neuron_stays_where_nothing_is_read():
    graph = chain()
    zero_filter(graph, 3, [0, 1, 2])
    assert channels(pruned(graph)) == {"Conv0": 6, "Conv1": 5, "MatMul2": 1, "MatMul3": 3}


def test_a_filter_is_a_plane_of_the_dense_layer_behind_it():
    graph = chain()
    zero_filter(graph, 1, [3])
    found = pruned(graph)
    dense = next(n for n in nodes(found) if op_key(n) == "joulecut.MatMul")
    assert dense.inputs[1] is not None
    assert shape_of(dense.inputs[1]) == (4 * 2 * 2, 7)
    assert channels(found)["Conv1"] == 4


def test_a_constant_goes_into_the_bias():
    graph = chain()
    zero_filter(graph, 0, [2], bias=1000)
    zero_filter(graph, 2, [0, 6], bias=2000)
    found = pruned(graph)
    assert channels(found) == {"Conv0": 5, "Conv1": 5, "MatMul2": 5, "MatMul3": 3}
    before, after = (bias_of_last(each) for each in (graph, found))
    assert not np.array_equal(before, after)


def bias_of_last(graph: Graph) -> np.ndarray:
    *_, last = (n for n in nodes(graph) if op_key(n) == "joulecut.MatMul")
    bias = constant_of(last.inputs[2])
    assert bias is not None
    return bias


def test_a_constant_before_padding_stays_unless_it_is_the_zero_point():
    graph = chain(pads=(1, 1, 1, 1))
    zero_filter(graph, 0, [2], bias=100_000)
    assert PruneFilters()(graph) is graph
    zero_filter(graph, 0, [2], bias=-5)  # below 0 the ReLU makes it the zero point
    assert channels(pruned(graph))["Conv0"] == 5


def test_a_bias_is_made_where_there_was_none():
    b = GraphBuilder("no_bias", 4)
    x = b.requantize(b.matmul(b.quantize(b.input("x", (1, 4))), 6), ReLU, relu=True)
    b.output(b.matmul(x, 3, bias=False))
    graph = b.graph()
    zero_filter(graph, 0, [1, 2], bias=3000)
    found = pruned(graph)
    last = [n for n in nodes(found) if op_key(n) == "joulecut.MatMul"][-1]
    assert len(last.inputs) == 3
    assert channels(found) == {"MatMul0": 4, "MatMul1": 3}


def test_a_neuron_that_is_never_positive_is_dead():
    graph = chain()
    set_constant(graph, 2, 2, lambda bias: bias.__setitem__(1, -(2**28)))
    assert channels(pruned(graph))["MatMul2"] == 6


def depthwise() -> Graph:
    b = GraphBuilder("depthwise", 5)
    x = b.quantize(b.input("x", (1, 3, 8, 8)))
    x = b.requantize(b.conv(x, 6, (1, 1)), ReLU, relu=True)
    x = b.requantize(b.conv(x, 12, (3, 3), pads=(1,) * 4, group=6), ReLU, relu=True)
    b.output(b.requantize(b.conv(x, 4, (1, 1))))
    return b.graph()


def test_a_depthwise_filter_takes_its_input_along_unless_another_reads_it():
    graph = depthwise()
    zero_filter(graph, 1, [2, 3, 8])  # both filters of input 1, one of two of input 4
    found = pruned(graph)
    assert channels(found) == {"Conv0": 5, "Conv1": 10, "Conv2": 4}
    grouped = [n for n in nodes(found) if op_key(n) == "joulecut.Conv"][1]
    assert int_of(grouped, "group") == 5


def test_a_dead_input_takes_its_depthwise_filters_along():
    graph = depthwise()
    zero_filter(graph, 0, [0])  # it is the zero point, which padding is worth, too
    assert channels(pruned(graph)) == {"Conv0": 5, "Conv1": 10, "Conv2": 4}


def joined(add: bool) -> Graph:
    b = GraphBuilder("joined", 6)
    x = b.quantize(b.input("x", (1, 3, 6, 6)))
    one = b.requantize(b.conv(x, 4, (1, 1)), ReLU, relu=True)
    two = b.requantize(b.conv(x, 4, (1, 1)), ReLU, relu=True)
    both = b.add([one, two], ReLU, relu=True) if add else b.concat([one, two], 1)
    b.output(b.requantize(b.conv(both, 3, (1, 1))))
    return b.graph()


def test_a_sum_loses_what_both_terms_lose():
    graph = joined(add=True)
    zero_filter(graph, 0, [0, 1])
    assert PruneFilters()(graph) is graph
    zero_filter(graph, 1, [1, 3])
    assert channels(pruned(graph)) == {"Conv0": 3, "Conv1": 3, "Conv2": 3}


def test_a_concatenation_loses_what_each_part_loses():
    graph = joined(add=False)
    zero_filter(graph, 0, [0, 1])
    zero_filter(graph, 1, [3])
    assert channels(pruned(graph)) == {"Conv0": 2, "Conv1": 3, "Conv2": 3}


def test_an_output_keeps_its_channels():
    b = GraphBuilder("output", 7)
    x = b.quantize(b.input("x", (1, 3, 6, 6)))
    x = b.requantize(b.conv(x, 4, (1, 1)), ReLU, relu=True)
    b.output(x)
    b.output(b.requantize(b.conv(x, 2, (1, 1))))
    graph = b.graph()
    zero_filter(graph, 0, [1])
    assert PruneFilters()(graph) is graph


@pytest.mark.parametrize("mix", ["transpose", "slice", "mul", "axis"])
def test_channels_behind_what_mixes_them_stay(mix: str):
    b = GraphBuilder("mixed", 8)
    x = b.quantize(b.input("x", (1, 3, 4, 4)))
    x = b.requantize(b.conv(x, 4, (1, 1)), ReLU, relu=True)
    match mix:
        case "transpose":
            x = b.transpose(x, [0, 2, 1, 3])
        case "slice":
            x = b.slice(x, 1, 0, 4, 2)
        case "mul":
            x = b.requantize(b.mul(x, x))
        case _:
            x = b.requantize(x)
    b.output(b.requantize(b.conv(x, 2, (1, 1))))
    graph = b.graph()
    if mix == "axis":
        node = list(nodes(graph))[3]
        node.attributes["axis"] = ir.AttrInt64("axis", 2)
        multiplier = node.inputs[1]
        assert multiplier is not None
        four = np.full(4, 0.5, np.float32)
        multiplier.const_value = ir.tensor(four, name=name_of(multiplier))
        multiplier.shape = ir.Shape([4])
    zero_filter(graph, 0, [0, 3])
    assert PruneFilters()(graph) is graph


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_without_dead_channels_is_the_very_same(name: str):
    graph = NETWORKS[name]()
    assert PruneFilters()(graph) is graph


def kill(graph: Graph, seed: int) -> None:
    """Zero a random half of the filters of every Conv and MatMul, some biases with them."""
    rng = np.random.default_rng(seed)
    dense = [n for n in nodes(graph) if op_key(n) in ("joulecut.Conv", "joulecut.MatMul")]
    for number, node in enumerate(dense):
        count = shape_of(node.outputs[0])[-1 if op_key(node) == "joulecut.MatMul" else 1]
        dead = np.flatnonzero(rng.random(count) < rng.choice([0.0, 0.5, 1.0])).tolist()
        zero_filter(graph, number, dead, bias=(None, 0, -50, 4000)[rng.integers(4)])


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_random_graphs_with_dead_filters_compute_the_same(seed: int):
    graph = random_graph(seed)
    kill(graph, seed)
    pruned(graph)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_with_dead_filters_compute_the_same_for_less(name: str):
    graph = NETWORKS[name]()
    for number in range(len(channels(graph))):
        zero_filter(graph, number, [0, 1])
    found = pruned(graph)
    assert cost(found).macs < cost(graph).macs
    assert cost(found).weight_bytes < cost(graph).weight_bytes


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_every_value_lies_in_its_range(seed: int):
    graph = random_graph(seed)
    kill(graph, seed)
    ranges = channel_ranges(graph)
    for x in extremes(graph):
        found = trace(graph, x)
        for value in values(graph):
            name, count = name_of(value), channels_of(value)
            if count is None or name not in ranges:
                continue
            by_channel = found[name].reshape(count, -1)
            assert (by_channel.min(axis=1) >= ranges[name].low).all(), name
            assert (by_channel.max(axis=1) <= ranges[name].high).all(), name


def test_the_pipeline_prunes_if_it_is_asked(tmp_path: Path):
    model = network("depthwise", seed=1)  # one of its random channels is never in doubt
    graph = load(write(model, tmp_path))
    whole, less = pipeline(graph), pipeline(graph, prune=True)
    assert cost(less).macs < cost(whole).macs
    x = feeds_for(model)
    for before, after in zip(run_reference(whole, x), run_reference(less, x), strict=True):
        np.testing.assert_array_equal(before, after)
