"""A Graph => a bundle whose edge chooses its cut for each inference.

Equal arguments give equal bytes. Every layer is in one piece, so edge and server hold each
weight once, however many cuts there are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from joulecut.compiler.bundle import Bundle, write_bundle
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut import Cut
from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.feeds import random_feeds
from joulecut.compiler.graph import Graph, input_specs, is_constant, output_specs
from joulecut.compiler.graph_file import graph_to_bytes
from joulecut.compiler.layers import layers
from joulecut.compiler.link_code import LinkCode
from joulecut.compiler.manifest import spec_fields
from joulecut.compiler.objective import Objective
from joulecut.compiler.pieces import Piece, pieces
from joulecut.compiler.quant import TensorSpec
from joulecut.compiler.reference import trace
from joulecut.hw.energy_table import load_table
from joulecut.hw.radio import RadioLink
from joulecut.targets import layout
from joulecut.targets.adaptive import layout as places
from joulecut.targets.adaptive.choices import Choices, Ground, PredictedTimes, Times, choices
from joulecut.targets.base import Target, target
from joulecut.targets.cpu.adaptive_build import EdgeProgram, build_edge
from joulecut.targets.cpu.build import build_part
from joulecut.targets.tool_versions import tool_versions

Progress = Callable[[str], None]
Json = Any


def build_adaptive(
    graph: Graph,
    *,
    out: str | Path,
    edge: str = "aarch64",
    cloud: str = "x86_64",
    objective: Objective | None = None,
    link: RadioLink | None = None,
    codec: CodecConfig | None = None,
    times: Times | PredictedTimes | None = None,
    energies: str = "horowitz_45nm",
    max_candidates: int = 256,
    max_cuts: int = 16,
    vectors: Mapping[str, np.ndarray] | int = 2,
    source: bytes | None = None,
    progress: Progress = lambda _step: None,
) -> Bundle:
    """Compile the pieces of the cuts that are best for some channel, and what chooses.

    Args:
        graph: integer Graph.
        out: the bundle: a directory, or one file if it ends in .zip.
        edge: name of the edge's target, a processor.
        cloud: name of the server's target, a processor.
        objective: what a cut is the least of; None: the edge's energy.
        link: says the power of sending; None: the paper's link.
        codec: how tensors are coded; None: without loss. Outputs are always sent as they are.
        times: what latencies are modelled from; needed to weigh or bound them.
        energies: name of the energy table, or its file.
        max_candidates: cuts that are looked at, at most.
        max_cuts: cuts in the bundle, at most; beyond it those of the widest channels.
        vectors: samples [N, ...] for each input, or how many random ones to make: what crosses
            at each cut is fitted to and measured on them.
        source: the model as the user gave it.
        progress: told each step as it begins.

    Raises:
        ConfigError: an argument does not fit.
        UnsupportedError: the model holds what joulecut cannot build.
        DeviceError: a tool chain is missing.
    """
    sides = {"edge": _processor("edge", edge), "cloud": _processor("cloud", cloud)}
    settings = codec or CodecConfig()
    ground = Ground(
        objective or Objective(),
        link or RadioLink(),
        load_table(energies),
        settings,
        times,
        max_candidates,
        max_cuts,
    )
    outputs = answers(graph)
    feeds = random_feeds(graph, vectors) if isinstance(vectors, int) else dict(vectors)
    progress("test vectors by the reference")
    known = trace(graph, feeds)
    progress("choose cuts")
    chosen = choices(graph, known, ground)
    found = pieces(graph, chosen.cuts)
    files = _graph_files(graph, found, source)
    files |= layout.vector_files("inputs", input_specs(graph), known)
    files |= layout.vector_files("outputs", output_specs(graph), known)
    files |= _selection_files(chosen)
    names = tuple(each.name for each in chosen.costs)
    program = EdgeProgram(graph, found, chosen.codes, names, outputs, chosen.table.to_bytes())
    progress(f"compile the edge's pieces for {sides['edge'].name}")
    files |= _built(places.EDGE, lambda folder: build_edge(program, sides["edge"], folder))
    files |= _cloud_files(found, len(chosen.cuts), sides["cloud"], progress)
    progress("write the bundle")
    fields: dict[str, Json] = {
        "name": graph.graph.name or "model",
        "kind": layout.ADAPTIVE,
        "tools": tool_versions(),
        "parts": {side: {"target": place.name} for side, place in sides.items()},
        "pieces": [_piece_fields(piece) for piece in found],
        "cuts": [
            _cut_fields(*each)
            for each in zip(chosen.cuts, chosen.codes, chosen.costs, strict=True)
        ],
        "selection": _ground_fields(ground, isinstance(vectors, int), _count(known, graph)),
    }
    return write_bundle(Path(out), fields, files)


def answers(graph: Graph) -> tuple[TensorSpec, ...]:
    """The outputs of a Graph that layers make, each once.

    Raises:
        ConfigError: none is, or one is a constant.
    """
    constant = [value.name for value in graph.graph.outputs if is_constant(value)]
    if constant:
        raise ConfigError(
            f"output '{constant[0]}' must be computed to be split, not be a constant"
        )
    inputs = {spec.name for spec in input_specs(graph)}
    made = {spec.name: spec for spec in output_specs(graph) if spec.name not in inputs}
    if not made:
        raise ConfigError("graph must compute an output to be split, not only pass inputs on")
    return tuple(made.values())


def _processor(side: str, name: str) -> Target:
    place = target(name)
    if place.accelerator is not None:
        raise ConfigError(
            f"{side} of an adaptive bundle must be a processor, not '{name}'; use "
            f"'{place.processor.name}', or build for one cut"
        )
    return place


def _graph_files(
    graph: Graph, found: tuple[Piece, ...], source: bytes | None
) -> dict[str, bytes]:
    files = {layout.WHOLE: graph_to_bytes(graph)}
    for number, piece in enumerate(found):
        files[places.graph_path(number)] = graph_to_bytes(piece.graph)
    return files if source is None else {**files, layout.SOURCE: source}


def _selection_files(chosen: Choices) -> dict[str, bytes]:
    files = {places.TABLE: chosen.table.to_bytes()}
    for number, code in enumerate(chosen.codes):
        if code.tables is not None:
            files[places.tables_path(number)] = code.tables.to_bytes()
    return files


def _cloud_files(
    found: tuple[Piece, ...], n_cuts: int, place: Target, progress: Progress
) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for number, piece in enumerate(found):
        if len(piece.cuts) == n_cuts:
            continue  # every edge runs it
        progress(f"compile piece {number} of the cloud for {place.name}")
        files |= _built(
            places.cloud_folder(number),
            lambda folder, graph=piece.graph: build_part(graph, place, folder),
        )
    return files


def _built(prefix: str, build: Callable[[Path], object]) -> dict[str, bytes]:
    """The files that a build writes into a folder, by their path in the bundle."""
    with tempfile.TemporaryDirectory(prefix="joulecut-") as scratch:
        folder = Path(scratch)
        build(folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {
            f"{prefix}/{path.relative_to(folder).as_posix()}": path.read_bytes()
            for path in files
        }


def _piece_fields(piece: Piece) -> dict[str, Json]:
    return {
        "cuts": sorted(piece.cuts),
        "layers": [layer.name for layer in layers(piece.graph)],
    }


def _cut_fields(cut: Cut, code: LinkCode, costs: CutCosts) -> dict[str, Json]:
    return {
        "tensors": [spec_fields(spec) for spec in cut.specs],
        "edge_macs": cut.edge_macs,
        "cloud_macs": cut.cloud_macs,
        "edge_layers": cut.edge_layers,
        "cloud_layers": cut.cloud_layers,
        "code": code.to_fields(),
        "costs": asdict(costs),
    }


def _ground_fields(ground: Ground, is_random: bool, samples: int) -> dict[str, Json]:
    return {
        "objective": asdict(ground.objective),
        "link": asdict(ground.link),
        "energy_table": ground.energies.name,
        "codec": ground.codec.model_dump(),
        "times": _times_fields(ground.times),
        "samples": {"count": samples, "random": is_random},
    }


def _times_fields(times: Times | PredictedTimes | None) -> dict[str, Json] | None:
    if times is None or isinstance(times, Times):
        return None if times is None else asdict(times)
    return {
        "edge": times.edge.place,
        "cloud": times.cloud.place,
        "round_trip_s": times.round_trip_s,
    }


def _count(known: Mapping[str, np.ndarray], graph: Graph) -> int:
    """Samples in the feeds."""
    spec = input_specs(graph)[0]
    return known[spec.name].size // max(1, spec.size)
