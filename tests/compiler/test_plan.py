"""For every legal cut of every test network, the parts composed equal the whole, bit for bit."""

from __future__ import annotations

import random

import numpy as np
import pytest
from graph_builder import GraphBuilder
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_graphs import NETWORKS, conv1d, feeds, random_graph, resnet8, two_inputs

from joulecut.compiler.cut import cut_at, cuts, edge_of
from joulecut.compiler.errors import ConfigError, CutError
from joulecut.compiler.graph import Graph, input_specs, name_of, nodes, output_specs, values
from joulecut.compiler.graph_file import graph_from_bytes, graph_to_bytes
from joulecut.compiler.layers import layers
from joulecut.compiler.plan import Plan, partition, run_plan
from joulecut.compiler.quant import qtype_of
from joulecut.compiler.reference import run_reference


def assert_equal(got: list[np.ndarray], want: list[np.ndarray]) -> None:
    for left, right in zip(got, want, strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


def assert_every_cut_is_exact(graph: Graph, seed: int, limit: int) -> None:
    fed = feeds(graph, seed)
    want = run_reference(graph, fed)
    for cut in cuts(graph, limit=limit):
        assert_equal(run_plan(partition(graph, cut), fed), want)


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_of_networks_equal_the_whole(name: str) -> None:
    assert_every_cut_is_exact(NETWORKS[name](), 0, limit=100)


@pytest.mark.parametrize("seed", range(30))
def test_parts_of_random_graphs_equal_the_whole(seed: int) -> None:
    assert_every_cut_is_exact(random_graph(seed), seed, limit=30)


@settings(deadline=None, max_examples=40)
@given(st.integers(100, 2**31), st.booleans(), st.randoms(use_true_random=False))
def test_parts_of_any_graph_equal_the_whole(
    seed: int, floats: bool, pick: random.Random
) -> None:
    graph = random_graph(seed, steps=6, floats=floats)
    found = cuts(graph, limit=200)
    fed = feeds(graph, seed)
    if found:
        plan = partition(graph, pick.choice(found))
        assert_equal(run_plan(plan, fed), run_reference(graph, fed))


def check_interfaces(graph: Graph, plan: Plan, tensors: tuple[str, ...]) -> None:
    whole_inputs = [spec.name for spec in input_specs(graph)]
    sent = [name for name in tensors if name not in whole_inputs]
    assert tuple(spec.name for spec in plan.link.specs) == tensors
    assert plan.cloud.inputs == plan.link.specs
    assert list(plan.link.raw) == [name for name in tensors if name in whole_inputs]
    assert [spec.name for spec in plan.edge.outputs][: len(sent)] == sent
    assert {spec.name for spec in plan.edge.inputs} <= set(whole_inputs)
    made = {spec.name for spec in (*plan.edge.outputs, *plan.cloud.outputs)}
    assert {spec.name for spec in output_specs(graph)} <= made


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_keep_names_meanings_and_layers(name: str) -> None:
    graph = NETWORKS[name]()
    meaning = {name_of(value): qtype_of(value) for value in values(graph)}
    for cut in cuts(graph):
        plan = partition(graph, cut)
        check_interfaces(graph, plan, cut.tensors)
        edge, cloud = (
            [layer.name for layer in layers(part.graph)] for part in (plan.edge, plan.cloud)
        )
        assert set(edge) == edge_of(graph, cut)
        assert (len(edge), len(cloud)) == (cut.edge_layers, cut.cloud_layers)
        assert not set(edge) & set(cloud)
        for part in (plan.edge, plan.cloud):
            for value in values(part.graph):
                assert qtype_of(value) == meaning[name_of(value)]


def test_parts_hold_only_their_own_weights() -> None:
    graph = conv1d()
    plan = partition(graph, cut_at(graph, ["n5.requantize"]))
    edge, cloud = (list(part.graph.graph.initializers) for part in (plan.edge, plan.cloud))
    assert edge + cloud == list(graph.graph.initializers)  # and in the order of the whole


def test_partition_leaves_the_whole_as_it_was() -> None:
    graph = resnet8()
    before = graph_to_bytes(graph)
    plan = partition(graph, cut_at(graph, ["n6.add"]))
    for node in nodes(plan.edge.graph):
        node.outputs[0].metadata_props.clear()
    assert graph_to_bytes(graph) == before
    assert plan.whole is graph


def test_equal_plans_are_equal_bytes() -> None:
    first, second = (partition(g, cut_at(g, ["n6.add"])) for g in (resnet8(), resnet8()))
    for left, right in ((first.edge, second.edge), (first.cloud, second.cloud)):
        assert graph_to_bytes(left.graph) == graph_to_bytes(right.graph)


@pytest.mark.parametrize("name", NETWORKS)
def test_parts_loaded_again_run_equal(name: str) -> None:
    graph = NETWORKS[name]()
    fed = feeds(graph)
    found = cuts(graph)
    plan = partition(graph, found[len(found) // 2])
    again = [
        graph_from_bytes(graph_to_bytes(part.graph), part.name)
        for part in (plan.edge, plan.cloud)
    ]
    for part, loaded in zip((plan.edge, plan.cloud), again, strict=True):
        assert input_specs(loaded) == part.inputs
        assert output_specs(loaded) == part.outputs
        assert graph_to_bytes(loaded) == graph_to_bytes(part.graph)
        known = {spec.name: fed[spec.name] for spec in part.inputs}
        made = run_reference(loaded, known)
        assert_equal(made, run_reference(part.graph, known))
        fed |= {spec.name: array for spec, array in zip(part.outputs, made, strict=True)}


def test_input_that_crosses_is_not_made_by_the_edge() -> None:
    graph = two_inputs()
    plan = partition(graph, cut_at(graph, ["state", "n0.quantize"]))
    assert plan.link.raw == ("state",)
    assert [spec.name for spec in plan.edge.inputs] == ["image"]
    assert [spec.name for spec in plan.edge.outputs] == ["n0.quantize"]


def test_output_that_is_sent_and_output_that_is_an_input() -> None:
    b = GraphBuilder("ends")
    x = b.input("x", (1, 2))
    y = b.quantize(x)
    b.output(x)
    b.output(y)
    b.output(b.identity(y))
    graph = b.graph()
    plan = partition(graph, cut_at(graph, ["n0.quantize"]))
    assert [spec.name for spec in plan.edge.outputs] == ["n0.quantize"]
    fed = feeds(graph)
    assert_equal(run_plan(plan, fed), run_reference(graph, fed))


def test_several_samples_run_at_once() -> None:
    graph = conv1d()
    samples = [feeds(graph, seed)["iq"] for seed in range(3)]
    plan = partition(graph, cut_at(graph, ["n9.maxpool"]))
    (together,) = run_plan(plan, {"iq": np.concatenate(samples)})
    apart = [run_reference(graph, {"iq": sample})[0] for sample in samples]
    np.testing.assert_array_equal(together, np.concatenate(apart))


def test_feeds_of_the_whole_are_named() -> None:
    graph = two_inputs()
    plan = partition(graph, cut_at(graph, ["n9.add"]))
    with pytest.raises(
        ConfigError, match=r"feeds must be \['image', 'state'\], not \['image'\]"
    ):
        run_plan(plan, {"image": feeds(graph)["image"]})


def test_cut_of_another_graph_is_refused() -> None:
    with pytest.raises(CutError, match="must be one of this graph, not of another; take it"):
        partition(resnet8(), cut_at(conv1d(), ["n0.quantize"]))
