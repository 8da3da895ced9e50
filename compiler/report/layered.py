"""Where the boxes of a layered drawing stand: rows by longest path, places by barycentre.

An edge that spans several rows has a bend in each row between, which takes a place like a box;
so lines run beside boxes and never through them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

Edge = tuple[str, str]
Place = tuple[str, str, int]  # of a box: (name, name, row); of a bend: (source, target, row)

BOX_WIDTH = 220.0
BEND_WIDTH = 14.0
SPACE = 18.0
_SWEEPS = 8


@dataclass(frozen=True)
class Layout:
    """A drawing without sizes in the vertical.

    Attributes:
        rows: names of the boxes of each row, from the first row down, left to right.
        row: of each box.
        paths: of each edge, horizontal centres in pixels from its source's row to its target's.
        x: horizontal centre of each box, in pixels; the leftmost box or bend begins at 0.
        width: of everything, in pixels.
    """

    rows: tuple[tuple[str, ...], ...]
    row: Mapping[str, int]
    paths: Mapping[Edge, tuple[float, ...]]
    x: Mapping[str, float]
    width: float


def layout(inputs: Mapping[str, Sequence[str]]) -> Layout:
    """Place the boxes of a directed acyclic graph.

    Args:
        inputs: of each box, the boxes that it reads from; each box after those.
    """
    row = _rows(inputs)
    edges = [(source, name) for name, read in inputs.items() for source in dict.fromkeys(read)]
    chains = {
        edge: [
            (edge[0], edge[0], row[edge[0]]),
            *((*edge, between) for between in range(row[edge[0]] + 1, row[edge[1]])),
            (edge[1], edge[1], row[edge[1]]),
        ]
        for edge in edges
    }
    places = dict.fromkeys((name, name, row[name]) for name in inputs)
    places |= dict.fromkeys(place for chain in chains.values() for place in chain)
    levels: list[list[Place]] = [[] for _ in range(max(row.values(), default=-1) + 1)]
    for place in places:
        levels[place[2]].append(place)
    above, below = _neighbours(places, chains.values())
    _order(levels, above, below)
    x = _settle(levels, above, below)
    left = min((x[place] - _width(place) / 2 for place in x), default=0.0)
    right = max((x[place] + _width(place) / 2 for place in x), default=0.0)
    return Layout(
        tuple(tuple(place[0] for place in level if _is_box(place)) for level in levels),
        row,
        {edge: tuple(x[place] - left for place in chain) for edge, chain in chains.items()},
        {place[0]: x[place] - left for place in x if _is_box(place)},
        right - left,
    )


def _rows(inputs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Longest path from the sources; a source stands right above its first reader."""
    row: dict[str, int] = {}
    for name, read in inputs.items():
        row[name] = 1 + max((row[source] for source in read), default=-1)
    for name, read in inputs.items():
        readers = [row[other] for other, sources in inputs.items() if name in sources]
        if not read and readers:
            row[name] = min(readers) - 1
    return row


def _neighbours(
    places: Iterable[Place], chains: Iterable[Sequence[Place]]
) -> tuple[dict[Place, list[Place]], dict[Place, list[Place]]]:
    above: dict[Place, list[Place]] = {place: [] for place in places}
    below: dict[Place, list[Place]] = {place: [] for place in places}
    for chain in chains:
        for upper, lower in pairwise(chain):
            above[lower].append(upper)
            below[upper].append(lower)
    return above, below


def _order(
    levels: list[list[Place]],
    above: Mapping[Place, Sequence[Place]],
    below: Mapping[Place, Sequence[Place]],
) -> None:
    """Sort each row by the mean place of its neighbours, down and up in turn."""
    for sweep in range(_SWEEPS):
        near = below if sweep % 2 else above
        at = {place: float(i) for level in levels for i, place in enumerate(level)}
        for level in reversed(levels) if sweep % 2 else levels:
            centre = {
                place: fmean(at[other] for other in near[place]) if near[place] else at[place]
                for place in level
            }
            level.sort(key=centre.__getitem__)
            at |= {place: float(i) for i, place in enumerate(level)}


def _settle(
    levels: Sequence[Sequence[Place]],
    above: Mapping[Place, Sequence[Place]],
    below: Mapping[Place, Sequence[Place]],
) -> dict[Place, float]:
    """Centres near the mean of the neighbours', in order and without overlap."""
    x = {place: 0.0 for level in levels for place in level}
    for sweep in range(_SWEEPS):
        near = below if sweep % 2 else above
        for level in reversed(levels) if sweep % 2 else levels:
            wishes = [
                fmean(x[other] for other in near[place]) if near[place] else x[place]
                for place in level
            ]
            x |= dict(zip(level, spread(wishes, [*map(_width, level)]), strict=True))
    return x


def spread(wishes: Sequence[float], widths: Sequence[float]) -> list[float]:
    """The centres nearest to the wishes, in least squares, that keep order and distance.

    Pool adjacent violators: less its least offset from the first, each centre must be no
    smaller than the one before; those that would be are put at the mean of their wishes.
    """
    offsets = [0.0]
    for a, b in pairwise(widths):
        offsets.append(offsets[-1] + (a + b) / 2 + SPACE)
    pools: list[tuple[float, int]] = []  # sum and number
    for wish, offset in zip(wishes, offsets, strict=False):
        total, count = wish - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before, size = pools.pop()
            total, count = total + before, count + size
        pools.append((total, count))
    means = [total / count for total, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]


def _is_box(place: Place) -> bool:
    return place[0] == place[1]


def _width(place: Place) -> float:
    return BOX_WIDTH if _is_box(place) else BEND_WIDTH
