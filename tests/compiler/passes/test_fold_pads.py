"""Pads move into the windows behind them where that changes no number, and nowhere else."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_builder import GraphBuilder
from integer_graphs import feeds, random_graph

from joulecut.compiler.graph import Graph, constant_of, int_of, ints_of, nodes, op_key
from joulecut.compiler.passes.fold_pads import FoldPads
from joulecut.compiler.reference import run_reference

PADS = [0, 0, 1, 2, 0, 0, 0, 3]  # rows 1 and 0, columns 2 and 3


def start(seed: int = 1) -> tuple[GraphBuilder, ir.Value]:
    b = GraphBuilder("padded", seed)
    return b, b.quantize(b.input("x", (1, 3, 6, 7)), b.qtype(signed=True))


def folded(graph: Graph) -> Graph:
    """The graph after the pass, which computes the same."""
    found = FoldPads()(graph)
    x = feeds(graph)
    for before, after in zip(run_reference(graph, x), run_reference(found, x), strict=True):
        np.testing.assert_array_equal(before, after)
    return found


def keys(graph: Graph) -> list[str]:
    return [op_key(node) for node in nodes(graph)]


def one(graph: Graph, key: str) -> ir.Node:
    (found,) = (node for node in nodes(graph) if op_key(node) == key)
    return found


def test_a_convolution_takes_the_pads() -> None:
    b, x = start()
    b.output(b.requantize(b.conv(b.pad(x, PADS), 4, (3, 3), pads=(1, 1, 1, 1))))
    graph = folded(b.graph())
    assert "Pad" not in keys(graph)
    assert ints_of(one(graph, "joulecut.Conv"), "pads") == (2, 3, 1, 4)
    assert keys(FoldPads()(graph)) == keys(graph)


def test_a_mean_counts_what_was_padded() -> None:
    b, x = start()
    b.output(b.average_pool(b.pad(x, PADS), (3, 2)))
    graph = folded(b.graph())
    assert "Pad" not in keys(graph)
    assert int_of(one(graph, "joulecut.AveragePool"), "count_include_pad") == 1


def test_a_mean_whose_own_pads_do_not_count_keeps_the_pad() -> None:
    b, x = start()
    b.output(b.average_pool(b.pad(x, PADS), (3, 2), pads=(1, 0, 0, 0)))
    assert "Pad" in keys(folded(b.graph()))


def test_a_maximum_takes_the_lowest_integer_only() -> None:
    for lowest, kept in ((True, False), (False, True)):
        b, x = start()
        padded = b.pad(x, PADS)
        b.output(b.max_pool(padded, (2, 4), (2, 2)))
        graph = b.graph()
        fill = constant_of(one(graph, "Pad").inputs[2])
        assert fill is not None
        if lowest:
            one(graph, "Pad").inputs[2].const_value = ir.tensor(np.array(-128, np.int8))  # pyright: ignore[reportOptionalMemberAccess]
        assert ("Pad" in keys(folded(graph))) is kept


def test_a_window_of_padding_alone_keeps_the_pad() -> None:
    b, x = start()
    b.output(b.max_pool(b.pad(x, PADS), (2, 2), (2, 2)))
    graph = b.graph()
    one(graph, "Pad").inputs[2].const_value = ir.tensor(np.array(-128, np.int8))  # pyright: ignore[reportOptionalMemberAccess]
    assert "Pad" in keys(folded(graph))


@pytest.mark.parametrize("pads", [[0, 1, 0, 0, 0, 0, 0, 0], [0, 0, -1, 0, 0, 0, 0, 1]], ids=str)
def test_channels_and_crops_stay(pads: list[int]) -> None:
    b, x = start()
    b.output(b.requantize(b.conv(b.pad(x, pads), 4, (3, 3))))
    assert "Pad" in keys(folded(b.graph()))


def test_a_pad_with_two_readers_stays() -> None:
    b, x = start()
    padded = b.pad(x, PADS)
    b.output(b.requantize(b.conv(padded, 4, (3, 3))))
    b.output(b.requantize(b.conv(padded, 2, (1, 1))))
    assert keys(folded(b.graph())).count("Pad") == 1


def test_a_pad_that_is_an_output_stays() -> None:
    b, x = start()
    padded = b.pad(x, PADS)
    b.output(padded)
    b.output(b.requantize(b.conv(padded, 4, (3, 3))))
    assert "Pad" in keys(folded(b.graph()))


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs_compute_the_same(seed: int) -> None:
    folded(random_graph(seed))
