"""Where every buffer of a part lies: inputs, outputs, arena or constants, as C expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulecut.compiler.graph import Graph, Value, constant_of, input_specs, name_of, spec_of
from joulecut.targets.cpu.driver import Call, Fill, Stage
from joulecut.targets.cpu.lower import Lowered
from joulecut.targets.cpu.memory import Arena, Life, aligned, plan_arena
from joulecut.targets.cpu.nhwc.plane import BorderFill
from joulecut.targets.cpu.script import Array

SLACK_BYTES = 64  # kernels over planes read, but never use, so far beyond a buffer


@dataclass(frozen=True)
class Layout:
    """A part, laid out.

    Attributes:
        stages: the layers as the driver runs them.
        copies: what is left to be copied to outputs after the last layer.
        arena: the plan of what is between inputs and outputs.
        constants: the bytes of all constants.
    """

    stages: tuple[Stage, ...]
    copies: tuple[Call, ...]
    arena: Arena
    constants: bytes


class Constants:
    """The constants of a program; those of the same bytes are stored once."""

    def __init__(self) -> None:
        self._offsets: dict[bytes, int] = {}
        self._data = bytearray()

    def offset(self, array: Array) -> int:
        """Where the bytes of an array lie, aligned."""
        data = np.ascontiguousarray(array).tobytes()
        if data not in self._offsets:
            self._data += bytes(aligned(len(self._data)) - len(self._data))
            self._offsets[data] = len(self._data)
            self._data += data
        return self._offsets[data]

    def data(self) -> bytes:
        """All of them."""
        return bytes(self._data)


def lay_out(
    graph: Graph, lowered: Sequence[Lowered], constants: Constants | None = None
) -> Layout:
    """Decide where everything lies.

    A layer writes an output of the part where the caller wants it. What no layer writes there
    is copied: an output that is an input, a constant, another output or another name of one.

    Args:
        graph: of the part.
        lowered: its layers.
        constants: those of the parts before, if several parts are one program; they grow.
    """
    shared = Constants() if constants is None else constants
    made = {work.name for work in lowered}
    written: dict[str, int] = {}
    late: list[tuple[Value, int]] = []
    for i, value in enumerate(graph.graph.outputs):
        if name_of(value) in made and name_of(value) not in written:
            written[name_of(value)] = i
        else:
            late.append((value, i))
    places = {spec.name: f"inputs[{i}]" for i, spec in enumerate(input_specs(graph))}
    places |= {name: f"outputs[{i}]" for name, i in written.items()}
    roots = _roots(lowered, written)
    lives = _lives(lowered, roots, places, late)
    arena = plan_arena(lives)
    if any(work.shown is not None for work in lowered):
        arena = replace(arena, nbytes=arena.nbytes + SLACK_BYTES)
    places |= {name: f"a + {offset}" for name, offset in arena.offsets.items()}
    pool = _Pool(places, roots, shared)
    stages = [_stage(work, pool) for work in lowered]
    copies = [
        Call(None, (pool.value(value), f"outputs[{i}]"), spec_of(value).nbytes)
        for value, i in late
    ]
    return Layout(tuple(stages), tuple(copies), arena, shared.data())


def _roots(lowered: Sequence[Lowered], written: Mapping[str, int]) -> dict[str, Value]:
    """Values that are other names of earlier bytes; an output is always bytes of its own."""
    roots: dict[str, Value] = {}
    for work in lowered:
        if work.alias is not None and work.name not in written:
            roots[work.name] = roots.get(name_of(work.alias), work.alias)
    return roots


def _lives(
    lowered: Sequence[Lowered],
    roots: Mapping[str, Value],
    elsewhere: Mapping[str, str],
    late: Sequence[tuple[Value, int]],
) -> list[Life]:
    """Lives of the buffers of the arena, counted in steps; the copies are the last step."""
    sizes: dict[str, int] = {}
    first: dict[str, int] = {}
    last: dict[str, int] = {}

    def touch(name: str, nbytes: int, step: int) -> None:
        root = name_of(roots[name]) if name in roots else name
        if root in elsewhere or (name in roots and constant_of(roots[name]) is not None):
            return
        sizes[root] = max(nbytes, sizes.get(root, 0))
        first.setdefault(root, step)
        last[root] = step

    step = 0
    for work in lowered:
        for each in work.steps:
            if isinstance(each, BorderFill):
                touch(each.plane.name, each.plane.nbytes, step)
            else:
                for arg in each.args:
                    if isinstance(arg.source, str):
                        touch(arg.source, arg.nbytes, step)
            step += 1
        if work.shown is not None and not work.steps:
            touch(work.shown.name, work.shown.nbytes, step)
            step += 1
        if work.alias is not None:
            if constant_of(work.alias) is None:
                touch(name_of(work.alias), spec_of(work.alias).nbytes, step)
            step += 1
    for value, _ in late:
        if constant_of(value) is None:
            touch(name_of(value), spec_of(value).nbytes, step)
    return [Life(name, sizes[name], first[name], last[name]) for name in sizes]


class _Pool:
    """Gives every source its C expression."""

    def __init__(
        self, places: Mapping[str, str], roots: Mapping[str, Value], constants: Constants
    ) -> None:
        self._places = places
        self._roots = roots
        self._constants = constants

    def named(self, name: str) -> str:
        """A pointer to the buffer of this name."""
        if name in self._roots:
            return self.value(self._roots[name])
        return self._places[name]

    def value(self, value: Value) -> str:
        """A pointer to a value of the graph."""
        array = constant_of(value)
        return self.named(name_of(value)) if array is None else self.array(array)

    def array(self, array: Array) -> str:
        """A pointer to a constant."""
        return f"c + {self._constants.offset(array)}"


def _stage(work: Lowered, pool: _Pool) -> Stage:
    spec = spec_of(work.output)
    calls: list[Call | Fill] = []
    for step in work.steps:
        if isinstance(step, BorderFill):
            calls.append(Fill(pool.named(step.plane.name), step.plane))
            continue
        pointers = (
            pool.named(arg.source) if isinstance(arg.source, str) else pool.array(arg.source)
            for arg in step.args
        )
        places = (
            _moved(pointer, arg.offset_bytes)
            for pointer, arg in zip(pointers, step.args, strict=True)
        )
        calls.append(Call(step.symbol, tuple(places), tasks=step.tasks))
    plane = work.shown
    if plane is not None:
        output = _moved(pool.named(plane.name), plane.origin * plane.itemsize)
    else:
        output = pool.named(work.name)
    if work.alias is not None and output != pool.value(work.alias):
        calls.append(Call(None, (pool.value(work.alias), output), spec.nbytes))
    return Stage(work.name, work.kind, tuple(calls), output, spec, plane)


def _moved(pointer: str, nbytes: int) -> str:
    """A pointer moved on; inputs and outputs are pointers to void."""
    if nbytes == 0:
        return pointer
    is_void = pointer.startswith(("inputs[", "outputs["))
    return f"(uint8_t *){pointer} + {nbytes}" if is_void else f"{pointer} + {nbytes}"
