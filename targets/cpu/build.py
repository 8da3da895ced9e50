"""A part's integer Graph => a directory that runs on a target without any runtime.

    libmodel.so   model_run and what model.h lists; needs libc only
    model.h       the interface, with every size as a constant
    model         the same as a static program over files of samples (runtime/main.c)
    layers.json   the build report: every layer, its kernels, its output; memory and constants

A part with a link also codes what crosses: model_encode_link writes the frame that is sent.
Equal graphs, targets and tiles give equal bytes: nothing in them knows when or where they were
built. Tiles that a search found better than the usual ones (docs/tuning.md) are named in the
report, with one digest that stands for all of them.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from joulecut.compiler.graph import Graph, input_specs, output_specs, spec_of
from joulecut.compiler.link_code import LinkCode
from joulecut.compiler.quant import TensorSpec
from joulecut.hw.cache import default_cache_dir
from joulecut.targets.base import Target
from joulecut.targets.cpu.cache import object_files
from joulecut.targets.cpu.coder import coder_object, write_sources
from joulecut.targets.cpu.driver import EXPORTS, constants_assembly, driver, header
from joulecut.targets.cpu.layout import Constants, Layout, lay_out
from joulecut.targets.cpu.link import NO_LINK, LinkLayout, link_table
from joulecut.targets.cpu.lower import Lowered
from joulecut.targets.cpu.nhwc.kernels import PORTABLE, Choice, Kernels, kernels
from joulecut.targets.cpu.part import lower_part
from joulecut.targets.cpu.script import Step, Tiling
from joulecut.targets.cpu.toolchains import compiler, run
from joulecut.targets.cpu.tuning.database import Noted, digest, tuned_tiles
from joulecut.targets.room_on_board import largest_constants, require_room, sizes_of

Progress = Callable[[str], None]

FILES = ("libmodel.so", "model.h", "model", "layers.json")
_RUNTIME = Path(__file__).with_name("runtime")
_CFLAGS = ("-std=c11", "-O2", "-fPIC", "-Wall", "-Wextra", "-Werror")
_LDFLAGS = (
    "-Wl,--build-id=none",
    "-Wl,-z,noexecstack",
    "-Wl,--strip-debug",
    "-Wl,--no-undefined",
    "-Wl,--gc-sections",
    "-pthread",
)


@dataclass(frozen=True)
class LayerReport:
    """A layer as it was built.

    Attributes:
        name: of the layer, which is that of its output.
        kind: its operators.
        layers: the names of the layers that were fused into it, in order; its own is the last.
        kernel: which kernel it is and, if it is a portable one, why.
        symbols: the kernels that it calls; none if it only renames bytes.
        macs: products that it sums.
        integer: false for elementwise nodes on floats.
        output: what it makes.
    """

    name: str
    kind: str
    layers: tuple[str, ...]
    kernel: str
    symbols: tuple[str, ...]
    macs: int
    integer: bool
    output: TensorSpec


@dataclass(frozen=True)
class BuiltPart:
    """What a build made.

    Attributes:
        directory: holds `files`.
        target: the name of the target.
        inputs: in the order of model_run.
        outputs: in the order of model_run.
        layers: in the order in which they run.
        arena_bytes: what a caller provides.
        arena_bound_bytes: no plan of the same buffers needs less.
        weight_bytes: all constants, with what repacking and alignment add.
        tuning: stands for the tuned tiles that layers have; None if no layer has any.
        files: names.
    """

    directory: Path
    target: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layers: tuple[LayerReport, ...]
    arena_bytes: int
    arena_bound_bytes: int
    weight_bytes: int
    tuning: str | None = None
    files: tuple[str, ...] = FILES


def build_part(
    graph: Graph,
    target: Target,
    out_dir: Path,
    *,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    link: LinkCode | None = None,
    tuning: Mapping[str, Choice] | None = None,
) -> BuiltPart:
    """Compile a part for a target.

    Args:
        graph: integer Graph (docs/spec.md), batch 1.
        target: where it will run.
        out_dir: made if it is missing; its files appear when all of them are complete.
        cache_dir: where compiled kernels are kept; `default_cache_dir()` if None.
        progress: is told what is compiled.
        link: what the part sends and how it is coded; None: it sends nothing.
        tuning: tiles by signature; None takes those of the target's databases.

    Raises:
        UnsupportedError: a node is not in the specification, or beyond the kernels.
        ConfigError: a database is corrupt or has a tile that does not fit; the processor of the
            target is unknown, or its memory too small.
        DeviceError: the target's C compiler is missing or refuses.
    """
    gcc = compiler(target)  # first, because it is the cheapest thing that can be missing
    cache = cache_dir or default_cache_dir()
    part = compiled(graph, target, Noted(_tiles(target, tuning)), cache, progress)
    inputs, outputs = input_specs(graph), output_specs(graph)
    crossing = NO_LINK if link is None else LinkLayout.of(link.specs, inputs, outputs)
    files: dict[str, str | bytes] = {
        "model.h": header(inputs, outputs, part.layout.arena.nbytes, crossing),
        "model.c": part.driver,
    }
    objects = dict(part.objects)
    if link is not None:
        files["link_table.c"] = link_table(crossing, link)
        objects["coder"] = coder_object(gcc, target, cache, progress)
    if progress is not None:
        progress(f"link {len(objects)} kernels for {target.name}")
    built = BuiltPart(
        out_dir,
        target.name,
        inputs,
        outputs,
        part.reports,
        part.layout.arena.nbytes,
        part.layout.arena.bound_bytes,
        len(part.layout.constants),
        part.tuning,
    )
    files |= {"layers.json": report_json(built)}
    units = ["main.c", "model.c", "threads.c"]
    units += ["link.c", "link_table.c"] if link is not None else []
    link_programs(gcc, target, out_dir, files, units, part.layout.constants, objects)
    sizes = sizes_of(out_dir, built.arena_bytes, built.weight_bytes)
    require_room(graph.graph.name or "part", sizes, target, largest_constants(part.lowered))
    return built


@dataclass(frozen=True)
class Compiled:
    """A part as C and objects, before it is linked.

    Attributes:
        lowered: its layers as kernels.
        layout: where everything lies.
        driver: the C that calls the kernels.
        objects: of its kernels, by symbol.
        tuning: as in BuiltPart.
    """

    lowered: Sequence[Lowered]
    layout: Layout
    driver: str
    objects: Mapping[str, Path]
    tuning: str | None

    @property
    def reports(self) -> tuple[LayerReport, ...]:
        """The layers as they were built."""
        return tuple(map(_report, self.lowered))


def compiled(
    graph: Graph,
    target: Target,
    tiles: Noted,
    cache_dir: Path,
    progress: Progress | None = None,
    *,
    constants: Constants | None = None,
    first: int | None = None,
) -> Compiled:
    """Lower a part, compile its kernels and write its driver.

    Args:
        graph: as in build_part, which says what is raised, too.
        target: where it will run.
        tiles: by signature; notes which are used.
        cache_dir: where compiled kernels are kept.
        progress: is told what is compiled.
        constants: of the parts before it in one program, to which its own are added.
        first: as in `driver`.
    """
    family = kernels_of(target)
    tuned = None if family is None else replace(family, tuned=tiles)
    lowered = lower_part(graph, tiling_of(target), tuned)
    layout = lay_out(graph, lowered, constants)
    steps = [step for work in lowered for step in work.steps if isinstance(step, Step)]
    arity = {step.symbol: (len(step.args), step.tasks > 0) for step in steps}
    ends = input_specs(graph), output_specs(graph)
    return Compiled(
        lowered,
        layout,
        driver(layout.stages, layout.copies, arity, *ends, first),
        object_files(steps, target, cache_dir, progress),
        digest(tiles.used) if tiles.used else None,
    )


def _tiles(target: Target, tuning: Mapping[str, Choice] | None) -> Mapping[str, Choice]:
    return tuned_tiles(target) if tuning is None else tuning


def tiling_of(target: Target) -> Tiling:
    """How kernels fill the registers of the target."""
    vectors = target.vectors
    exact = 1 if vectors.flush_subnormals else vectors.lanes
    return Tiling(vectors.lanes, vectors.rows, vectors.narrow_products, exact)


def kernels_of(target: Target) -> Kernels | None:
    """The kernels over planes that the target has."""
    return None if target.kernels == PORTABLE else kernels(target.kernels)


def _report(work: Lowered) -> LayerReport:
    symbols = tuple(step.symbol for step in work.steps if isinstance(step, Step))
    return LayerReport(
        work.name,
        work.kind,
        tuple(layer.name for layer in work.layers),
        work.kernel,
        symbols,
        work.macs,
        work.is_integer,
        spec_of(work.output),
    )


def report_json(built: BuiltPart) -> str:
    """`layers.json`."""
    rows = [
        {
            "name": layer.name,
            "kind": layer.kind,
            "layers": list(layer.layers),
            "kernel": layer.kernel,
            "symbols": list(layer.symbols),
            "macs": layer.macs,
            "integer": layer.integer,
            "output": {
                "shape": list(layer.output.shape),
                "dtype": layer.output.dtype,
                "nbytes": layer.output.nbytes,
            },
        }
        for layer in built.layers
    ]
    report = {
        "target": built.target,
        "arena_bytes": built.arena_bytes,
        "arena_bound_bytes": built.arena_bound_bytes,
        "weight_bytes": built.weight_bytes,
        "tuning": built.tuning,
        "layers": rows,
    }
    return json.dumps(report, indent=1, ensure_ascii=False) + "\n"


def link_programs(
    gcc: str,
    target: Target,
    out_dir: Path,
    files: Mapping[str, str | bytes],
    units: Sequence[str],
    constants: bytes,
    objects: Mapping[str, Path],
) -> None:
    """Compile and link in a folder of its own, under relative names, then move the results.

    Args:
        gcc: a compiler for the target.
        target: where the programs will run.
        out_dir: gets FILES.
        files: generated ones, by relative path; those of runtime/ and the codec's lie beside.
        units: C files to compile, by relative path; the first is the program's own.
        constants: the bytes of model_constants.
        objects: linked with them, by name.

    Raises:
        DeviceError: the compiler refuses.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".build-") as name:
        folder = Path(name)
        write_sources(folder)  # for their headers
        for file in _RUNTIME.iterdir():
            shutil.copy(file, folder)
        texts = {**files, "exports.map": EXPORTS, "constants.bin": constants}
        for file, text in texts.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(text.encode() if isinstance(text, str) else text)
        (folder / "constants.S").write_text(constants_assembly("constants.bin"))
        flags = [*target.toolchain.cflags, *_CFLAGS]
        made = [_compile(gcc, flags, unit, folder) for unit in (*units, "constants.S")]
        for symbol, path in objects.items():
            shutil.copy(path, folder / f"{symbol}.o")
            made.append(f"{symbol}.o")
        main, *parts = made
        run([gcc, *flags, *_LDFLAGS, "-static", "-no-pie", "-o", "model", main, *parts], folder)
        exports = ["-shared", "-Wl,--version-script=exports.map"]
        run([gcc, *flags, *_LDFLAGS, *exports, "-o", "libmodel.so", *parts], folder)
        for file in FILES:
            (folder / file).replace(out_dir / file)


def _compile(gcc: str, flags: Sequence[str], unit: str, folder: Path) -> str:
    """The object of a unit, which may include what lies in the folder; by relative path."""
    made = str(Path(unit).with_suffix(".o"))
    run([gcc, *flags, "-I.", "-c", unit, "-o", made], folder)
    return made
