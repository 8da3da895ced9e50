"""The energy of a part: the counts of compiler/cost.py at the prices of an energy table."""

from __future__ import annotations

from typing import Protocol

from joulecut.compiler.cost import Cost
from joulecut.hw.energy import (
    Bound,
    EnergyBreakdown,
    EnergyTable,
    computation_energy_pj,
    mac_energy_pj,
    memory_energy_pj,
)

_PJ_PER_J = 1e12


class Radio(Protocol):
    """What sends: RadioLink, FadingLink, or a model of one's own."""

    def energy_j(self, bits: float) -> float:
        """Energy to send so many bits."""
        ...


def price(
    cost: Cost,
    bits_sent: float,
    table: EnergyTable,
    radio: Radio,
    memory: str = "dram",
    *,
    bound: Bound = "typical",
) -> EnergyBreakdown:
    """Energy of one inference of a part (Eq. 6 of the paper in docs/energy.md).

    Args:
        cost: of the part; its arithmetic is int8, int32 and float32.
        bits_sent: what crosses the cut, as it is coded.
        table: prices of operations and of fetches.
        radio: prices what is sent.
        memory: where weights and biases are fetched from, each once; the paper counts no other
            traffic, and neither does this.
        bound: which end of the table's range for that memory.
    """
    plain_sums = computation_energy_pj(
        table, multiplications=0, additions=cost.additions, number_format="int32"
    )
    floats = computation_energy_pj(
        table,
        multiplications=cost.float_products,
        additions=cost.float_additions,
        number_format="fp32",
    )
    return EnergyBreakdown(
        compute_pj=mac_energy_pj(table, cost.macs, "int8") + plain_sums + floats,
        memory_pj=memory_energy_pj(
            table, cost.weight_bytes, bits=8, memory=memory, bound=bound
        ),
        radio_pj=radio.energy_j(bits_sent) * _PJ_PER_J,
        tables=(table.name,),
    )
