"""A part for a processor with an accelerator beside it: built, as a folder, and read again.

    segments.json   the runs of layers in order: where each runs, what goes in and out
    0/ 1/ ..        a run each: for the processor what targets/cpu builds; for the accelerator a
                    program (program.json, image.bin, descriptors.bin)
    layers.json     every layer of all runs, as for a part without an accelerator
    board_part.py   runs all of it on a board, with driver.py

What crosses the cut is coded by the processor, so a part that sends something ends with a run
there, if only to code.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.graph import Graph, input_specs, name_of, output_specs, spec_of
from joulecut.compiler.layers import layers
from joulecut.compiler.link_code import LinkCode
from joulecut.compiler.manifest import spec_fields, specs_from_fields
from joulecut.compiler.plan import empty
from joulecut.compiler.quant import TensorSpec
from joulecut.hw.accelerator_energy import accelerator_energy
from joulecut.hw.cycles import Walk
from joulecut.hw.descriptors import Compute, Descriptor, Load
from joulecut.hw.energy_table import EnergyTable
from joulecut.targets.base import Target
from joulecut.targets.cpu.build import build_part
from joulecut.targets.fpga.lower import program_of
from joulecut.targets.fpga.program import MODEL_LATENCY, Program
from joulecut.targets.fpga.program_files import DRIVER, read_program, write_program
from joulecut.targets.fpga.segments import Assignment, Place, Segment, assigned

SEGMENTS = "segments.json"
BOARD_PART = Path(__file__).with_name("board_part.py")

Json = Any  # null, bool, int, float, str, list or dict of these
Progress = Callable[[str], None]


@dataclass(frozen=True)
class BuiltSegment:
    """A run of layers as it lies in a built part.

    Attributes:
        place: where it runs.
        folder: of its files.
        inputs: what it reads, by name of what was fed or made before.
        outputs: what it makes for later runs or for the caller.
        sends: names of what crosses the cut, if it codes that.
    """

    place: Place
    folder: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    sends: tuple[str, ...] = ()

    def program(self) -> Program:
        """That of the accelerator."""
        return read_program(self.folder)


def build_mixed(
    graph: Graph,
    target: Target,
    out_dir: Path,
    *,
    link: LinkCode | None = None,
    assignment: Assignment | None = None,
    progress: Progress = lambda _step: None,
) -> Assignment:
    """Compiles a part for a processor and its accelerator.

    Args:
        graph: integer Graph, batch 1.
        target: with an accelerator.
        out_dir: made if it is missing.
        link: what the part sends and how it is coded; None: it sends nothing.
        assignment: where layers run; None: on the accelerator all that it can run.
        progress: is told what is compiled.

    Returns:
        Where layers run.

    Raises:
        UnsupportedError: a node is beyond the processor, too.
        DeviceError: the processor's C compiler is missing or refuses.
    """
    config, processor = target.accelerator, target.processor
    assert config is not None
    chosen = assignment or assigned(graph, config)
    runs = list(chosen.segments)
    if not runs or (link is not None and runs[-1].place == "array"):
        runs.append(Segment("processor", empty(graph, "send")))
    described: list[Json] = []
    rows: list[Json] = []
    for number, segment in enumerate(runs):
        folder, is_last = out_dir / str(number), number == len(runs) - 1
        if segment.place == "array":
            progress(f"accelerator: {_named(segment.graph)}")
            program = program_of(segment.graph, config)
            write_program(program, folder, with_driver=False)
            rows += _rows(segment.graph, program)
        else:
            sent = link if is_last else None
            build_part(segment.graph, processor, folder, link=sent, progress=progress)
            rows += json.loads((folder / "layers.json").read_text(encoding="utf-8"))["layers"]
        described.append(
            {
                "place": segment.place,
                "folder": str(number),
                "inputs": [spec_fields(spec) for spec in input_specs(segment.graph)],
                "outputs": [spec_fields(spec) for spec in output_specs(segment.graph)],
                "sends": [spec.name for spec in link.specs] if is_last and link else [],
            }
        )
    named = {"target": target.name, "processor": processor.name, "accelerator": config.name}
    fed = {spec.name: spec for spec in (*input_specs(graph), *(link.specs if link else ()))}
    made = {name_of(layer.output) for layer in layers(graph)}
    inputs = [spec_fields(spec) for name, spec in fed.items() if name not in made]
    runs_of = {"inputs": inputs, "segments": described, "kept": dict(chosen.reasons)}
    _write(out_dir / SEGMENTS, {**named, **runs_of})
    for source in (DRIVER, BOARD_PART):
        shutil.copyfile(source, out_dir / source.name)
    _write(out_dir / "layers.json", {**named, "layers": rows})
    return chosen


def read_segments(part: Path) -> tuple[BuiltSegment, ...]:
    """The runs of a built part, in order.

    Raises:
        UntrustedInputError: segments.json is not what a build writes.
    """
    path = part / SEGMENTS
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["segments"]
        return tuple(_segment(part, row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UntrustedInputError(
            f"{path} must list segments with place, folder, inputs and outputs; "
            f"{error!r} in the way"
        ) from error


def is_mixed(part: Path) -> bool:
    """Was the part built for a processor with an accelerator?"""
    return (part / SEGMENTS).is_file()


def layer_cycles(program: Program) -> dict[str, int]:
    """Cycles that each layer adds to those before it, by name, in order.

    They are modelled, on an ideal memory of MODEL_LATENCY cycles; their sum is that of the whole
    list, which the RTL's counters equal. What is loaded ahead for a later layer is that layer's.
    """
    order = {label: rank for rank, label in enumerate(dict.fromkeys(_computed(program)))}
    ranks = [order[label] for label in program.labels]
    last = {rank: at for at, rank in enumerate(ranks)}
    walk, at = Walk(program.config, MODEL_LATENCY), 0
    found: dict[str, int] = {}
    before = 0
    for label, rank in order.items():
        while at < len(ranks) and ranks[at] <= rank:
            walk.take(program.descriptors[at])
            at += 1
        # Up to here every list is the same; the rest without what is loaded for later layers.
        alone = walk.copy()
        for descriptor in _without_later(program, ranks, rank, at, last[rank] + 1):
            alone.take(descriptor)
        cycles = alone.counts().cycles
        found[label] = cycles - before
        before = cycles
    return found


def _computed(program: Program) -> Iterator[str]:
    """The layer of each computation, in order."""
    for label, descriptor in zip(program.labels, program.descriptors, strict=True):
        if isinstance(descriptor, Compute):
            yield label


def _without_later(
    program: Program, ranks: Sequence[int], rank: int, first: int, end: int
) -> Iterator[Descriptor]:
    """A stretch of the list without later layers, whose loads are listed early.

    Waits count loads, so they count what is left; all loads before the stretch are.
    """
    loads = [sum(isinstance(each, Load) for each in program.descriptors[:first])]
    for at in range(first, end):
        descriptor = program.descriptors[at]
        is_kept = ranks[at] <= rank
        if is_kept:
            wanted = descriptor.waits.load - loads[0]
            left = loads[wanted] if wanted > 0 else descriptor.waits.load
            yield replace(descriptor, waits=replace(descriptor.waits, load=left))
        if isinstance(descriptor, Load):
            loads.append(loads[-1] + is_kept)


def array_cycles(part: Path) -> int:
    """Cycles of all runs on the accelerator (modelled, and equal to the RTL's counters).

    Raises:
        UntrustedInputError: segments.json is not what a build writes.
    """
    return sum(
        segment.program().counts().cycles
        for segment in read_segments(part)
        if segment.place == "array"
    )


def array_energies(part: Path, table: EnergyTable) -> dict[str, float]:
    """Energy of each layer on the accelerator and of the memory behind it, pJ (modelled), by name.

    Raises:
        UntrustedInputError: segments.json is not what a build writes.
        EnergyTableError: a price is missing.
    """
    return {
        name: energy_pj
        for segment in read_segments(part)
        if segment.place == "array"
        for name, energy_pj in layer_energies(segment.program(), table).items()
    }


def layer_energies(program: Program, table: EnergyTable) -> dict[str, float]:
    """Energy of each layer of a program, pJ (modelled), by name; raises EnergyTableError."""
    own: dict[str, list[Descriptor]] = {value.name: [] for value in program.layers}
    for label, descriptor in zip(program.labels, program.descriptors, strict=True):
        own[label].append(descriptor)
    return {
        name: accelerator_energy(program.config, descriptors, table, macs=program.macs).total_pj
        for name, descriptors in own.items()
    }


def _named(graph: Graph) -> str:
    names = [layer.name for layer in layers(graph)]
    return (
        names[0] if len(names) == 1 else f"{len(names)} layers, '{names[0]}' to '{names[-1]}'"
    )


def _rows(graph: Graph, program: Program) -> Iterator[Json]:
    """The layers of a run on the accelerator as layers.json has them.

    A Reshape whose result lies nowhere belongs to the layer that reads it.
    """
    stored = {value.name for value in program.layers}
    inside: list[str] = []
    for layer in layers(graph):
        if layer.name not in stored:
            inside.append(layer.name)
            continue
        spec = spec_of(layer.output)
        read = {str(value.name) for value in layer.inputs}
        yield {
            "name": layer.name,
            "kind": layer.kind,
            "layers": [*(name for name in inside if name in read), layer.name],
            "kernel": f"accelerator {program.config.name}",
            "symbols": [],
            "integer": True,
            "output": {"shape": list(spec.shape), "dtype": spec.dtype, "nbytes": spec.nbytes},
        }


def _segment(part: Path, row: Mapping[str, Json]) -> BuiltSegment:
    place, folder = row["place"], row["folder"]
    if place not in ("array", "processor") or not str(folder).isdecimal():
        raise ValueError(f"place is {place!r}, folder is {folder!r}")
    inputs, outputs = (specs_from_fields(row[key]) for key in ("inputs", "outputs"))
    return BuiltSegment(
        place, part / str(folder), inputs, outputs, tuple(map(str, row["sends"]))
    )


def _write(path: Path, fields: Mapping[str, Json] | Sequence[Json]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
