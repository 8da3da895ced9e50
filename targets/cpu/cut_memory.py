"""Where the tensors between the pieces of a cut lie in the edge's one workspace.

The edge runs its pieces of a cut one after the other and then codes. A piece's own arena is a
buffer that lives as long as the piece runs; what it makes for later lives until its last reader
has run, or until it is coded. The coder's workspace, whose size only C knows, comes behind what
is coded: by then nothing else is alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from joulecut.compiler.pieces import Piece
from joulecut.compiler.quant import TensorSpec
from joulecut.targets.cpu.memory import Life, aligned, plan_arena


@dataclass(frozen=True)
class CutMemory:
    """One cut on the edge.

    Attributes:
        pieces: numbers of those that the edge runs, in order.
        arenas: for each of them, the offset of its arena.
        offsets: of tensors in the workspace, by name; inputs and outputs of the whole lie with
            the caller.
        nbytes: of the workspace, without the coder's.
        bound_bytes: no plan of the same buffers needs less.
        coding_offset: where the coder's begins.
    """

    pieces: tuple[int, ...]
    arenas: tuple[int, ...]
    offsets: dict[str, int]
    nbytes: int
    bound_bytes: int
    coding_offset: int


def cut_memory(
    pieces: Sequence[Piece],
    cut: int,
    link: Sequence[TensorSpec],
    outputs: Sequence[str],
    arena_bytes: Sequence[int],
) -> CutMemory:
    """Plan the workspace of a cut.

    Args:
        pieces: all pieces of the Graph.
        cut: its number.
        link: the tensors that cross.
        outputs: names of the outputs of the whole, which pieces write where the caller wants.
        arena_bytes: what each piece needs.
    """
    here = [number for number, piece in enumerate(pieces) if cut in piece.cuts]
    lives = [
        Life(_arena(number), arena_bytes[number], step, step)
        for step, number in enumerate(here)
        if arena_bytes[number]
    ]
    made: dict[str, tuple[TensorSpec, int]] = {}
    last: dict[str, int] = {spec.name: len(here) for spec in link}
    for step, number in enumerate(here):
        made |= {spec.name: (spec, step) for spec in pieces[number].outputs}
        for spec in pieces[number].inputs:
            last[spec.name] = max(step, last.get(spec.name, 0))
    between = {name: each for name, each in made.items() if name not in outputs}
    lives += [
        Life(_tensor(name), spec.nbytes, step, last[name])
        for name, (spec, step) in between.items()
    ]
    arena = plan_arena(lives)
    offsets = {name: arena.offsets[_tensor(name)] for name in between}
    coded = [offsets[spec.name] + spec.nbytes for spec in link if spec.name in offsets]
    return CutMemory(
        tuple(here),
        tuple(arena.offsets.get(_arena(number), 0) for number in here),
        offsets,
        arena.nbytes,
        arena.bound_bytes,
        aligned(max(coded, default=0)),
    )


def _arena(number: int) -> str:
    return f"arena {number}"


def _tensor(name: str) -> str:
    return f"tensor {name}"
