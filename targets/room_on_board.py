"""Whether a built part fits the memory of its board, asked before it is sent there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from joulecut.compiler.errors import ConfigError
from joulecut.targets.cpu.script import Step

if TYPE_CHECKING:
    from pathlib import Path

    from joulecut.targets.base import Target
    from joulecut.targets.cpu.lower import Lowered

Sizes = Sequence[tuple[str, int]]  # names of layers, and bytes

PROGRAM = "model"  # the static program of a built part


@dataclass(frozen=True)
class PartSizes:
    """What a part occupies while it runs.

    Attributes:
        arena_bytes: activations.
        constant_bytes: weights and biases as they are packed.
        code_bytes: everything else of the program.
    """

    arena_bytes: int
    constant_bytes: int
    code_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it, at once."""
        return self.arena_bytes + self.constant_bytes + self.code_bytes


def sizes_of(directory: Path, arena_bytes: int, constant_bytes: int) -> PartSizes:
    """The sizes of a part that was built; its static program is the larger of its two forms."""
    program = (directory / PROGRAM).stat().st_size
    return PartSizes(arena_bytes, constant_bytes, program - constant_bytes)


def largest_constants(lowered: Iterable[Lowered], count: int = 3) -> Sizes:
    """The layers with the most bytes of constants as they are packed, the largest first."""
    sizes = [(work.name, _constant_bytes(work)) for work in lowered]
    return sorted((size for size in sizes if size[1]), key=lambda size: -size[1])[:count]


def _constant_bytes(work: Lowered) -> int:
    arrays = {
        id(arg.source): arg.source.nbytes
        for step in work.steps
        if isinstance(step, Step)
        for arg in step.args
        if isinstance(arg.source, np.ndarray)
    }
    return sum(arrays.values())


def require_room(name: str, sizes: PartSizes, place: Target, largest: Sizes = ()) -> None:
    """Refuse a part that is larger than the memory of its board.

    A system and other programs need memory too, so a part that passes may still not fit. A target
    that names no memory takes everything.

    Args:
        name: of the part.
        sizes: what it occupies.
        place: where it shall run; its fact `ram_bytes` is the memory.
        largest: layers that the message names, with the bytes of their constants.

    Raises:
        ConfigError: saying what needs how much.
    """
    ram = place.facts.get("ram_bytes")
    if ram is None or sizes.total_bytes <= ram.value:
        return
    most = ", ".join(f"'{layer}' {nbytes:,}" for layer, nbytes in largest)
    raise ConfigError(
        f"part '{name}' must fit the {ram.value:,.0f} bytes of {place.title}, not need "
        f"{sizes.total_bytes:,}: arena {sizes.arena_bytes:,}, constants "
        f"{sizes.constant_bytes:,}, code {sizes.code_bytes:,}"
        + (f" (most constants: {most})" if most else "")
        + "; "
        "cut the network elsewhere, or choose a target with more memory"
    )
