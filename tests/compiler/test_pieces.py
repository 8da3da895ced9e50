"""At every cut the edge's pieces and then the cloud's equal the whole, and nothing is there twice."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_graphs import NETWORKS, conv1d, feeds, random_graph, resnet8, two_inputs

from joulecut.compiler.cut import Cut, cut_at, cuts, edge_of
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, name_of, output_specs
from joulecut.compiler.layers import layers
from joulecut.compiler.pieces import crossing, pieces, run_cloud, run_edge
from joulecut.compiler.precedence import precedence
from joulecut.compiler.reference import trace
from joulecut.compiler.uncut import all_in_cloud, all_on_edge


def every_way(graph: Graph, limit: int = 100) -> list[Cut]:
    """All cuts, and the two ways not to cut."""
    return [all_in_cloud(graph), *cuts(graph, limit=limit), all_on_edge(graph)]


def check_pieces(graph: Graph, chosen: list[Cut], seed: int = 0) -> None:
    """Layers once, interfaces exact, values those of the whole."""
    found = pieces(graph, chosen)
    names = [layer.name for piece in found for layer in layers(piece.graph)]
    assert sorted(names) == sorted(layer.name for layer in precedence(graph).layers)
    assert len({piece.cuts for piece in found}) == len(found)
    fed = feeds(graph, seed)
    want = trace(graph, fed)
    for number, cut in enumerate(chosen):
        on_edge = {
            layer.name
            for piece in found
            if number in piece.cuts
            for layer in layers(piece.graph)
        }
        assert on_edge == set(cut.edge)
        if cut.cloud_layers:
            assert sorted(crossing(found, number)) == sorted(cut.tensors)
        edge = run_edge(found, number, fed)
        cloud = run_cloud(found, number, {name: edge[name] for name in cut.tensors})
        for spec in cut.specs:
            np.testing.assert_array_equal(edge[spec.name], want[spec.name])
        for spec in output_specs(graph):
            made = cloud.get(spec.name, edge.get(spec.name))
            assert made is not None
            np.testing.assert_array_equal(made, want[spec.name])
            assert made.dtype == want[spec.name].dtype


@pytest.mark.parametrize("name", NETWORKS)
def test_pieces_of_networks_equal_the_whole(name: str) -> None:
    graph = NETWORKS[name]()
    check_pieces(graph, every_way(graph, limit=8))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.booleans(), st.randoms(use_true_random=False))
def test_pieces_of_any_graph_equal_the_whole(
    seed: int, floats: bool, pick: random.Random
) -> None:
    graph = random_graph(seed, steps=6, floats=floats)
    ways = every_way(graph)
    check_pieces(graph, pick.sample(ways, min(len(ways), 4)), seed)


def test_cuts_need_not_be_nested() -> None:
    """Each side of two_inputs runs ahead of the other: four pieces, not three."""
    graph = two_inputs()
    image = cut_at(graph, ["n4.reshape", "state"])
    state = cut_at(graph, ["image", "n1.quantize"])
    assert not set(image.edge) & set(state.edge)
    found = pieces(graph, [image, state])
    assert [sorted(piece.cuts) for piece in found] == [[0], [1], []]
    check_pieces(graph, [image, state])


def test_a_tensor_that_crosses_is_read_on_both_sides() -> None:
    graph = resnet8()
    both = [
        cut
        for cut in cuts(graph)
        if any(
            {layer.name for layer in layers(graph) if spec.name in map(name_of, layer.inputs)}
            & set(cut.edge)
            for spec in cut.specs
        )
    ]
    assert both
    check_pieces(graph, both[:2])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_is_in_one_piece(name: str) -> None:
    graph = NETWORKS[name]()
    found = pieces(graph, every_way(graph, limit=12))
    held = [each for piece in found for each in piece.graph.graph.initializers]
    assert sorted(held) == sorted(graph.graph.initializers)


def test_the_ends_send_inputs_and_outputs() -> None:
    graph = two_inputs()
    cloud, edge = all_in_cloud(graph), all_on_edge(graph)
    assert (cloud.tensors, cloud.edge, cloud.edge_macs) == (("image", "state"), (), 0)
    assert edge.tensors == tuple(spec.name for spec in output_specs(graph))
    assert (edge.cloud_layers, edge.cloud_macs) == (0, 0)
    middle = cut_at(graph, ["n9.add"])
    assert edge.edge_macs == cloud.cloud_macs == middle.edge_macs + middle.cloud_macs
    assert set(edge.edge) > set(edge_of(graph, middle))


def test_no_cut_is_one_piece() -> None:
    graph = conv1d()
    (piece,) = pieces(graph, [])
    assert piece.cuts == frozenset()
    assert piece.outputs == output_specs(graph)


def test_cuts_of_another_graph_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"must be of this graph, which has no layer 'n\d+"):
        pieces(two_inputs(), [all_on_edge(resnet8())])
    graph = conv1d()
    whole = all_on_edge(graph)
    torn = Cut(whole.specs, whole.edge[1:], 0, 0, 1)
    with pytest.raises(ConfigError, match=r"must have layer 'n0\.quantize' on its edge"):
        pieces(graph, [torn])
