"""Counts of an emulator to modelled time: what a core would take for them, layer by layer.

    issue   = instructions x cycles per instruction
    l2      = (l1_misses - l2_misses) x l2_line_cycles
    memory  = l2_misses x max(memory_line_ns x clock, l2_line_cycles)
    cycles  = issue + l2 + memory            in order: who waits does not issue
    cycles  = max(issue, l2 + memory)        out of order: it computes while lines come
    latency = cycles / clock
    worst   = (issue + (l1_misses - l2_misses) x l2_cycles
                     + l2_misses x max(memory_ns x clock, l2_cycles)) / clock

A line from memory passes L2, so it never costs less than one from there. It is the execution-cache-memory model of Treibig and Hager (Introducing a Performance Model for
Bandwidth-Limited Loop Kernels, 2010) with measured costs of lines. `latency` takes lines to come
one behind the other, as from a stream that is prefetched; in `worst` each is waited for alone.
docs/latency.md says what the numbers are good for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.profile import LayerProfile, Profile, Quantity
from joulecut.targets.cores import Core, CoreFact

COUNTS = ("instructions", "l1_misses", "l2_misses")
USED = ("ipc", "l2_line_cycles", "l2_cycles", "memory_line_ns", "memory_ns")  # of a core
NS = 1e9


def has_counts(profile: Profile) -> bool:
    """Does every layer have what the model starts from, or a latency of its own?"""
    return all(
        name in layer.quantities
        for layer in profile.layers
        if "latency" not in layer.quantities
        for name in COUNTS
    )


def modelled(
    profile: Profile,
    core: Core,
    clock_hz: float,
    *,
    kernel_cpi: Mapping[str, float] | None = None,
    symbols: Mapping[str, Sequence[str]] | None = None,
) -> Profile:
    """A profile with `cycles_modelled`, `latency` and `latency_worst` in every layer.

    Args:
        profile: counts of every layer, simulated with the caches of the core; layers that have a
            latency keep it.
        core: what would execute them.
        clock_hz: its clock.
        kernel_cpi: cycles per instruction of kernels by their symbol, as llvm-mca finds for
            their loops; what is not in it issues at the core's `ipc`. Counts are those of whole
            layers, so the slowest kernel of a layer stands for all of them.
        symbols: the kernels that each layer calls, by the name of the layer.

    Raises:
        ConfigError: a count is missing, or the clock or a number of cycles is not positive.
    """
    if not (isfinite(clock_hz) and clock_hz > 0):
        raise ConfigError(f"clock must be a positive number of Hz, not {clock_hz}")
    known = dict(kernel_cpi or {})
    for symbol, cycles in known.items():
        if not (isfinite(cycles) and cycles > 0):
            raise ConfigError(
                f"cycles per instruction of '{symbol}' must be positive, not {cycles}"
            )
    used: set[str] = set()
    layers: list[LayerProfile] = []
    for layer in profile.layers:
        if "latency" in layer.quantities:  # of an accelerator, which has a clock of its own
            layers.append(layer)
            continue
        found = [name for name in (symbols or {}).get(layer.name, ()) if name in known]
        used.update(found)
        cpi = max((known[name] for name in found), default=1 / core.ipc.value)
        layers.append(_layer(layer, core, clock_hz, cpi))
    return replace(
        profile, layers=tuple(layers), notes=(*profile.notes, *_notes(core, clock_hz, used))
    )


def latency_of(layer: LayerProfile, core: Core, clock_hz: float) -> float:
    """Nanoseconds of a layer's counts, at the core's `ipc`; raises as `modelled` does."""
    return _layer(layer, core, clock_hz, 1 / core.ipc.value).quantities["latency"].value


def _layer(layer: LayerProfile, core: Core, clock_hz: float, cpi: float) -> LayerProfile:
    instructions, l1_misses, l2_misses = (_count(layer, name) for name in COUNTS)
    l2_hits = l1_misses - l2_misses
    if min(instructions, l2_hits, l2_misses) < 0:
        raise ConfigError(
            f"counts of layer '{layer.name}' must be those of caches, where l1_misses include "
            f"l2_misses, not {l1_misses:g} and {l2_misses:g} of {instructions:g} instructions"
        )
    issue = instructions * cpi
    lines = l2_hits * core.l2_line_cycles.value
    lines += l2_misses * _memory(core.memory_line_ns, core.l2_line_cycles, clock_hz)
    cycles = issue + lines if core.in_order else max(issue, lines)
    waits = l2_hits * core.l2_cycles.value
    waits += l2_misses * _memory(core.memory_ns, core.l2_cycles, clock_hz)
    return replace(
        layer,
        quantities={
            **layer.quantities,
            "cycles_modelled": Quantity(cycles, "cycle", "modelled"),
            "latency": Quantity(cycles / clock_hz * NS, "ns", "modelled"),
            "latency_worst": Quantity((issue + waits) / clock_hz * NS, "ns", "modelled"),
        },
    )


def _memory(ns: CoreFact, cycles: CoreFact, clock_hz: float) -> float:
    """Cycles of what takes time behind L2 and at least some cycles in it."""
    return max(ns.value / NS * clock_hz, cycles.value)


def _count(layer: LayerProfile, name: str) -> float:
    if name not in layer.quantities:
        raise ConfigError(
            f"layer '{layer.name}' must have the count {name} to be modelled, and has only "
            f"{', '.join(layer.quantities) or 'nothing'}; profile it on a qemu device"
        )
    return layer.quantities[name].value


def _notes(core: Core, clock_hz: float, given: set[str]) -> tuple[str, ...]:
    of = f"{core.title} at {clock_hz / 1e6:g} MHz"
    notes = [f"modelled: cycles and latency of {of} by docs/latency.md, untested on any board"]
    assumed = [
        f"{name} {core.facts[name].value:g}" for name in USED if core.facts[name].assumed
    ]
    if assumed:
        notes.append(f"assumed of the {core.name}: {', '.join(assumed)}")
    if given:
        notes.append(f"cycles per instruction of {len(given)} kernels were given")
    return tuple(notes)
