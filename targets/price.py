"""The energy of a part: the counts of compiler/cost.py at the prices of an energy table."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class SkipsZeros:
    """Hardware, which is assumed, that stores, fetches and multiplies no weight that is 0.

    Attributes:
        index_bits: stored and fetched with each parameter that is not 0, to say where it belongs;
            0 counts no index, as the paper does. 8 bits of distance to the last one are usual.
    """

    index_bits: float = 0.0

    def __str__(self) -> str:
        index = f"{self.index_bits:g} bits of index" if self.index_bits else "no index"
        return f"hardware that skips zeros, {index}"


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
    sparse: SkipsZeros | None = None,
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
        sparse: prices the nonzero counts of the cost; None prices all of them. What it gives is
            assumed, and says so.
    """
    macs, fetched = cost.macs, float(cost.weight_bytes)
    if sparse is not None:
        macs = cost.nonzero_macs
        fetched = cost.nonzero_bytes + cost.nonzero_parameters * sparse.index_bits / 8
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
        compute_pj=mac_energy_pj(table, macs, "int8") + plain_sums + floats,
        memory_pj=memory_energy_pj(table, fetched, bits=8, memory=memory, bound=bound),
        radio_pj=radio.energy_j(bits_sent) * _PJ_PER_J,
        tables=(table.name,),
        assumptions=() if sparse is None else (str(sparse),),
    )
