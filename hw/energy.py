"""Energy of computing, of fetching and of sending, from plain counts (docs/energy.md).

These are the equations of the split paper that docs/energy.md names. Nothing here is measured:
every result says that it is modelled, and from which table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from joulecut.hw.energy_table import (
    Bound,
    EnergyTable,
    EnergyTableError,
    Quantity,
    load_table,
    tables,
)

__all__ = [
    "ACCUMULATOR",
    "Bound",
    "EnergyBreakdown",
    "EnergyTable",
    "EnergyTableError",
    "co2_kg",
    "computation_energy_pj",
    "load_table",
    "mac_energy_pj",
    "memory_energy_pj",
    "tables",
]

_PJ_PER_J = 1e12
_JOULES_PER_KWH = 3.6e6

# The format in which the products of a format are summed: a sum of int8 products overflows int8.
ACCUMULATOR = {"int8": "int32"}


@dataclass(frozen=True)
class EnergyBreakdown:
    """Where energy goes; breakdowns add.

    Attributes:
        compute_pj: arithmetic.
        memory_pj: fetching parameters.
        radio_pj: sending.
        tables: names of the energy tables behind the numbers, sorted.
        assumptions: about the hardware, without which the numbers do not hold, sorted.
    """

    compute_pj: float = 0.0
    memory_pj: float = 0.0
    radio_pj: float = 0.0
    tables: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()

    @property
    def provenance(self) -> Literal["modelled", "assumed"]:
        """Modelled: an equation said so, and no meter; or assumed, if the hardware is."""
        return "assumed" if self.assumptions else "modelled"

    def __add__(self, other: EnergyBreakdown) -> EnergyBreakdown:
        return EnergyBreakdown(
            self.compute_pj + other.compute_pj,
            self.memory_pj + other.memory_pj,
            self.radio_pj + other.radio_pj,
            tuple(sorted({*self.tables, *other.tables})),
            tuple(sorted({*self.assumptions, *other.assumptions})),
        )

    @property
    def processing_pj(self) -> float:
        """E_p of Eq. 6: computing and fetching."""
        return self.compute_pj + self.memory_pj

    @property
    def total_pj(self) -> float:
        """E of Eq. 6."""
        return self.processing_pj + self.radio_pj

    @property
    def total_j(self) -> float:
        """E of Eq. 6, in joules."""
        return self.total_pj / _PJ_PER_J

    @property
    def shares(self) -> dict[str, float]:
        """What fraction of the total is computing, memory and radio; all 0 if the total is."""
        parts = {"compute": self.compute_pj, "memory": self.memory_pj, "radio": self.radio_pj}
        total = self.total_pj
        return {name: part / total if total else 0.0 for name, part in parts.items()}

    def __str__(self) -> str:
        tables = ", ".join((*self.tables, *self.assumptions)) or "no table"
        return f"{self.total_pj / 1e6:.3f} uJ ({self.provenance}: {tables})"


def computation_energy_pj(
    table: EnergyTable, *, multiplications: float, additions: float, number_format: str
) -> float:
    """Eq. 1: E_c = e_M M + e_A A, both operations in one number format."""
    operation = table.operation(number_format)
    return operation.mul.pj() * multiplications + operation.add.pj() * additions


def mac_energy_pj(table: EnergyTable, macs: float, number_format: str) -> float:
    """Eq. 1 for multiply-accumulates: each a product, and an addition of the accumulator.

    int8 products are summed in int32, floats in their own format.
    """
    accumulator = ACCUMULATOR.get(number_format, number_format)
    product = computation_energy_pj(
        table, multiplications=macs, additions=0, number_format=number_format
    )
    return product + computation_energy_pj(
        table, multiplications=0, additions=macs, number_format=accumulator
    )


def memory_energy_pj(
    table: EnergyTable,
    elements: float,
    *,
    bits: float,
    memory: str = "dram",
    bound: Bound = "typical",
) -> float:
    """Eq. 2: E_m = elements x e_m, where an element costs its share of an access.

    Args:
        table: says what an access costs and how many bits it moves.
        elements: how many are fetched, each once.
        bits: of one element; four bytes of int8 cost what one float32 does.
        memory: where they are fetched from.
        bound: which end of the table's range, if it has one.
    """
    access = table.memory(memory)
    return elements * access.pj(bound) * bits / access.access_bits


class Regions(Protocol):
    """What says how much electricity emits: an EnergyTable or a CarbonTable."""

    def region(self, name: str, /) -> Quantity:
        """What a kilowatt-hour emits there, in kg of CO2 equivalent."""
        ...


def co2_kg(table: Regions, energy_j: float, region: str = "eu") -> float:
    """CO2 equivalent of energy drawn from a region's grid.

    Args:
        table: hw/carbon.py's `load_carbon()` for countries, or an energy table for its own regions.
        energy_j: drawn.
        region: a code of that table; both know the EU, by the paper's 0.275 kg/kWh.
    """
    return energy_j / _JOULES_PER_KWH * table.region(region).value
