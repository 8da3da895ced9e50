"""How the script spells vectors; a vector of one lane is a scalar."""

from __future__ import annotations


def kind(dtype: str, lanes: int) -> str:
    """The type of a vector."""
    return f"{dtype}x{lanes}" if lanes > 1 else dtype


def run(buffer: str, start: str, lanes: int) -> str:
    """Neighbouring elements of a buffer."""
    return f"{buffer}[T.Ramp({start}, 1, {lanes})]" if lanes > 1 else f"{buffer}[{start}]"


def splat(value: str, lanes: int) -> str:
    """One value in every lane."""
    return f"T.Broadcast({value}, {lanes})" if lanes > 1 else value


def cast(value: str, dtype: str, lanes: int) -> str:
    """Every lane converted."""
    return f'T.cast({value}, "{kind(dtype, lanes)}")'
