"""What a list of descriptors costs in energy, from exact counts of accesses and a table of prices.

On the chip: products, requantization, and every word that goes into or out of a memory, at the
price of an SRAM of its size. Off the chip: every beat of the bus. Nothing is measured, and none of
it is the energy that a board draws, which is watts times time.

A table has SRAMs of some sizes; between them, and below the smallest, a power law goes through the
two that are nearest (energy doubles from 8 to 32 KB in Horowitz's). Below 8 KB, where the sums of a
row lie, that is an assumption.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from types import MappingProxyType

from joulecut.hw.config import BEAT_BYTES, MacArrayConfig
from joulecut.hw.cycles import accesses, loads_of
from joulecut.hw.descriptors import Compute, Descriptor, Memory, Operation, Store
from joulecut.hw.energy import mac_energy_pj
from joulecut.hw.energy_table import Bound, EnergyTable, EnergyTableError

_SRAM = re.compile(r"sram_(\d+)(kb|mb)")
_UNITS = MappingProxyType({"kb": 1 << 10, "mb": 1 << 20})
_SUM_BYTES = 4


@dataclass(frozen=True)
class AcceleratorEnergy:
    """Energy of a list, by where it goes, in pJ.

    Attributes:
        on_chip: products, requantization and each memory.
        dram: beats of loads and stores.
        macs: multiply-accumulates of the layers, those with padding not counted.
        table: of prices.
    """

    on_chip: Mapping[str, float]
    dram: float
    macs: int
    table: str

    provenance = "modelled"

    @property
    def on_chip_pj(self) -> float:
        """All but DRAM."""
        return sum(self.on_chip.values())

    @property
    def on_chip_pj_per_mac(self) -> float:
        """Energy on the chip for a multiply-accumulate that was asked for."""
        return self.on_chip_pj / self.macs

    @property
    def total_pj(self) -> float:
        """DRAM included."""
        return self.on_chip_pj + self.dram


def sram_pj(table: EnergyTable, nbytes: float) -> float:
    """An access of 64 bits to an SRAM of some size.

    Raises:
        EnergyTableError: the table has fewer than two SRAMs.
    """
    points: list[tuple[float, float]] = []
    for name, quantity in table.memories.items():
        match = _SRAM.fullmatch(name)
        if match:
            size = int(match[1]) * _UNITS[match[2]]
            points.append((log(size), log(quantity.pj() * 64 / quantity.access_bits)))
    if len(points) < 2:
        raise EnergyTableError(
            f"energy table '{table.name}': memories must have two or more like sram_8kb, "
            f"not {len(points)}"
        )
    points.sort()
    at = log(nbytes)
    low = max(0, min(len(points) - 2, sum(size <= at for size, _ in points) - 1))
    (x0, y0), (x1, y1) = points[low : low + 2]
    return exp(y0 + (y1 - y0) * (at - x0) / (x1 - x0))


def accelerator_energy(
    config: MacArrayConfig,
    descriptors: Sequence[Descriptor],
    table: EnergyTable,
    *,
    macs: int,
    bound: Bound = "typical",
) -> AcceleratorEnergy:
    """Energy of a list.

    Args:
        config: sizes of the memories.
        descriptors: the list.
        table: prices; needs int8, int32 and fp32, dram, and SRAMs.
        macs: multiply-accumulates of the layers, for energy per MAC.
        bound: of the range of DRAM's price.

    Raises:
        EnergyTableError: a price is missing.
    """
    memories = ["activations", "weights", "parameters", "outputs", "sums"]
    words: dict[str, float] = dict.fromkeys(memories, 0.0)
    products = requantized = added = 0
    for memory in Memory:
        beats = sum(load.beats for load in loads_of(descriptors, memory))
        words[memory.name.lower()] += beats
    for descriptor in descriptors:
        if isinstance(descriptor, Store):
            words["outputs"] += descriptor.beats
        if not isinstance(descriptor, Compute):
            continue
        events = accesses(config, descriptor)
        beats_of_row = config.columns / BEAT_BYTES
        words["activations"] += events["activation_reads"] * beats_of_row
        words["weights"] += events["weight_reads"] * beats_of_row
        words["parameters"] += (
            (events["bias_reads"] + events["scale_reads"] * config.lanes) * 4 / BEAT_BYTES
        )
        sums = 2 * events["sum_updates"] + events["sum_drains"]
        words["sums"] += sums * config.rows * _SUM_BYTES / BEAT_BYTES
        words["outputs"] += events["output_writes"] * config.rows / BEAT_BYTES
        products += events.get("mac_cycles", 0) * config.macs_per_cycle
        added += events.get("vector_cycles", 0) * config.columns
        requantized += events["sum_drains"] * config.rows
        if descriptor.operation is Operation.PAIR:
            requantized += events["sum_drains"] * config.rows
    sizes = {
        "activations": config.activation_words * config.columns / 2,  # the half that is read
        "weights": config.weight_words * config.columns,
        "parameters": config.parameter_words * BEAT_BYTES,
        "outputs": config.output_words * config.rows,
        "sums": config.strip * _SUM_BYTES,
    }
    on_chip = {name: beats * sram_pj(table, sizes[name]) for name, beats in words.items()}
    on_chip["products"] = mac_energy_pj(table, products, "int8")
    on_chip["additions"] = added * table.operation("int32").add.pj()
    on_chip["requantize"] = requantized * (
        table.operation("fp32").mul.pj() + table.operation("fp32").add.pj()
    )
    beats = sum(d.beats for d in descriptors if not isinstance(d, Compute))
    dram = table.memory("dram")
    return AcceleratorEnergy(
        on_chip=on_chip,
        dram=beats * dram.pj(bound) * 64 / dram.access_bits,
        macs=macs,
        table=table.name,
    )
