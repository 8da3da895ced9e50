"""Weights follow the order of a plane: the same sums without a Transpose."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_builder import GraphBuilder
from integer_graphs import feeds, random_graph

from joulecut.compiler.graph import Graph, constant_of, nodes, op_key
from joulecut.compiler.passes.fold_flattened import FoldFlattened
from joulecut.compiler.pipeline import PASSES
from joulecut.compiler.reference import run_reference


def start() -> tuple[GraphBuilder, ir.Value]:
    b = GraphBuilder("flattened", 3)
    x = b.quantize(b.input("x", (1, 2, 3, 4)))
    return b, b.requantize(b.conv(x, 5, (1, 1)))


def folded(graph: Graph) -> Graph:
    """The graph after the pass, which computes the same, and is done."""
    found = FoldFlattened()(graph)
    for seed in range(2):
        x = feeds(graph, seed)
        for before, after in zip(run_reference(graph, x), run_reference(found, x), strict=True):
            np.testing.assert_array_equal(before, after)
    assert keys(FoldFlattened()(found)) == keys(found)
    return found


def keys(graph: Graph) -> list[str]:
    return [op_key(node) for node in nodes(graph)]


@pytest.mark.parametrize("perm", [(0, 2, 3, 1), (0, 3, 1, 2), (0, 3, 2, 1), (0, 1, 3, 2)])
def test_the_transpose_goes_into_the_weights(perm: tuple[int, ...]) -> None:
    b, x = start()
    b.output(b.requantize(b.matmul(b.reshape(b.transpose(x, perm), (1, 60)), 7)))
    graph = b.graph()
    found = folded(graph)
    assert "Transpose" not in keys(found)
    one, two = (
        constant_of(node.inputs[1])
        for each in (graph, found)
        for node in nodes(each)
        if op_key(node) == "joulecut.MatMul"
    )
    assert one is not None
    assert two is not None
    assert not np.array_equal(one, two)
    assert sorted(one.tolist()) == sorted(two.tolist())


def test_a_signal_is_a_plane_of_one_axis() -> None:
    b = GraphBuilder("signal", 4)
    x = b.quantize(b.input("x", (1, 6, 5)))
    b.output(b.matmul(b.reshape(b.transpose(x, (0, 2, 1)), (1, 30)), 4))
    assert "Transpose" not in keys(folded(b.graph()))


def test_what_somebody_else_reads_stays() -> None:
    b, x = start()
    turned = b.transpose(x, (0, 2, 3, 1))
    flat = b.reshape(turned, (1, 60))
    b.output(b.matmul(flat, 7))
    b.output(flat)
    assert "Transpose" in keys(folded(b.graph()))
    b, x = start()
    turned = b.transpose(x, (0, 2, 3, 1))
    b.output(b.matmul(b.reshape(turned, (1, 60)), 7))
    b.output(turned)
    assert "Transpose" in keys(folded(b.graph()))


def test_rows_that_are_no_samples_stay() -> None:
    b, x = start()
    b.output(b.matmul(b.reshape(b.transpose(x, (0, 2, 3, 1)), (12, 5)), 7))
    assert "Transpose" in keys(folded(b.graph()))


@pytest.mark.parametrize("seed", range(10))
def test_random_graphs_compute_the_same(seed: int) -> None:
    folded(random_graph(seed))


def test_the_pipeline_has_it() -> None:
    assert FoldFlattened() in PASSES
