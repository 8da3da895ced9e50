"""A part's energy: every count at its own price, and the cheapest cut of a network."""

from __future__ import annotations

import pytest

from joulecut.compiler.cost import Cost
from joulecut.hw.energy import load_table
from joulecut.hw.radio import FadingLink, RadioLink, rayleigh_gains
from joulecut.targets.price import SkipsZeros, price

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


def test_hardware_that_skips_zeros_is_assumed():
    counts = Cost(
        macs=1000,
        nonzero_macs=100,
        weight_bytes=80,
        parameters=80,
        nonzero_bytes=16,
        nonzero_parameters=8,
    )
    dense = price(counts, 0, TABLE, LINK)
    assert (dense.provenance, dense.assumptions) == ("modelled", ())
    found = price(counts, 0, TABLE, LINK, sparse=SkipsZeros())
    assert found.compute_pj == pytest.approx(dense.compute_pj / 10)
    assert found.memory_pj == pytest.approx(dense.memory_pj / 5)
    assert found.provenance == "assumed"
    assert str(found).endswith("(assumed: horowitz_45nm, hardware that skips zeros, no index)")
    assert (found + dense).provenance == "assumed"
    indexed = price(counts, 0, TABLE, LINK, sparse=SkipsZeros(index_bits=8))
    assert indexed.memory_pj == pytest.approx(found.memory_pj * 1.5)  # 8 bytes more than 16
    assert indexed.assumptions == ("hardware that skips zeros, 8 bits of index",)
