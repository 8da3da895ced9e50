"""A part's energy: every count at its own price, and the cheapest cut of a network."""

from __future__ import annotations

import pytest
from integer_graphs import NETWORKS

from joulecut.compiler.cost import Cost, cost
from joulecut.compiler.cut import cuts
from joulecut.compiler.errors import CutError
from joulecut.compiler.plan import partition
from joulecut.hw.energy import load_table
from joulecut.hw.radio import FadingLink, RadioLink, rayleigh_gains
from joulecut.targets.price import cheapest_cut, price, price_cuts

TABLE = load_table("horowitz_45nm")
LINK = RadioLink()


@pytest.mark.parametrize(
    ("counts", "compute_pj"),
    [
        (Cost(macs=1000), 300),  # 0.2 + 0.1
        (Cost(additions=1000), 100),
        (Cost(float_products=1000), 3700),
        (Cost(float_additions=1000), 900),
        (Cost(activation_bytes_in=1000, activation_bytes_out=1000, constant_bytes=99), 0),
    ],
)
def test_each_count_has_its_price(counts: Cost, compute_pj: float):
    energy = price(counts, 0, TABLE, LINK)
    assert energy.compute_pj == pytest.approx(compute_pj)
    assert (energy.memory_pj, energy.radio_pj) == (0, 0)
    assert energy.tables == ("horowitz_45nm",)


def test_weights_are_fetched_once_from_the_memory_named():
    counts = Cost(weight_bytes=80)
    assert price(counts, 0, TABLE, LINK).memory_pj == pytest.approx(19_500)
    assert price(counts, 0, TABLE, LINK, bound="low").memory_pj == pytest.approx(13_000)
    assert price(counts, 0, TABLE, LINK, "sram_32kb").memory_pj == pytest.approx(200)


def test_bits_are_sent_over_the_radio():
    """1 mW for a second at 1.315 Mb/s."""
    energy = price(Cost(), LINK.rate_bits_per_s, TABLE, LINK)
    assert energy.radio_pj == pytest.approx(1e9)
    fading = FadingLink(LINK, rayleigh_gains(100, 0), block_s=0.1)
    assert price(Cost(), 1e6, TABLE, fading).radio_pj == pytest.approx(
        fading.time_s(1e6) * 1e-3 * 1e12
    )


@pytest.mark.parametrize("name", ["digits", "resnet8", "two_inputs"])
def test_cuts_are_priced_as_their_parts_are(name: str):
    graph = NETWORKS[name]()
    found = cuts(graph)
    prices = price_cuts(graph, found, TABLE, LINK)
    for cut, energy in zip(found, prices, strict=True):
        edge = cost(partition(graph, cut).edge.graph)
        assert energy == price(edge, 8 * cut.nbytes, TABLE, LINK)
    best = cheapest_cut(graph, found, TABLE, LINK)
    assert prices[found.index(best)].total_pj == min(each.total_pj for each in prices)


def test_a_worse_link_moves_the_cheapest_cut_deeper():
    """The point of the paper: send early over a good channel, compute over a bad one."""
    graph = NETWORKS["digits"]()
    found = cuts(graph)
    edges = [
        cheapest_cut(graph, found, TABLE, RadioLink(gain=gain)).edge_macs
        for gain in (10, 0.1, 0.01, 0.001)
    ]
    assert edges == sorted(edges)
    assert edges[0] < edges[-1]


def test_there_must_be_a_cut():
    with pytest.raises(CutError, match="graph must have a cut to choose from, not none"):
        cheapest_cut(NETWORKS["digits"](), [], TABLE, LINK)
