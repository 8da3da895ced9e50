"""All pieces that an edge may run => one library and one program that choose among cuts.

The same four files as of a part (targets/cpu/build.py), with the interface of
targets/cpu/adaptive_driver.py. Kernels, constants, threads and the codec are in it once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from joulecut.compiler.graph import Graph, input_specs
from joulecut.compiler.link_code import LinkCode
from joulecut.compiler.pieces import Piece
from joulecut.compiler.quant import TensorSpec
from joulecut.hw.cache import default_cache_dir
from joulecut.targets.base import Target
from joulecut.targets.cpu.adaptive_driver import (
    AdaptiveCut,
    PieceEnds,
    adaptive_driver,
    adaptive_header,
    coder_names,
    piece_names,
)
from joulecut.targets.cpu.build import (
    BuiltPart,
    Compiled,
    compiled,
    link_programs,
    report_json,
)
from joulecut.targets.cpu.coder import coder_object
from joulecut.targets.cpu.cut_memory import cut_memory
from joulecut.targets.cpu.driver import header
from joulecut.targets.cpu.layout import Constants
from joulecut.targets.cpu.link import LinkLayout, link_table
from joulecut.targets.cpu.toolchains import compiler
from joulecut.targets.cpu.tuning.database import Noted, tuned_tiles
from joulecut.targets.room_on_board import largest_constants, require_room, sizes_of

Progress = Callable[[str], None]


@dataclass(frozen=True)
class EdgeProgram:
    """What an edge shall be able to do.

    Attributes:
        graph: the whole.
        pieces: all of them.
        links: for each cut, how its tensors are coded.
        names: of the cuts, for people.
        outputs: of the whole that layers make, each once.
        table: the bytes of the selection table.
    """

    graph: Graph
    pieces: tuple[Piece, ...]
    links: tuple[LinkCode, ...]
    names: tuple[str, ...]
    outputs: tuple[TensorSpec, ...]
    table: bytes


def build_edge(
    program: EdgeProgram,
    target: Target,
    out_dir: Path,
    *,
    cache_dir: Path | None = None,
    progress: Progress = lambda _step: None,
) -> BuiltPart:
    """Compile the pieces that some cut runs on the edge, and what chooses among the cuts.

    Args:
        program: what the edge shall do.
        target: where it will run.
        out_dir: gets libmodel.so, model, model.h and layers.json.
        cache_dir: where compiled kernels are kept; `default_cache_dir()` if None.
        progress: is told what is compiled.

    Raises:
        UnsupportedError, ConfigError, DeviceError: as `build_part`.
    """
    gcc = compiler(target)
    cache = cache_dir or default_cache_dir()
    tiles, constants = Noted(tuned_tiles(target)), Constants()
    parts: dict[int, Compiled] = {}
    n_layers = 0
    for number, piece in enumerate(program.pieces):
        if piece.cuts:
            part = compiled(
                piece.graph,
                target,
                tiles,
                cache,
                progress,
                constants=constants,
                first=n_layers,
            )
            parts[number] = part
            n_layers += len(part.lowered)
    arenas = {number: part.layout.arena.nbytes for number, part in parts.items()}
    cuts = _cuts(program, arenas)
    inputs = input_specs(program.graph)
    files: dict[str, str | bytes] = {
        "model.h": adaptive_header(inputs, program.outputs, cuts),
        "model.c": adaptive_driver(
            inputs,
            program.outputs,
            [_ends(piece) for piece in program.pieces],
            cuts,
            n_layers,
            program.table,
        ),
    }
    units = ["adaptive.c", "model.c", "threads.c"]
    for number, part in parts.items():
        units.append(f"p{number}/model.c")
        files |= _piece_files(number, program.pieces[number], part)
    for number, code in enumerate(program.links):
        units += [f"c{number}/link.c", f"c{number}/link_table.c"]
        files |= _coder_files(number, code)
    objects = {symbol: path for part in parts.values() for symbol, path in part.objects.items()}
    objects = dict(sorted(objects.items()))
    objects["coder"] = coder_object(gcc, target, cache, progress)
    progress(f"link {len(objects)} kernels for {target.name}")
    built = BuiltPart(
        out_dir,
        target.name,
        inputs,
        program.outputs,
        tuple(report for part in parts.values() for report in part.reports),
        max((cut.memory.nbytes for cut in cuts), default=0),
        max((cut.memory.bound_bytes for cut in cuts), default=0),
        len(constants.data()),
        next((part.tuning for part in reversed(parts.values()) if part.tuning), None),
    )
    files["layers.json"] = report_json(built)
    link_programs(gcc, target, out_dir, files, units, constants.data(), objects)
    lowered = [work for part in parts.values() for work in part.lowered]
    sizes = sizes_of(out_dir, built.arena_bytes, built.weight_bytes)
    require_room(program.graph.graph.name or "edge", sizes, target, largest_constants(lowered))
    return built


def _cuts(program: EdgeProgram, arenas: dict[int, int]) -> list[AdaptiveCut]:
    outputs = [spec.name for spec in program.outputs]
    arena_bytes = [arenas.get(number, 0) for number in range(len(program.pieces))]
    cuts: list[AdaptiveCut] = []
    for number, (name, code) in enumerate(zip(program.names, program.links, strict=True)):
        edge = [piece for piece in program.pieces if number in piece.cuts]
        made = {spec.name for piece in edge for spec in piece.outputs}
        memory = cut_memory(program.pieces, number, code.specs, outputs, arena_bytes)
        cuts.append(
            AdaptiveCut(name, code.specs, memory, tuple(each in made for each in outputs))
        )
    return cuts


def _ends(piece: Piece) -> PieceEnds:
    return PieceEnds(
        tuple(spec.name for spec in piece.inputs), tuple(spec.name for spec in piece.outputs)
    )


def _piece_files(number: int, piece: Piece, part: Compiled) -> dict[str, str | bytes]:
    text = header(piece.inputs, piece.outputs, part.layout.arena.nbytes)
    return {
        f"p{number}/model.h": piece_names(number) + text,
        f"p{number}/model.c": part.driver,
    }


def _coder_files(number: int, code: LinkCode) -> dict[str, str | bytes]:
    """Whatever crosses is passed to the coder; it has neither inputs nor outputs of its own."""
    layout = LinkLayout.of(code.specs, (), ())
    return {
        f"c{number}/model.h": coder_names(number) + header((), (), 0, layout),
        f"c{number}/link_table.c": link_table(layout, code),
        f"c{number}/link.c": _CODER,
    }


_CODER = """\
/* The coder of one cut: link.c under the names and sizes of the model.h beside this file. */
#include "model.h"

#include "../link.c"
"""
