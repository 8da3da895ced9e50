from __future__ import annotations

import pytest
from integer_graphs import NETWORKS

from joulecut.compiler.cost import cost
from joulecut.compiler.cut import cuts
from joulecut.compiler.errors import CutError
from joulecut.compiler.plan import partition
from joulecut.hw.energy import load_table
from joulecut.hw.radio import RadioLink
from joulecut.targets.cut_prices import cheapest, price_cuts
from joulecut.targets.price import price

TABLE = load_table("horowitz_45nm")
LINK = RadioLink()


@pytest.mark.parametrize("name", ["digits", "resnet8", "two_inputs"])
def test_cuts_are_priced_as_their_parts_are(name: str):
    graph = NETWORKS[name]()
    priced = price_cuts(graph, cuts(graph), TABLE, LINK)
    for each in priced:
        edge = cost(partition(graph, each.cut).edge.graph)
        assert each.cost == edge
        assert each.energy == price(edge, 8 * each.cut.nbytes, TABLE, LINK)
    least = min(each.energy.total_pj for each in priced)
    assert cheapest(priced).energy.total_pj == least


@pytest.mark.parametrize("name", ["digits", "dense_block", "two_inputs"])
def test_the_pareto_front_is_what_no_cut_beats(name: str):
    graph = NETWORKS[name]()
    priced = price_cuts(graph, cuts(graph), TABLE, LINK)
    points = [(each.cut.edge_macs, each.cut.nbytes) for each in priced]
    for each, (macs, nbytes) in zip(priced, points, strict=True):
        beaten = any(m <= macs and b <= nbytes and (m, b) != (macs, nbytes) for m, b in points)
        twin = points.index((macs, nbytes)) != priced.index(each)
        assert each.pareto == (not beaten and not twin)


def test_a_worse_link_moves_the_cheapest_cut_deeper():
    """The point of the paper: send early over a good channel, compute over a bad one."""
    graph = NETWORKS["digits"]()
    found = cuts(graph)
    edges = [
        cheapest(price_cuts(graph, found, TABLE, RadioLink(gain=gain))).cut.edge_macs
        for gain in (10, 0.1, 0.01, 0.001)
    ]
    assert edges == sorted(edges)
    assert edges[0] < edges[-1]


def test_there_must_be_a_cut():
    with pytest.raises(CutError, match="graph must have a cut to choose from, not none"):
        cheapest([])
