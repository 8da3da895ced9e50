"""The best cut for every channel: the lower envelope of the cuts' lines, as a SelectionTable.

The best cut as a function of x is piecewise constant. The table agrees with `choose` at every
float64 x, because borders and choices both rest on exact comparisons (compiler/line.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.line import Line, first_at_least, first_below, last_at_most, least
from joulecut.compiler.objective import Objective
from joulecut.compiler.selection import Problem, excess, problem
from joulecut.compiler.selection_table import SelectionTable, Span


def selection_table(costs: Sequence[CutCosts], objective: Objective) -> SelectionTable:
    """The table of `choose` over all channels, for the same arguments.

    Raises:
        ConfigError: see `problem`.
    """
    wanted = problem(costs, objective)
    pieces = list(_pieces(wanted))
    kept = [
        piece
        for at, piece in enumerate(pieces)
        if not at or piece.choice != pieces[at - 1].choice
    ]
    return SelectionTable(
        len(costs),
        tuple(piece.first for piece in kept),
        tuple(piece.choice for piece in kept),
        tuple(_spans(wanted, pieces)) if objective.margin else (),
    )


@dataclass(frozen=True)
class _Piece:
    """Where one cut is best by one set of lines, from `first` to `last`.

    Attributes:
        first: seconds per bit, included.
        last: the same.
        choice: None for none.
        lines: what is minimized here, of every cut.
        ends: the last x at which each cut may be chosen here; None: it may not.
    """

    first: float
    last: float
    choice: int | None
    lines: Sequence[Line]
    ends: Sequence[float | None]


def _pieces(wanted: Problem) -> Iterator[_Piece]:
    """From 0 to infinity: first where some cut keeps the bounds, then where none does."""
    ends = _ends(wanted)
    last = max((end for end in ends if end is not None), default=-1.0)
    yield from _walk(wanted.lines, ends, 0.0)
    if math.isinf(last):
        return
    first = 0.0 if last < 0 else math.nextafter(last, math.inf)
    if wanted.infeasible == "none":
        yield _Piece(first, math.inf, None, wanted.lines, (None,) * len(ends))
    else:
        ((lines, _),) = wanted.bounds
        allowed = [math.inf if i in set(wanted.allowed) else None for i in range(len(ends))]
        yield from _walk(lines, allowed, first)


def _ends(wanted: Problem) -> list[float | None]:
    """The last x at which each cut keeps the bounds; None: there is none."""
    ends: list[float | None] = [None] * len(wanted.lines)
    for i in wanted.allowed:
        found = [lines[i].last_within(bound) for lines, bound in wanted.bounds]
        if None not in found:
            ends[i] = min((end for end in found if end is not None), default=math.inf)
    return ends


def _walk(
    lines: Sequence[Line], ends: Sequence[float | None], first: float
) -> Iterator[_Piece]:
    """From one channel to the end of the last cut, piece by piece."""
    start: float | None = first
    while start is not None:
        among = [i for i, end in enumerate(ends) if end is not None and start <= end]
        if not among:
            return
        choice = least(lines, among, start)
        after = _after(choice, among, lines, ends)
        assert after is None or after > start, "a piece must end behind its start"
        last = math.inf if after is None else math.nextafter(after, 0)
        yield _Piece(start, last, choice, lines, ends)
        start = after


def _after(
    choice: int,
    among: Sequence[int],
    lines: Sequence[Line],
    ends: Sequence[float | None],
) -> float | None:
    """The first x beyond a piece; None if it has no end.

    A larger x only takes cuts away, so a piece ends with its own cut, or where a line of smaller
    slope, of those that have not ended before it, comes below: a larger x favours no other.
    """
    end = ends[choice]
    found = math.inf if end is None else math.nextafter(end, math.inf)
    is_final = end == math.inf
    lower = [i for i in among if lines[i].slope < lines[choice].slope]
    for rough, i in sorted((_rough_crossing(lines[i], lines[choice]), i) for i in lower):
        if rough > found * (1 + 2.0**-40) + 2.0**-1060:
            break  # far beyond what rounding can explain
        at, other_end = first_below(lines[i], lines[choice], wins_ties=i < choice), ends[i]
        if other_end is not None and at <= other_end:
            found, is_final = min(found, at), False
    return None if is_final else found


def _rough_crossing(line: Line, other: Line) -> float:
    """Where a line of smaller slope crosses another, to three roundings."""
    return (line.fixed - other.fixed) / (other.slope - line.slope)


def _spans(wanted: Problem, pieces: Sequence[_Piece]) -> Iterator[Span]:
    """Where each cut is kept, joined where it is kept on both sides of a border."""
    for cut in wanted.allowed:
        joined: Span | None = None
        for piece in pieces:
            found = _span(cut, piece, wanted.margin)
            if found is None:
                continue
            if joined is not None and math.nextafter(joined.last, math.inf) == found.first:
                joined = Span(cut, joined.first, found.last)
                continue
            if joined is not None:
                yield joined
            joined = found
        if joined is not None:
            yield joined


def _span(cut: int, piece: _Piece, margin: float) -> Span | None:
    """Where a cut costs at most 1 + margin times the best one of a piece."""
    end = piece.ends[cut]
    if piece.choice is None or end is None:
        return None
    first, last = piece.first, min(piece.last, end)
    fixed, slope = excess(piece.lines[cut], piece.lines[piece.choice], margin)
    if slope > 0:
        last = min(last, last_at_most(-fixed / slope))
    elif slope < 0:
        first = max(first, first_at_least(-fixed / slope))
    elif fixed > 0:
        return None
    return Span(cut, first, last) if first <= last else None
