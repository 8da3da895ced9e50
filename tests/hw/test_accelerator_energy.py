"""Energy of descriptor lists: prices of SRAMs, and a list whose accesses are counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from joulecut.hw.accelerator_energy import accelerator_energy, sram_pj
from joulecut.hw.config import Z7020
from joulecut.hw.descriptors import Compute, Load, Memory, Store
from joulecut.hw.energy_table import EnergyTable, EnergyTableError, load_table


@pytest.fixture(scope="module")
def table() -> EnergyTable:
    return load_table("horowitz_45nm")


@pytest.mark.parametrize(
    ("kilobytes", "pj"),
    [(8, 10.0), (32, 20.0), (1024, 100.0), (64, 27.6), (128, 38.1), (2, 5.0)],
)
def test_srams_between_those_of_the_table(
    table: EnergyTable, kilobytes: int, pj: float
) -> None:
    assert sram_pj(table, kilobytes * 1024) == pytest.approx(pj, rel=2e-3)


def test_a_table_needs_two_srams(table: EnergyTable) -> None:
    bare = replace(table, memories={"dram": table.memory("dram")})
    with pytest.raises(EnergyTableError, match="must have two or more like sram_8kb, not 0"):
        sram_pj(bare, 1024)


def test_every_access_is_priced(table: EnergyTable) -> None:
    """A 3x3 layer of 16 channels on 8x8 pixels: one strip, nine passes."""
    descriptors = [
        Load(memory=Memory.ACTIVATIONS, is_planar=True, address=0, row_beats=64, planes=2),
        Load(memory=Memory.WEIGHTS, address=0, row_beats=9 * 32),
        Load(memory=Memory.PARAMETERS, address=0, row_beats=16),
        Compute(
            strips=1,
            strip=64,
            passes=9,
            activation_word=0,
            out_width=8,
            pixels=64,
            in_width=8,
            in_height=8,
            row_step=8,
        ),
        Store(address=0, row_beats=64, planes=2, word_planes=2),
    ]
    macs = 9 * 64 * 256
    found = accelerator_energy(Z7020, descriptors, table, macs=macs)
    assert found.on_chip["products"] == pytest.approx(macs * 0.3)
    assert found.on_chip["activations"] == pytest.approx(
        (128 + 576 * 2) * sram_pj(table, 65536)
    )
    assert found.on_chip["weights"] == pytest.approx(
        (288 + 9 * 16 * 2) * sram_pj(table, 10240 * 16)
    )
    assert found.on_chip["sums"] == pytest.approx((2 * 576 + 64) * 8 * sram_pj(table, 256))
    assert found.on_chip["outputs"] == pytest.approx((128 + 128) * sram_pj(table, 32768))
    assert found.on_chip["requantize"] == pytest.approx(1024 * 4.6)
    assert found.dram == pytest.approx((128 + 288 + 16 + 128) * 1950)
    assert found.total_pj == found.on_chip_pj + found.dram
