"""Equations 1, 2 and 6 against the tables that were computed by hand from the paper."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecut.hw.energy import (
    EnergyBreakdown,
    co2_kg,
    computation_energy_pj,
    load_table,
    mac_energy_pj,
    memory_energy_pj,
)

TABLE = load_table("horowitz_45nm")

# The digit network: layer, MACs, parameters, E_c and E_m in uJ, float32, DRAM at 1.3 nJ per 64 bits
DIGITS = [
    ("conv1", 313_600, 416, 1.44, 0.27),
    ("conv2", 2_508_800, 12_832, 11.54, 8.34),
    ("conv3", 1_881_600, 38_448, 8.66, 24.99),
    ("conv4", 1_228_800, 76_864, 5.65, 49.96),
    ("fc1", 131_072, 131_584, 0.60, 85.53),
    ("fc2", 131_072, 131_328, 0.60, 85.36),
    ("fc3", 32_768, 32_896, 0.15, 21.38),
    ("fc4", 8_192, 8_256, 0.04, 5.37),
    ("fc5", 640, 650, 0.00, 0.42),
]


@pytest.mark.parametrize(("name", "macs", "parameters", "compute_uj", "memory_uj"), DIGITS)
def test_the_layers_of_the_digit_network(
    name: str, macs: int, parameters: int, compute_uj: float, memory_uj: float
):
    compute = computation_energy_pj(
        TABLE, multiplications=macs, additions=macs, number_format="fp32"
    )
    assert compute == pytest.approx(mac_energy_pj(TABLE, macs, "fp32")), name
    assert compute / 1e6 == pytest.approx(compute_uj, abs=0.0051)
    memory = memory_energy_pj(TABLE, parameters, bits=32, bound="low")
    assert memory / 1e6 == pytest.approx(memory_uj, abs=0.0051)


@pytest.mark.parametrize(
    ("bound", "after_pools", "after_fc1", "after_fc5"),
    [
        ("low", (0.017, 0.216, 0.552, 1.109), 1.970, 3.103),
        ("typical", (0.018, 0.259, 0.720, 1.526), 2.815, 4.511),
        ("high", (0.020, 0.302, 0.888, 1.944), 3.661, 5.919),
    ],
)
def test_processing_energy_grows_as_in_the_table(
    bound: str, after_pools: tuple[float, ...], after_fc1: float, after_fc5: float
):
    """E_p up to each layer, in 1e-4 J; pools compute nothing."""
    assert bound in ("low", "typical", "high")
    each = (
        EnergyBreakdown(
            compute_pj=mac_energy_pj(TABLE, macs, "fp32"),
            memory_pj=memory_energy_pj(TABLE, parameters, bits=32, bound=bound),
        )
        for _, macs, parameters, _, _ in DIGITS
    )
    grown = [total.processing_pj * 1e-12 / 1e-4 for total in accumulate(each)]
    assert grown[:4] == pytest.approx(after_pools, abs=0.00051)
    assert (grown[4], grown[8]) == pytest.approx((after_fc1, after_fc5), abs=0.00051)


def test_an_int8_mac_adds_in_int32():
    assert mac_energy_pj(TABLE, 1, "int8") == pytest.approx(0.2 + 0.1)
    assert mac_energy_pj(TABLE, 10, "fp16") == pytest.approx(10 * (1.1 + 0.4))


def test_equation_1_prices_each_operation():
    energy = computation_energy_pj(TABLE, multiplications=3, additions=5, number_format="int32")
    assert energy == pytest.approx(3 * 3.1 + 5 * 0.1)


@pytest.mark.parametrize(
    ("memory", "pj"), [("sram_8kb", 10), ("sram_32kb", 20), ("sram_1mb", 100), ("dram", 1950)]
)
def test_an_access_is_shared_by_the_bits_that_it_moves(memory: str, pj: float):
    assert memory_energy_pj(TABLE, 8, bits=8, memory=memory) == pytest.approx(pj)
    assert memory_energy_pj(TABLE, 1, bits=64, memory=memory) == pytest.approx(pj)
    assert memory_energy_pj(TABLE, 1, bits=4, memory=memory) == pytest.approx(pj / 16)


@pytest.mark.parametrize(
    ("energy_j", "kg"),
    [
        (8.66e-4, 6.615e-11),
        (1.69e-4, 1.291e-11),
        (4.36e-4, 3.331e-11),
        (1.24e-4, 0.947e-11),
        (1.67e-4, 1.276e-11),
        (0.53e-4, 0.405e-11),
        (0.61e-4, 0.466e-11),
    ],
)
def test_co2_of_the_papers_energies(energy_j: float, kg: float):
    assert co2_kg(TABLE, energy_j) == pytest.approx(kg, abs=0.0006e-11)


ENERGIES = st.integers(0, 2**40).map(float)  # integers add exactly
BREAKDOWNS = st.builds(
    EnergyBreakdown, ENERGIES, ENERGIES, ENERGIES, st.sampled_from([(), ("a",), ("b",)])
)


@given(BREAKDOWNS, BREAKDOWNS, BREAKDOWNS)
def test_breakdowns_add(a: EnergyBreakdown, b: EnergyBreakdown, c: EnergyBreakdown):
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + EnergyBreakdown() == a
    assert (a + b).total_pj == a.total_pj + b.total_pj
    assert set((a + b).tables) == {*a.tables, *b.tables}


def test_a_breakdown_says_where_it_comes_from():
    energy = EnergyBreakdown(1e6, 2e6, 1e6, ("horowitz_45nm",))
    assert energy.provenance == "modelled"
    assert str(energy) == "4.000 uJ (modelled: horowitz_45nm)"
    assert energy.shares == {"compute": 0.25, "memory": 0.5, "radio": 0.25}
    assert energy.total_j == pytest.approx(4e-6)
    assert EnergyBreakdown().shares == {"compute": 0, "memory": 0, "radio": 0}
