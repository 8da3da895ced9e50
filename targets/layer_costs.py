"""What each layer costs each place where an edge or a cloud can be, before anything is compiled.

A processor's layers take predicted instructions and lines (targets/kernel_rates.py), which become
time by docs/latency.md; an accelerator's take the cycles of its model (docs/accelerator.md). Who has
measured a built part gives its profile instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from joulecut.compiler.cost import cost_of_layer
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, name_of, spec_of
from joulecut.compiler.layers import Layer, layers
from joulecut.compiler.profile import LayerProfile, Profile, sums
from joulecut.compiler.search import LayerCosts
from joulecut.hw.energy_table import EnergyTable
from joulecut.hw.radio import RadioLink
from joulecut.targets.base import Target
from joulecut.targets.cores import core_of
from joulecut.targets.fpga.handover import handover
from joulecut.targets.fpga.lower import program_of
from joulecut.targets.fpga.part import layer_cycles, layer_energies
from joulecut.targets.fpga.segments import assigned
from joulecut.targets.kernel_rates import predicted
from joulecut.targets.latency import NS, latency_of
from joulecut.targets.price import price

Account = Literal["operations", "instructions"]

_PJ_PER_J = 1e12
_TIMES = ("latency", "time_min")  # of a profile, in ns, the first that it has


def layer_costs(
    graph: Graph,
    place: Target,
    table: EnergyTable,
    *,
    account: Account = "operations",
    memory: str = "dram",
    clock_hz: float | None = None,
    profile: Profile | None = None,
) -> LayerCosts:
    """The joules and seconds of each layer of an integer Graph in one place.

    Args:
        graph: integer Graph, batch 1.
        place: a target, with an accelerator or without.
        table: prices.
        account: energy of a processor by "operations" and fetched weights, as the paper of
            docs/energy.md counts, or by "instructions" and lines from memory.
        memory: where operations fetch weights from.
        clock_hz: of the processor, assumed; None: as the target says, if it does.
        profile: of the whole network on this place, measured or simulated, instead of predicted
            times.

    Raises:
        ConfigError: the account is unknown, or instructions cannot be predicted for the target.
        EnergyTableError: a price is missing.
    """
    if account not in get_args(Account):
        raise ConfigError(
            f"account must be one of {', '.join(get_args(Account))}, not '{account}'"
        )
    every = layers(graph)
    rows, notes = _predictions(every, place.processor)
    seconds = _seconds(rows, place.processor, clock_hz, notes)
    if account == "operations":
        joules = {
            layer.name: price(cost_of_layer(layer), 0, table, RadioLink(), memory).processing_pj
            / _PJ_PER_J
            for layer in every
        }
    else:
        if not rows:
            raise ConfigError(
                f"{notes[0]}; choose a board such as raspberry_pi_4, or account for operations"
            )
        joules = {row.name: _by_instructions(row, place, table) for row in rows}
    costs = LayerCosts(
        place.name,
        joules,
        "modelled",
        seconds,
        "modelled" if clock_hz is None else "assumed",
        tuple(notes),
    )
    if place.accelerator is not None:
        costs = _with_accelerator(graph, place, table, costs)
    return costs if profile is None else _measured(every, costs, profile)


def _predictions(every: Sequence[Layer], place: Target) -> tuple[list[LayerProfile], list[str]]:
    """Counts of each layer; without any, and with the reason, where nobody can predict them."""
    core = core_of(place)
    if core is None:
        return [], [f"{place.name}: no core in targets/cores, so no time and no instructions"]
    try:
        return predicted(every, place.kernels, core), []
    except ConfigError as error:
        return [], [f"{place.name}: {error}"]


def _seconds(
    rows: Sequence[LayerProfile], place: Target, clock_hz: float | None, notes: list[str]
) -> dict[str, float] | None:
    core, fact = core_of(place), place.facts.get("clock_hz")
    clock = clock_hz if clock_hz is not None or fact is None else fact.value
    if not rows or core is None:
        return None
    if clock is None:
        notes.append(f"{place.name}: names no clock, so no time; give one")
        return None
    return {row.name: latency_of(row, core, clock) / NS for row in rows}


def _by_instructions(row: LayerProfile, place: Target, table: EnergyTable) -> float:
    core = core_of(place.processor)
    assert core is not None, f"instructions of {place.name} must be those of a core"
    dram = table.memory("dram")
    line_pj = 8 * core.line_bytes.value * dram.pj() / dram.access_bits
    counts = row.quantities
    energy_pj = counts["instructions"].value * table.instruction("in_order").pj()
    return (energy_pj + counts["l2_misses"].value * line_pj) / _PJ_PER_J


def _with_accelerator(
    graph: Graph, place: Target, table: EnergyTable, costs: LayerCosts
) -> LayerCosts:
    """The same with what the accelerator can run moved there.

    Handing a value over belongs to the layer that makes it, if a layer on the other side reads it.
    """
    config = place.accelerator
    assert config is not None
    every = layers(graph)
    owner = {name_of(value): layer.name for layer in reversed(every) for value in layer.inputs}
    owner |= {name_of(node.outputs[0]): layer.name for layer in every for node in layer.nodes}
    joules, cycles = dict(costs.joules), dict[str, float]()
    on_array: set[str] = set()
    for segment in assigned(graph, config).segments:
        if segment.place == "processor":
            continue
        program = program_of(segment.graph, config)
        inside = {layer.name for layer in layers(segment.graph)}
        on_array |= inside
        joules |= dict.fromkeys(inside, 0.0)
        for name, energy_pj in layer_energies(program, table).items():
            joules[owner[name]] += energy_pj / _PJ_PER_J
        for name, count in layer_cycles(program).items():
            cycles[owner[name]] = cycles.get(owner[name], 0.0) + count
    seconds = None
    if costs.seconds is not None:
        seconds = dict(costs.seconds)
        for name in on_array:
            seconds[name] = cycles.get(name, 0.0) / config.clock_hz
        _hand_over(every, on_array, place.processor, seconds)
    note = f"{place.name}: {len(on_array)} of {len(every)} layers on the accelerator"
    return LayerCosts(
        place.name,
        joules,
        costs.energy_provenance,
        seconds,
        "assumed",  # instructions of a hand-over are
        (*costs.notes, note),
    )


def _hand_over(
    every: Sequence[Layer], on_array: set[str], place: Target, seconds: dict[str, float]
) -> None:
    core, clock = core_of(place), place.facts.get("clock_hz")
    if core is None or clock is None:
        return
    for layer in every:
        here = layer.name in on_array
        readers = [reader.name in on_array for reader in every if layer.output in reader.inputs]
        if any(there != here for there in readers):
            to = "processor" if here else "array"
            row = handover([spec_of(layer.output)], to, int(core.line_bytes.value))
            seconds[layer.name] += latency_of(row, core, clock.value) / NS


def _measured(every: Sequence[Layer], costs: LayerCosts, profile: Profile) -> LayerCosts:
    """The same with times of a profile.

    A row stands for all layers that were fused into it: those that its layer needs and that no
    row before it stands for. Its time goes to the one of them with the most products, since the
    others only finish what that one computes.
    """
    known = {layer.name: layer for layer in every}
    rows = [row for row in profile.layers if row.name in known]  # the others code or hand over
    total = sums(row.quantities for row in rows)
    axis = next((name for name in _TIMES if name in total), None)
    if axis is None:
        raise ConfigError(
            f"profile of {profile.device} must hold {' or '.join(_TIMES)} for every layer, "
            f"not {', '.join(total) or 'nothing'}"
        )
    makers: Mapping[str, Layer] = {name_of(layer.output): layer for layer in every}
    seconds: dict[str, float] = {}
    for row in rows:
        group = _unclaimed(known[row.name], makers, seconds)
        heaviest = max(group, key=lambda layer: cost_of_layer(layer).macs)
        seconds |= {layer.name: 0.0 for layer in group}
        seconds[heaviest.name] = row.quantities[axis].value / NS
    missing = [name for name in known if name not in seconds]
    if missing:
        raise ConfigError(
            f"profile of {profile.device} must cover every layer of the network, and lacks "
            f"'{missing[0]}'; profile the other part on the same device, too"
        )
    return LayerCosts(
        costs.place,
        costs.joules,
        costs.energy_provenance,
        seconds,
        total[axis].provenance,
        (*costs.notes, f"{costs.place}: times by {profile.device} ({profile.machine})"),
    )


def _unclaimed(
    layer: Layer, makers: Mapping[str, Layer], claimed: Mapping[str, float]
) -> list[Layer]:
    """A layer and all that it needs and nobody has claimed yet."""
    found: dict[str, Layer] = {}
    waiting = [layer]
    while waiting:
        each = waiting.pop()
        if each.name in found or each.name in claimed:
            continue
        found[each.name] = each
        waiting += [makers[name] for v in each.inputs if (name := name_of(v)) in makers]
    return list(found.values())
