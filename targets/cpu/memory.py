"""Where each buffer lies in the arena: lifetimes in, offsets out.

Greedy: buffers are placed one after the other, each at the lowest offset that is free during its
whole life. Some order gives the smallest arena: that of the offsets in a smallest one, pushed
down. A few orders are tried, then neighbours of the best. That need not find it, so the plan
reports the lower bound beside what it needs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ALIGNMENT_BYTES = 64  # a cache line, and more than any vector
_MOST_TRIALS = 3000
_EFFORT = 250_000  # buffers placed, and neighbours looked at, in all trials together


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
    """Offsets for buffers with these lives, the same for the same lives in any order."""
    known = sorted(lives, key=lambda life: life.name)
    sizes = [aligned(life.nbytes) for life in known]
    together = [
        [i for i, other in enumerate(known) if _meet(life, other) and other is not life]
        for life in known
    ]
    bound = _bound(known)
    plans: list[_Plan] = []
    for key in _ORDERS:
        order = sorted(range(len(known)), key=lambda i: key(known[i]))
        plans.append(_placed(order, sizes, together))
    best = min(plans, key=lambda plan: plan.top)
    best = _improved(best, bound, sizes, together)
    offsets = {known[i].name: best.offsets[i] for i in best.order}
    return Arena(offsets, best.top, bound)


@dataclass(frozen=True)
class _Plan:
    """Buffers by their numbers, in the order in which they were placed."""

    order: list[int]
    offsets: list[int]
    top: int


def _meet(one: Life, two: Life) -> bool:
    return one.first <= two.last and two.first <= one.last


def _placed(order: list[int], sizes: Sequence[int], together: Sequence[Sequence[int]]) -> _Plan:
    offsets, top = [-1] * len(sizes), 0
    for i in order:
        busy = sorted(
            (offsets[k], offsets[k] + sizes[k]) for k in together[i] if offsets[k] >= 0
        )
        offsets[i] = _lowest_gap(busy, sizes[i])
        top = max(top, offsets[i] + sizes[i])
    return _Plan(order, offsets, top)


def _improved(
    plan: _Plan, bound: int, sizes: Sequence[int], together: Sequence[Sequence[int]]
) -> _Plan:
    """Place the buffer that ends highest earlier, again and again, as long as nothing grows.

    Equal plans are taken too, since the way down may lead through them. The number of trials
    follows from the lives alone, and the draws are the same in every run.
    """
    draws = random.Random(0)
    effort = len(sizes) + sum(map(len, together))
    for _ in range(min(_MOST_TRIALS, _EFFORT // max(1, effort))):
        if plan.top == bound:
            break
        order = list(plan.order)
        highest = next(
            at for at, i in enumerate(order) if plan.offsets[i] + sizes[i] == plan.top
        )
        moved = order.pop(highest)
        order.insert(int(draws.random() * (highest + 1)), moved)
        if draws.random() < 0.5:  # moves of one buffer alone get stuck
            a, b = (int(draws.random() * len(order)) for _ in range(2))
            order[a], order[b] = order[b], order[a]
        tried = _placed(order, sizes, together)
        if tried.top <= plan.top:
            plan = tried
    return plan


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
