"""Where each buffer lies in the arena: lifetimes in, offsets out.

Greedy: buffers are placed one after the other, the largest first, each at the lowest offset that
is free during its whole life; other orders are tried as well. That is not optimal, so the plan
reports the lower bound beside what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

ALIGNMENT_BYTES = 64  # a cache line, and more than any vector


@dataclass(frozen=True)
class Life:
    """A buffer and when it is needed.

    Attributes:
        name: unique.
        nbytes: its size.
        first: the step that writes it.
        last: the last step that reads it; both ends are included.
    """

    name: str
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Arena:
    """Offsets of buffers, such that no two that live at the same step overlap.

    Attributes:
        offsets: name -> byte offset, a multiple of `ALIGNMENT_BYTES`.
        nbytes: size of the arena.
        bound_bytes: no plan of these aligned lives is smaller.
    """

    offsets: dict[str, int]
    nbytes: int
    bound_bytes: int


def plan_arena(lives: Sequence[Life]) -> Arena:
    """Offsets for buffers with these lives: the smallest of the plans of three orders."""
    plans = [_placed(sorted(lives, key=order)) for order in _ORDERS]
    tops = [
        max((offset + aligned(life.nbytes) for life, offset in plan), default=0)
        for plan in plans
    ]
    best = tops.index(min(tops))
    return Arena({life.name: offset for life, offset in plans[best]}, tops[best], _bound(lives))


def _placed(lives: Sequence[Life]) -> list[tuple[Life, int]]:
    placed: list[tuple[Life, int]] = []
    for life in lives:
        busy = sorted(
            (offset, offset + aligned(other.nbytes))
            for other, offset in placed
            if other.first <= life.last and life.first <= other.last
        )
        placed.append((life, _lowest_gap(busy, aligned(life.nbytes))))
    return placed


# Names break ties, so that a plan depends on nothing but the lives.
_ORDERS: tuple[Callable[[Life], tuple[int, int, str]], ...] = (
    lambda life: (-life.nbytes, life.first, life.name),
    lambda life: (life.first, -life.nbytes, life.name),
    lambda life: (-(life.last - life.first), -life.nbytes, life.name),
)


def aligned(nbytes: int) -> int:
    """The next multiple of the alignment."""
    return -(-nbytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _lowest_gap(busy: Sequence[tuple[int, int]], nbytes: int) -> int:
    """The lowest offset at which `nbytes` are free; `busy` is sorted by start."""
    offset = 0
    for start, end in busy:
        if start - offset >= nbytes:
            return offset
        offset = max(offset, end)
    return offset


def _bound(lives: Sequence[Life]) -> int:
    """The most bytes that live at one step."""
    steps = {life.first for life in lives}
    return max(
        (
            sum(aligned(life.nbytes) for life in lives if life.first <= step <= life.last)
            for step in steps
        ),
        default=0,
    )
