"""Plan to Bundle: compile each part for its target, add what proves it, and write it down.

A bundle holds both built parts, their integer graphs, the unsplit graph, the codec's settings and
test vectors with the reference's answers, so that whoever receives it can check all of it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from joulecut.compiler.bundle import Bundle, write_bundle
from joulecut.compiler.config import Assign, BuildConfig, CodecConfig, SelectionConfig
from joulecut.compiler.cut import Cut, cut_at, cuts
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.feeds import random_feeds
from joulecut.compiler.graph import Graph, input_specs, output_specs
from joulecut.compiler.graph_file import graph_to_bytes
from joulecut.compiler.link_code import LinkCode, frozen
from joulecut.compiler.load import load
from joulecut.compiler.manifest import plan_fields
from joulecut.compiler.pipeline import pipeline
from joulecut.compiler.plan import Part, Plan, partition
from joulecut.compiler.reference import trace
from joulecut.hw.energy_table import load_table
from joulecut.hw.links import load_link
from joulecut.hw.radio import RadioLink
from joulecut.targets import layout
from joulecut.targets.adaptive.build import build_adaptive
from joulecut.targets.adaptive.choices import PredictedTimes, Times
from joulecut.targets.base import target
from joulecut.targets.cut_prices import cheapest, price_cuts
from joulecut.targets.layer_costs import layer_costs
from joulecut.targets.tool_versions import tool_versions

if TYPE_CHECKING:
    from joulecut.targets.base import Target
    from joulecut.targets.cpu.tuning.search import Trials

Progress = Callable[[str], None]
Vectors = Mapping[str, np.ndarray]


def build(
    plan: Plan | BuildConfig,
    *,
    edge: str = "aarch64",
    cloud: str = "x86_64",
    out: str | Path | None = None,
    codec: CodecConfig | None = None,
    vectors: Vectors | int = 2,
    source: bytes | None = None,
    assign: Assign = "all",
    tune_minutes: float | None = None,
    progress: Progress = lambda _step: None,
    tried: Callable[[Trials], None] = lambda _trials: None,
) -> Bundle:
    """Compile both parts of a plan and write the bundle; the same call gives the same bytes.

    Kernels come from a cache that is addressed by their content, so a build that was stopped
    goes on where it was, and cuts of one network share what they have in common.

    Args:
        plan: parts to build; or a configuration, which says everything else as well.
        edge: name of the edge's target.
        cloud: name of the cloud's target.
        out: the bundle: a directory, or one file if it ends in .zip.
        codec: how the tensors at the cut are coded; None: without loss.
        vectors: samples [N, ...] for each input of the whole, or how many random ones to make;
            what a lossy codec must learn, it learns from what they are at the cut.
        source: the model as the user gave it, to compare with later.
        assign: which layers run on the accelerator of a target that has one: "all" that it
            can, or those with which the part takes least "time" or "energy" (modelled).
        tune_minutes: search better tiles for so long before; see docs/tuning.md. It is no part
            of a configuration: what it finds is kept, and the next build takes it anyway.
        progress: told each step as it begins.
        tried: told each trial of that search.

    Raises:
        ConfigError: an argument does not fit.
        VerificationError: the search met a kernel that computes something else.
        UnsupportedError: the model holds what joulecut cannot build.
        DeviceError: a tool chain is missing.
    """
    if isinstance(plan, BuildConfig):
        return _build_configured(plan, tune_minutes, progress, tried)
    if out is None:
        raise ConfigError("out must name the bundle to write, not be left out")
    settings = codec or CodecConfig()
    places = {"edge": target(edge), "cloud": target(cloud)}
    if tune_minutes is not None:
        _tune(plan, places, tune_minutes, progress, tried)
    feeds = random_feeds(plan.whole, vectors) if isinstance(vectors, int) else dict(vectors)
    progress("test vectors by the reference")
    known = trace(plan.whole, feeds)
    progress("fit the codec of the link")
    code = frozen(plan.link.specs, known, settings)
    files = _graph_files(plan, source) | _vector_files(plan, known) | _code_files(code)
    files |= _compiled(plan.edge, places["edge"], progress, assign, code)
    files |= _compiled(plan.cloud, places["cloud"], progress, assign)
    progress("write the bundle")
    fields: dict[str, Any] = {
        "name": plan.whole.graph.name or "model",
        "tools": tool_versions(),
        **plan_fields(
            plan,
            cut_at(plan.whole, [spec.name for spec in plan.link.specs]),
            {name: place.name for name, place in places.items()},
            settings.model_dump(),
            code.to_fields(),
        ),
    }
    return write_bundle(Path(out), fields, files)


def _build_configured(
    config: BuildConfig,
    tune_minutes: float | None,
    progress: Progress,
    tried: Callable[[Trials], None],
) -> Bundle:
    """Import > lower > cut > compile > bundle, as a configuration says."""
    progress(f"import {config.model.name}")
    graph = pipeline(load(config.model), require_integer=config.require_integer)
    if config.selection is not None:
        if tune_minutes is not None:
            raise ConfigError("tuning must go with one cut, not with a selection; tune first")
        return _build_adaptive(graph, config, config.selection, progress)
    progress("cut")
    cut = _chosen_cut(graph, config)
    return build(
        partition(graph, cut),
        edge=config.edge,
        cloud=config.cloud,
        out=config.out,
        codec=config.codec,
        vectors=config.vectors,
        source=config.model.read_bytes(),
        assign=config.assign,
        tune_minutes=tune_minutes,
        progress=progress,
        tried=tried,
    )


def _build_adaptive(
    graph: Graph, config: BuildConfig, selection: SelectionConfig, progress: Progress
) -> Bundle:
    return build_adaptive(
        graph,
        out=config.out,
        edge=config.edge,
        cloud=config.cloud,
        objective=selection.objective(),
        link=load_link(selection.link).link,
        codec=config.codec,
        times=_times(graph, config, selection),
        energies=selection.energy_table,
        max_candidates=selection.max_candidates,
        max_cuts=selection.max_cuts,
        vectors=config.vectors,
        source=config.model.read_bytes(),
        progress=progress,
    )


def _times(
    graph: Graph, config: BuildConfig, selection: SelectionConfig
) -> Times | PredictedTimes | None:
    """Speeds that were given, or what is predicted for targets with a clock; None: neither."""
    edge, cloud = selection.edge_macs_per_s, selection.cloud_macs_per_s
    if edge is not None and cloud is not None:
        return Times(edge, cloud, selection.round_trip_s)
    table = load_table(selection.energy_table)
    here = layer_costs(graph, target(config.edge), table)
    there = layer_costs(graph, target(config.cloud), table, clock_hz=selection.cloud_clock_hz)
    if here.seconds is None or there.seconds is None:
        return None
    return PredictedTimes(here, there, selection.round_trip_s)


def _tune(
    plan: Plan,
    places: Mapping[str, Target],
    minutes: float,
    progress: Progress,
    tried: Callable[[Trials], None],
) -> None:
    """Share the time among the parts whose targets have tiles; who needs less leaves the rest."""
    from joulecut.targets.cpu.nhwc.kernels import PORTABLE
    from joulecut.targets.cpu.tuning.tune import require_minutes, tune

    require_minutes(minutes)
    able = [part for part in (plan.edge, plan.cloud) if places[part.name].kernels != PORTABLE]
    if not able:
        names = " and ".join(dict.fromkeys(place.name for place in places.values()))
        raise ConfigError(
            f"a target must have kernels with tiles to be tuned, and {names} has portable "
            "kernels only; build without tuning"
        )
    left = minutes
    for number, part in enumerate(able):
        place = places[part.name]
        progress(f"tune the {part.name} for {place.name}")
        started = time.monotonic()
        tune(part.graph, place.processor, left / (len(able) - number), progress=tried)
        left = max(0.0, left - (time.monotonic() - started) / 60)


def _chosen_cut(graph: Graph, config: BuildConfig) -> Cut:
    if config.cut != "auto":
        return cut_at(graph, config.cut)
    return cheapest(
        price_cuts(graph, cuts(graph), load_table("horowitz_45nm"), RadioLink())
    ).cut


def _graph_files(plan: Plan, source: bytes | None) -> dict[str, bytes]:
    files = {layout.WHOLE: graph_to_bytes(plan.whole)}
    for part in (plan.edge, plan.cloud):
        files[layout.graph_path(part.name)] = graph_to_bytes(part.graph)
    if source is not None:
        files[layout.SOURCE] = source
    return files


def _code_files(code: LinkCode) -> dict[str, bytes]:
    return {} if code.tables is None else {layout.TABLES: code.tables.to_bytes()}


def _vector_files(plan: Plan, known: Vectors) -> dict[str, bytes]:
    return {
        **layout.vector_files("inputs", input_specs(plan.whole), known),
        **layout.vector_files("link", plan.link.specs, known),
        **layout.vector_files("outputs", output_specs(plan.whole), known),
    }


def _compiled(
    part: Part,
    place: Target,
    progress: Progress,
    assign: Assign,
    link: LinkCode | None = None,
) -> dict[str, bytes]:
    """The files that a target makes of a part, by their path in the bundle."""
    progress(f"compile the {part.name} for {place.name}")
    with tempfile.TemporaryDirectory(prefix="joulecut-") as scratch:
        folder = Path(scratch)
        if place.accelerator is None:
            from joulecut.targets.cpu.build import build_part

            build_part(part.graph, place, folder, link=link)
        else:
            _compile_mixed(part, place, folder, progress, link, assign)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {
            f"{part.name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
            for path in files
        }


def _compile_mixed(
    part: Part,
    place: Target,
    folder: Path,
    progress: Progress,
    link: LinkCode | None,
    assign: Assign,
) -> None:
    """Decides where layers run, compiles both sides, and says what stays with the processor."""
    from joulecut.targets.fpga.assign import assignment_of
    from joulecut.targets.fpga.part import build_mixed

    chosen = assignment_of(part.graph, place, assign, progress)
    build_mixed(part.graph, place, folder, link=link, assignment=chosen)
    progress(f"{len(chosen.on_array())} layers on the accelerator, {len(chosen.reasons)} not")
    for name, reason in chosen.reasons.items():
        progress(f"  '{name}' stays with the processor: {reason}")
