"""Cuts against a twin that tries every set of layers, and the words of every refusal."""

from __future__ import annotations

import time

import onnx_ir as ir
import pytest
from graph_builder import GraphBuilder
from hypothesis import given
from hypothesis import strategies as st
from integer_graphs import conv1d, dense_block, random_graph, resnet8, two_inputs

from joulecut.compiler.cost import cost_of_layer
from joulecut.compiler.cut import Cut, cut_at, cuts, edge_of
from joulecut.compiler.errors import ConfigError, CutError
from joulecut.compiler.graph import Graph, is_constant, name_of
from joulecut.compiler.layers import layers

Found = dict[frozenset[str], tuple[int, int]]  # tensors -> layers and MACs of the edge


def every_cut(graph: Graph) -> Found:
    """The slow twin: every set of layers, the definition of a cut word for word."""
    alive = layers(graph)
    inputs = {name_of(value) for value in graph.graph.inputs if not is_constant(value)}
    reads = {layer.name: {name_of(value) for value in layer.inputs} for layer in alive}
    by_tensors: dict[frozenset[str], frozenset[str]] = {}
    for mask in range(1 << len(alive)):
        edge = frozenset(layer.name for i, layer in enumerate(alive) if mask >> i & 1)
        if any(not reads[name] <= edge | inputs for name in edge):
            continue
        tensors = frozenset(
            name
            for layer in alive
            if layer.name not in edge
            for name in reads[layer.name] & (edge | inputs)
        )
        by_tensors[tensors] = by_tensors.get(tensors, edge) & edge
    macs = {layer.name: cost_of_layer(layer).macs for layer in alive}
    return {
        tensors: (len(edge), sum(macs[name] for name in edge))
        for tensors, edge in by_tensors.items()
        if tensors and edge
    }


def as_found(found: list[Cut]) -> Found:
    return {frozenset(cut.tensors): (cut.edge_layers, cut.edge_macs) for cut in found}


@st.composite
def small_dags(draw: st.DrawFn) -> Graph:
    """Any small shape of graph: each layer reads one to three earlier values."""
    b = GraphBuilder("dag")
    values = [b.input(f"x{i}", (1, 2)) for i in range(draw(st.integers(1, 2)))]
    values = [b.quantize(value) for value in values]
    for _ in range(draw(st.integers(1, 7))):
        reads = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True))
        values.append(b.add(reads) if len(reads) > 1 else b.identity(reads[0]))
    for value in values:
        if not value.uses() or draw(st.integers(0, 5)) == 0:
            b.output(value)
    return b.graph()


@given(small_dags())
def test_cuts_are_those_of_the_twin(graph: Graph) -> None:
    found = cuts(graph)
    assert found.complete
    assert as_found(found) == every_cut(graph)
    assert len(found) == len(as_found(found))


@pytest.mark.parametrize("seed", range(12))
def test_cuts_of_networks_are_those_of_the_twin(seed: int) -> None:
    graph = random_graph(seed, steps=5)
    if len(layers(graph)) <= 13:
        assert as_found(cuts(graph)) == every_cut(graph)


@given(small_dags(), st.data())
def test_any_set_of_tensors_is_a_cut_or_refused(graph: Graph, data: st.DataObject) -> None:
    names = [name_of(value) for value in graph.graph.inputs]
    names += [layer.name for layer in layers(graph)]
    tensors = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    twin = every_cut(graph)
    if frozenset(tensors) in twin:
        assert as_found([cut_at(graph, tensors)]).items() <= twin.items()
    else:
        with pytest.raises(CutError):
            cut_at(graph, tensors)


@given(small_dags(), st.data())
def test_what_a_refusal_proposes_is_a_cut(graph: Graph, data: st.DataObject) -> None:
    names = [layer.name for layer in layers(graph)]
    tensors = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    try:
        cut_at(graph, tensors)
    except CutError as error:
        text = str(error)
        if "; add " in text:
            tensors += text.split("; add ")[1].replace("'", "").split(", ")
        elif "; cut at '" in text:
            tensors = text.split("; cut at ")[1].replace("'", "").split(", ")
        else:
            return
        assert set(cut_at(graph, tensors).tensors) == set(tensors)


def test_chain_is_cut_after_every_layer_but_the_last() -> None:
    graph = conv1d()
    names = [layer.name for layer in layers(graph)]
    assert [cut.tensors for cut in cuts(graph)] == [(name,) for name in names[:-1]]


def test_residual_block_needs_the_shortcut() -> None:
    found = [cut.tensors for cut in cuts(resnet8())]
    assert ("n4.requantize",) not in found
    assert ("n2.requantize", "n4.requantize") in found


def test_cheapest_edge_comes_first() -> None:
    found = cuts(dense_block())
    edges = [(cut.edge_macs, cut.edge_layers) for cut in found]
    assert edges == sorted(edges)
    assert len({cut.edge_macs + cut.cloud_macs for cut in found}) == 1
    assert len({cut.edge_layers + cut.cloud_layers for cut in found}) == 1


def test_bytes_are_those_of_the_tensors() -> None:
    cut = cut_at(resnet8(), ["n4.requantize", "n2.requantize"])
    assert cut.tensors == ("n2.requantize", "n4.requantize")  # the order of the graph
    assert cut.nbytes == 2 * 16 * 32 * 32


def test_macs_are_counted_by_hand() -> None:
    b = GraphBuilder("macs")
    x = b.quantize(b.input("x", (1, 4, 8, 8)))
    x = b.requantize(b.conv(x, 6, (3, 3), group=2))  # 6 * 6 * 6 outputs of 2 * 3 * 3 products
    x = b.requantize(b.mul(x, x))
    x = b.requantize(b.matmul(x, 5))  # 6 * 6 * 5 outputs of 6 products
    b.output(x)
    macs = [cost_of_layer(layer).macs for layer in layers(b.graph())]
    assert macs == [0, 216 * 18, 216, 180 * 6]


def test_input_that_the_cloud_reads_crosses() -> None:
    cut = cut_at(two_inputs(), ["n0.quantize", "state"])
    assert cut.tensors == ("state", "n0.quantize")
    assert edge_of(two_inputs(), cut) == {"n0.quantize"}


def test_branch_to_an_output_stays_in_the_cloud_unless_it_must_not() -> None:
    b = GraphBuilder("branch")
    x = b.quantize(b.input("x", (1, 2)))
    b.output(b.identity(x))  # n1, reads what may cross
    y = b.identity(x)  # n2
    b.output(b.identity(y))  # n3
    graph = b.graph()
    assert edge_of(graph, cut_at(graph, ["n0.quantize"])) == {"n0.quantize"}
    # Nothing but n2 may cross here, so that n1 has to be made on the edge.
    forced = edge_of(graph, cut_at(graph, ["n2.identity"]))
    assert forced == {"n0.quantize", "n1.identity", "n2.identity"}


def parallel(branches: int, depth: int) -> Graph:
    b = GraphBuilder("parallel")
    x = b.quantize(b.input("x", (1, 2)))
    ends: list[ir.Value] = []
    for _ in range(branches):
        y = x
        for _ in range(depth):
            y = b.identity(y)
        ends.append(y)
    b.output(b.identity(b.add(ends)))
    return b.graph()


def test_parallel_branches_multiply() -> None:
    # Each branch is cut at one of 4 places, plus the ends of the whole: x counts once.
    assert len(cuts(parallel(3, 3))) == 4**3 + 1


def test_limit_is_kept_and_said() -> None:
    graph = parallel(8, 5)
    found = cuts(graph, limit=100)
    assert len(found) == 100
    assert not found.complete
    single = [cut.tensors for cut in found if len(cut.tensors) == 1]
    assert single == [("n0.quantize",), ("n41.add",)]  # the dearest single cut is there too
    exact = len(cuts(parallel(3, 3)))
    assert cuts(parallel(3, 3), limit=exact).complete
    assert not cuts(parallel(3, 3), limit=exact - 1).complete


def test_search_is_bounded_where_cuts_are_few() -> None:
    b = GraphBuilder("fan")
    x = b.quantize(b.input("x", (1, 2)))
    for _ in range(40):  # 2**40 edges, and one set of tensors
        b.output(b.identity(x))
    found = cuts(b.graph(), limit=64)
    assert [cut.tensors for cut in found] == [("n0.quantize",)]
    assert not found.complete


def test_limit_must_allow_a_cut() -> None:
    with pytest.raises(ConfigError, match=r"limit must be at least 1, not 0"):
        cuts(conv1d(), limit=0)


def inverted_residuals(blocks: int) -> Graph:
    """The shape of EfficientNet-Lite0: two layers in three of 100 lie inside residuals."""
    b = GraphBuilder("mobile")
    x = b.quantize(b.input("x", (1, 2, 4, 4)))
    for _ in range(blocks):
        y = b.requantize(b.conv(x, 4, (1, 1)), relu=True)
        y = b.requantize(b.conv(y, 4, (3, 3), pads=(1, 1, 1, 1), group=4), relu=True)
        x = b.requantize(b.add([b.conv(y, 2, (1, 1)), x]))
    b.output(b.dequantize(x))
    return b.graph()


def test_large_networks_are_fast() -> None:
    graph = inverted_residuals(25)
    assert len(layers(graph)) == 102
    start = time.process_time()
    found = cuts(graph)
    assert time.process_time() - start < 2.0  # 0.05 s where it was written
    assert found.complete
    assert len(found) == 101  # inside a block, its input crosses as well


REFUSED: dict[str, tuple[list[str], str]] = {
    "path": (
        ["n4.requantize"],
        (
            "cut at 'n4.requantize' must separate inputs from outputs, but 'image' -> "
            "'n0.quantize' -> 'n2.requantize' -> 'n6.add' avoids it; add 'n2.requantize'"
        ),
    ),
    "long path": (
        ["n10.requantize"],
        (
            "cut at 'n10.requantize' must separate inputs from outputs, but 'image' -> "
            "'n0.quantize' -> 'n2.requantize' -> ... -> 'n12.requantize' -> 'n13.add' avoids it; "
            "add 'n12.requantize'"
        ),
    ),
    "accumulator": (
        ["n3.conv"],
        (
            "cut tensor must be what a layer makes, not 'n3.conv', an accumulator inside of layer "
            "'n4.requantize' (Conv+Requantize); use 'n4.requantize'"
        ),
    ),
    "unknown": (
        ["n2.requantise"],
        (
            "cut tensor must be a value of the graph, not 'n2.requantise'; did you mean "
            "'n2.requantize'?"
        ),
    ),
    "constant": (
        ["n1.weight.0"],
        "cut tensor must be a computed value, not the constant 'n1.weight.0'",
    ),
    "none": ([], "cut must name at least one tensor, not none"),
    "twice": (
        ["n6.add", "n6.add"],
        "cut must name each tensor once, not 'n6.add' twice",
    ),
    "all in the cloud": (
        ["image"],
        (
            "cut at 'image' must leave at least one layer on the edge, not none; cut at what a "
            "layer makes, or run the whole graph in the cloud"
        ),
    ),
    "all on the edge": (
        ["n23.dequantize"],
        (
            "cut at 'n23.dequantize' must leave at least one layer for the cloud, not none; cut "
            "before the last layer"
        ),
    ),
    "redundant": (
        ["n0.quantize", "n6.add"],
        (
            "cut at 'n0.quantize', 'n6.add' must name only what the cloud reads, not "
            "'n0.quantize', which the cloud does not need; leave it out"
        ),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_says_what_to_do(name: str) -> None:
    tensors, text = REFUSED[name]
    with pytest.raises(CutError) as caught:
        cut_at(resnet8(), tensors)
    assert str(caught.value) == text


def test_refusal_names_what_leads_nowhere() -> None:
    b = GraphBuilder("dead end")
    x = b.quantize(b.input("x", (1, 2)))
    b.identity(x)
    b.output(b.identity(x))
    with pytest.raises(
        CutError, match=r"must lead to an output of the graph, not 'n1.identity'"
    ):
        cut_at(b.graph(), ["n1.identity"])


def test_refusal_when_a_tensor_is_avoided_only_behind_another() -> None:
    b = GraphBuilder("skip")
    x = b.quantize(b.input("x", (1, 2)))  # n0
    y = b.identity(x)  # n1
    z = b.identity(y)  # n2
    b.output(b.add([y, z]))  # n3
    with pytest.raises(CutError) as caught:
        cut_at(b.graph(), ["n0.quantize", "n2.identity"])
    assert str(caught.value) == (
        "cut at 'n0.quantize', 'n2.identity' must separate inputs from outputs, but "
        "'n0.quantize' -> 'n1.identity' -> 'n3.add' avoids it; cut at 'n0.quantize'"
    )


def test_cut_of_another_graph_is_refused() -> None:
    foreign = cut_at(conv1d(), ["n0.quantize"])
    with pytest.raises(
        CutError, match=r"cut at 'n0\.quantize' must be one of this graph, not of"
    ):
        edge_of(resnet8(), foreign)
