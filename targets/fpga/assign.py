"""Which layers of a part shall run on the accelerator: all that can, or those for which it pays.

What a layer costs the processor comes from its program: instructions and cache lines, counted by
an emulator, become time by docs/latency.md, or energy by a table. What it costs the accelerator
comes from the cycle model. Each change of sides costs a hand-over. The cheapest way through the
layers, one after the other, is found exactly for these prices; a hand-over is priced as if all
values that live then were handed over, which for a network without branches is one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from joulecut.compiler.config import Assign
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.feeds import random_feeds
from joulecut.compiler.graph import Graph, name_of, spec_of
from joulecut.compiler.layers import Layer, layers
from joulecut.compiler.profile import LayerProfile
from joulecut.hw.energy_table import EnergyTable, load_table
from joulecut.targets.base import Target
from joulecut.targets.cores import core_of
from joulecut.targets.cpu.build import build_part
from joulecut.targets.devices.protocol import Signature
from joulecut.targets.devices.qemu import QemuDevice
from joulecut.targets.devices.records import BuiltLayer, read_layers, sample_shape
from joulecut.targets.fpga.handover import handover
from joulecut.targets.fpga.lower import program_of
from joulecut.targets.fpga.part import layer_cycles, layer_energies
from joulecut.targets.fpga.segments import Assignment, Place, assigned
from joulecut.targets.latency import NS, latency_of

Progress = Callable[[str], None]

_UNITS = {"time": ("ms", 1e6), "energy": ("uJ", 1e6)}  # of ns and of pJ


@dataclass(frozen=True)
class Unit:
    """Layers that the processor runs as one, and what they cost on each side.

    Attributes:
        names: of the layers, in order.
        on_processor: ns or pJ.
        on_array: the same on the accelerator; None if it cannot run all of them.
    """

    names: tuple[str, ...]
    on_processor: float
    on_array: float | None


def assignment_of(
    graph: Graph, place: Target, assign: Assign, progress: Progress = lambda _step: None
) -> Assignment:
    """Where the layers of a part run.

    Args:
        graph: integer Graph, batch 1.
        place: a target with an accelerator.
        assign: "all", "time" or "energy".
        progress: is told what is built and counted.

    Raises:
        ConfigError: a cost is asked for that cannot be modelled for the processor.
        DeviceError: the processor's tool chain or emulator is missing.
    """
    config = place.accelerator
    assert config is not None
    every = assigned(graph, config)
    if assign == "all" or not every.on_array():
        return every
    progress(f"count what the layers cost {place.processor.name} and '{config.name}'")
    table = load_table("horowitz_45nm")
    price, line_bytes = _price_of(place.processor, assign, table)
    arrays: dict[str, float] = {}
    for segment in every.segments:
        if segment.place != "array":
            continue
        program = program_of(segment.graph, config)
        if assign == "time":
            found = layer_cycles(program).items()
            arrays |= {name: cycles / config.clock_hz * NS for name, cycles in found}
        else:
            arrays |= layer_energies(program, table)
    on_array = every.on_array()
    units = [
        Unit(
            built.layers,
            price(row),
            sum(arrays.get(name, 0.0) for name in built.layers)
            if on_array.issuperset(built.layers)
            else None,
        )
        for built, row in _counted(graph, place.processor)
    ]
    crossings = _crossings(graph, units, line_bytes)
    places = cheapest(units, [(price(there), price(back)) for there, back in crossings])
    unit, scale = _UNITS[assign]
    kept = dict(every.reasons)
    for each, chosen in zip(units, places, strict=True):
        if chosen == "processor" and each.on_array is not None:
            there, here = each.on_array / scale, each.on_processor / scale
            reason = (
                f"{here:.3g} {unit} here, {there:.3g} {unit} and handing over on the "
                "accelerator (modelled)"
            )
            kept |= dict.fromkeys(each.names, reason)
    return assigned(graph, config, kept)


def cheapest(
    units: Sequence[Unit], crossings: Sequence[tuple[float, float]]
) -> tuple[Place, ...]:
    """The cheapest place of each unit.

    Args:
        units: in the order in which they run.
        crossings: what it costs before each unit, and after the last, to go to the accelerator
            and to come back. A part begins and ends on the processor.
    """
    # What the units so far cost at least, and where they ran, if the last ran there.
    ends: dict[Place, tuple[float, tuple[Place, ...]]] = {"processor": (0.0, ())}
    for unit, (to_array, from_array) in zip(units, crossings, strict=False):
        switch: dict[Place, float] = {"array": to_array, "processor": from_array}
        own: dict[Place, float | None] = {
            "processor": unit.on_processor,
            "array": unit.on_array,
        }
        ends = {
            place: min(
                (before + cost + (0.0 if last == place else switch[place]), (*path, place))
                for last, (before, path) in ends.items()
            )
            for place, cost in own.items()
            if cost is not None
        }
    last_switch = {"processor": 0.0, "array": crossings[-1][1]}
    total = [(cost + last_switch[place], path) for place, (cost, path) in ends.items()]
    return min(total)[1]


def _price_of(
    place: Target, assign: Assign, table: EnergyTable
) -> tuple[Callable[[LayerProfile], float], int]:
    """What turns counts into ns or pJ, and the bytes of a cache line."""
    core, clock = core_of(place), place.facts.get("clock_hz")
    if core is None or (assign == "time" and clock is None):
        missing = "core in targets/cores" if core is None else "clock in its facts"
        raise ConfigError(
            f"target '{place.name}' must have a {missing} to assign layers by {assign}; choose "
            "a board such as pynq_z2, or assign all"
        )
    line_bytes = int(core.line_bytes.value)
    if assign == "time":
        assert clock is not None
        hertz = clock.value
        return lambda row: latency_of(row, core, hertz), line_bytes
    dram = table.memory("dram")
    line_pj = 8 * line_bytes * dram.pj() / dram.access_bits
    instruction_pj = table.instruction("in_order").pj()

    def energy(row: LayerProfile) -> float:
        counts = row.quantities
        instructions, lines = counts["instructions"].value, counts["l2_misses"].value
        return instructions * instruction_pj + lines * line_pj

    return energy, line_bytes


def _counted(graph: Graph, place: Target) -> list[tuple[BuiltLayer, LayerProfile]]:
    """The layers as the processor runs them, and their counts, of one random sample."""
    core = core_of(place)
    assert core is not None
    device = QemuDevice(place.arch, place.emulator.cpu, caches=core.caches)
    device.check()
    signature = Signature.of(graph)
    feeds = random_feeds(graph, 1)
    inputs = {
        spec.name: feeds[spec.name].reshape(1, *sample_shape(spec)) for spec in signature.inputs
    }
    with tempfile.TemporaryDirectory(prefix="joulecut-") as scratch:
        build_part(graph, place, Path(scratch))
        found = device.profile(Path(scratch), inputs, signature)
        return list(zip(read_layers(Path(scratch)), found.layers, strict=True))


def _crossings(
    graph: Graph, units: Sequence[Unit], line_bytes: int
) -> list[tuple[LayerProfile, LayerProfile]]:
    """Handing over all that lives before each unit, and after the last: there, and back."""
    owner = {name: number for number, unit in enumerate(units) for name in unit.names}
    every: Mapping[str, Layer] = {layer.name: layer for layer in layers(graph)}
    read: dict[str, int] = {}  # by which unit last
    values = {name_of(value): value for value in graph.graph.inputs}
    for name, number in owner.items():
        for value in every[name].inputs:
            read[name_of(value)] = max(number, read.get(name_of(value), 0))
        values[name] = every[name].output
    for value in graph.graph.outputs:
        read[name_of(value)] = len(units)
    found: list[tuple[LayerProfile, LayerProfile]] = []
    for number in range(len(units) + 1):
        live = [
            spec_of(values[name])
            for name, last in read.items()
            if owner.get(name, -1) < number <= last
        ]
        found.append(
            (handover(live, "array", line_bytes), handover(live, "processor", line_bytes))
        )
    return found
