"""Whether a built part fits the memory of its board, asked before it is sent there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from joulecut.compiler.errors import ConfigError

if TYPE_CHECKING:
    from joulecut.targets.base import Target
    from joulecut.targets.cpu.build import BuiltPart

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


def sizes_of(built: BuiltPart) -> PartSizes:
    """The sizes of a part that was built; its static program is the larger of its two forms."""
    program = (built.directory / PROGRAM).stat().st_size
    return PartSizes(built.arena_bytes, built.weight_bytes, program - built.weight_bytes)


def require_room(name: str, sizes: PartSizes, place: Target) -> None:
    """Refuse a part that is larger than the memory of its board.

    A system and other programs need memory too, so a part that passes may still not fit. A target
    that names no memory takes everything.

    Args:
        name: of the part.
        sizes: what it occupies.
        place: where it shall run; its fact `ram_bytes` is the memory.

    Raises:
        ConfigError: saying what needs how much.
    """
    ram = place.facts.get("ram_bytes")
    if ram is None or sizes.total_bytes <= ram.value:
        return
    raise ConfigError(
        f"part '{name}' must fit the {ram.value:,.0f} bytes of {place.title}, not need "
        f"{sizes.total_bytes:,}: arena {sizes.arena_bytes:,}, constants "
        f"{sizes.constant_bytes:,}, code {sizes.code_bytes:,}; "
        "cut the network elsewhere, or choose a target with more memory"
    )
