"""The shared test networks are what they promise: repeatable, named, typed and alive."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from integer_graphs import NETWORKS, feeds, random_graph

from joulecut.compiler.graph import dtype_of, nodes, op_key, shape_of, values
from joulecut.compiler.quant import qtype_of
from joulecut.compiler.reference import trace

SEEDS = range(40)


@pytest.mark.parametrize("name", NETWORKS)
def test_activations_neither_saturate_nor_vanish(name: str) -> None:
    graph = NETWORKS[name]()
    found = trace(graph, feeds(graph))
    for node in nodes(graph):
        array = found[node.outputs[0].name or ""]
        if op_key(node) not in ("joulecut.Requantize", "joulecut.Add") or array.size < 32:
            continue
        _, counts = np.unique(array, return_counts=True)
        assert len(counts) >= 8, f"{node.name} has {len(counts)} distinct values"
        assert counts.max() <= 0.75 * array.size, f"{node.name} is almost constant"


@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs_run_and_are_typed(seed: int) -> None:
    graph = random_graph(seed, floats=True)
    trace(graph, feeds(graph, seed))  # asserts the shape and type of every value
    names = [value.name for value in values(graph)]
    assert len(names) == len(set(names))
    for value in values(graph):
        is_float = dtype_of(value) == np.float32
        assert shape_of(value)
        assert (qtype_of(value) is None) == is_float


def test_same_seed_gives_the_same_graph() -> None:
    first, second = (
        ir.to_proto(random_graph(3)).SerializeToString(deterministic=True) for _ in range(2)
    )
    assert first == second
    other = ir.to_proto(random_graph(4)).SerializeToString(deterministic=True)
    assert first != other


def test_random_graphs_use_every_operator() -> None:
    seen = {op_key(node) for seed in SEEDS for node in nodes(random_graph(seed))}
    ours = (
        "Quantize",
        "Dequantize",
        "Conv",
        "MatMul",
        "Mul",
        "Requantize",
        "Add",
        "AveragePool",
    )
    moving = ("MaxPool", "Reshape", "Transpose", "Slice", "Pad", "Concat", "Identity")
    assert seen == {*(f"joulecut.{name}" for name in ours), *moving}
