"""The network as boxes and lines, from its inputs down, with the cuts drawn across it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup, escape

from joulecut.compiler.report.layered import BOX_WIDTH, SPACE, Edge, Layout, layout

_BOX_HEIGHT = 42.0
_GAP = 26.0  # between rows where no cut passes
_CUT_STEP = 20.0  # what each cut adds to it
_BAND = 900.0  # the most that one page of paper holds
_LABELS = 300.0  # room of the labels right of the drawing
_PIXELS_PER_CHARACTER = 8.2

_BOX = "fill:var(--head,#f4f6f8);stroke:var(--quiet,#76818d)"
_INPUT = "fill:none;stroke:var(--quiet,#76818d);stroke-dasharray:4 3"
_LINE = "fill:none;stroke:var(--quiet,#76818d);stroke-width:1.5"
_INK = "fill:var(--ink,#1d2733)"
_SOFT = "fill:var(--soft,#55606d);font-size:12px"
_CUT = "stroke:var(--soft,#55606d);stroke-width:1.25;stroke-dasharray:5 4;fill:none"
_BEST = "stroke:#d55e00;stroke-width:2.5;fill:none"


@dataclass(frozen=True)
class Box:
    """A layer, or an input of the network.

    Attributes:
        name: of the tensor that it makes.
        detail: a second line: its operators, its shape.
        inputs: tensors that it reads; each box comes after those that it reads from.
    """

    name: str
    detail: str = ""
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class CutLine:
    """A cut.

    Attributes:
        label: what stands beside its line.
        tensors: that it severs: names of boxes.
        best: drawn heavily, a cut of the Pareto front for instance.
    """

    label: str
    tensors: tuple[str, ...]
    best: bool = False


@dataclass(frozen=True)
class _Piece:
    """A part of the drawing between two heights."""

    top: float
    bottom: float
    svg: Markup


def draw(boxes: Sequence[Box], cuts: Sequence[CutLine] = ()) -> str:
    """The drawing as HTML that holds SVG, to be scrolled on a screen.

    It is one SVG for each 900 pixels or so of height, without a seam, so that paper breaks it
    between rows.

    Args:
        boxes: of the network; tensors that no box makes are drawn as its inputs.
        cuts: to be drawn; cuts at tensors that the network lacks are left out.
    """
    every = _with_inputs(boxes)
    placed = layout({box.name: box.inputs for box in every})
    lines = [cut for cut in cuts if all(name in placed.x for name in cut.tensors)]
    severed = [_severed(cut.tensors, placed) for cut in lines]
    gaps = [_gap(points, placed) for points in severed]
    tops = _tops(len(placed.rows), gaps)
    pieces = [
        *(piece for edge in placed.paths for piece in _edge(edge, placed, tops)),
        *_boxes(every, placed, tops),
        *_cut_lines(lines, severed, gaps, placed, tops),
    ]
    width = placed.width + _LABELS + 2
    bands = "".join(_band(pieces, top, bottom, width) for top, bottom in pairwise(_seams(tops)))
    label = f"network of {len(boxes)} layers with {len(lines)} cuts"
    return f'<div class="drawing" tabindex="0" role="img" aria-label="{escape(label)}">{bands}</div>'


def _with_inputs(boxes: Sequence[Box]) -> list[Box]:
    made = {box.name for box in boxes}
    read = dict.fromkeys(name for box in boxes for name in box.inputs)
    return [*(Box(name, "input") for name in read if name not in made), *boxes]


def _severed(tensors: Sequence[str], placed: Layout) -> list[tuple[Edge, int]]:
    """Edges that a cut severs, each with the gap in which it is crossed, by its upper row.

    The edge part is what the tensors need; lines from a tensor to a reader outside it are
    severed, as near as may be to the row of the lowest tensor. A tensor that no one reads, an
    output, is severed right under its box.
    """
    reads: dict[str, list[str]] = {}
    for source, target in placed.paths:
        reads.setdefault(target, []).append(source)
    edge_part: set[str] = set()
    waiting = list(tensors)
    while waiting:
        name = waiting.pop()
        if name not in edge_part:
            edge_part.add(name)
            waiting += reads.get(name, [])
    level = max(placed.row[name] for name in tensors)
    found: list[tuple[Edge, int]] = []
    for name in tensors:
        outside = [t for s, t in placed.paths if s == name and t not in edge_part]
        found += [((name, t), min(level, placed.row[t] - 1)) for t in outside]
        if not outside:
            found.append(((name, name), placed.row[name]))
    return found


def _gap(points: Sequence[tuple[Edge, int]], placed: Layout) -> int:
    """The gap of a cut's rightmost crossing, from which its label is in sight."""
    return max(points, key=lambda point: _middle(*point, placed))[1]


def _middle(edge: Edge, gap: int, placed: Layout) -> float:
    """Where an edge is in the middle of a gap, from the left."""
    if edge not in placed.paths:
        return placed.x[edge[0]]
    path, i = placed.paths[edge], gap - placed.row[edge[0]]
    return (path[i] + path[i + 1]) / 2


def _tops(rows: int, gaps: Sequence[int]) -> list[float]:
    """Height of each row's upper side, and of the end."""
    tops = [8.0]
    for row in range(rows):
        tops.append(tops[-1] + _BOX_HEIGHT + _GAP + _CUT_STEP * gaps.count(row))
    return tops


def _seams(tops: Sequence[float]) -> list[float]:
    """Heights between rows at which the drawing is taken apart."""
    seams = [0.0]
    for before, top in pairwise(tops):
        if top - seams[-1] > _BAND and before > seams[-1] + 8:
            seams.append(before - 4)
    return [*seams, tops[-1]]


def _edge(edge: Edge, placed: Layout, tops: Sequence[float]) -> list[_Piece]:
    """One piece for each gap, and for each row that the line passes beside a box."""
    first, path = placed.row[edge[0]], placed.paths[edge]
    pieces: list[_Piece] = []
    for i, (here, there) in enumerate(pairwise(path)):
        top, bottom = tops[first + i] + _BOX_HEIGHT, tops[first + i + 1]
        start = tops[first + i] if i else top
        d = f"M{here:.1f} {start:.1f}L{here:.1f} {top:.1f}L{there:.1f} {bottom:.1f}"
        pieces.append(
            _Piece(start, bottom, Markup(f'<path class="edge" style="{_LINE}" d="{d}"/>'))
        )
    return pieces


def _boxes(boxes: Sequence[Box], placed: Layout, tops: Sequence[float]) -> list[_Piece]:
    pieces: list[_Piece] = []
    for box in boxes:
        x, y = placed.x[box.name], tops[placed.row[box.name]]
        style = _BOX if box.inputs else _INPUT
        svg = Markup(
            '<g class="box"><title>{full}</title><rect x="{left:.1f}" y="{y:.1f}" width="{w}" '
            'height="{h}" rx="4" style="{style}"/><text x="{x:.1f}" y="{first:.1f}" '
            'text-anchor="middle" style="{ink}">{name}</text><text x="{x:.1f}" '
            'y="{second:.1f}" text-anchor="middle" style="{soft}">{detail}</text></g>'
        ).format(
            full=f"{box.name}: {box.detail}",
            left=x - BOX_WIDTH / 2,
            y=y,
            w=BOX_WIDTH,
            h=_BOX_HEIGHT,
            style=style,
            x=x,
            first=y + 17,
            second=y + 34,
            ink=_INK,
            soft=_SOFT,
            name=short(box.name, BOX_WIDTH),
            detail=short(box.detail, BOX_WIDTH),
        )
        pieces.append(_Piece(y, y + _BOX_HEIGHT, svg))
    return pieces


def _cut_lines(
    cuts: Sequence[CutLine],
    severed: Sequence[Sequence[tuple[Edge, int]]],
    gaps: Sequence[int],
    placed: Layout,
    tops: Sequence[float],
) -> list[_Piece]:
    pieces: list[_Piece] = []
    used: dict[int, int] = {}
    for cut, points, own in zip(cuts, severed, gaps, strict=True):
        used[own] = used.get(own, 0) + 1
        down = _BOX_HEIGHT + used[own] * _CUT_STEP - 4
        met = sorted((*_crossing(edge, gap, down, placed, tops), gap) for edge, gap in points)
        corners = [met[0][:2]]
        for before, after in pairwise(met):
            corners += [*_around(before, after, placed), after[:2]]
        crossings = [each[:2] for each in met]
        pieces.append(_cut_line(cut, crossings, corners, placed.width))
    return pieces


def _around(
    before: tuple[float, float, int], after: tuple[float, float, int], placed: Layout
) -> list[tuple[float, float]]:
    """Corners between two crossings (x, y, gap) in different gaps: down or up beside the boxes.

    None where no way between them is free; the line then passes behind the boxes' text.
    """
    first, last = sorted((before[2], after[2]))
    boxes = [placed.x[name] for row in placed.rows[first + 1 : last + 1] for name in row]
    aside = BOX_WIDTH / 2 + SPACE / 2
    free = [
        x
        for x in (
            before[0],
            after[0],
            *(box + side * aside for box in boxes for side in (-1, 1)),
        )
        if before[0] <= x <= after[0] and all(abs(x - box) > BOX_WIDTH / 2 for box in boxes)
    ]
    if first == last or not free:
        return []
    x = min(free, key=lambda at: abs(at - (before[0] + after[0]) / 2))
    return [(x, before[1]), (x, after[1])]


def _cut_line(
    cut: CutLine,
    crossings: Sequence[tuple[float, float]],
    inner: Sequence[tuple[float, float]],
    width: float,
) -> _Piece:
    """A line through the crossings and corners between, from the left to its label."""
    style, mark = (_BEST, "#d55e00") if cut.best else (_CUT, "var(--soft,#55606d)")
    y = inner[-1][1]
    corners = [(inner[0][0] - 16, inner[0][1]), *inner, (width + 10, y)]
    d = "M" + "L".join(f"{x:.1f} {at:.1f}" for x, at in corners)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{at:.1f}" r="{4 if cut.best else 3}" style="fill:{mark}"/>'
        for x, at in crossings
    )
    weight = ";font-weight:600" if cut.best else ""
    svg = Markup(
        '<g class="cut"><title>{full}</title><path style="{style}" d="{d}"/>{dots}'
        '<text x="{x:.1f}" y="{y:.1f}" style="{ink}">{label}</text></g>'
    ).format(
        full=f"{cut.label}: {' + '.join(cut.tensors)}",
        style=style,
        d=d,
        dots=Markup(dots),
        x=width + 15,
        y=y + 4.5,
        ink=_INK + weight,
        label=short(cut.label, _LABELS - 15),
    )
    heights = [at for _, at in corners]
    return _Piece(min(heights), max(heights), svg)


def _crossing(
    edge: Edge, gap: int, down: float, placed: Layout, tops: Sequence[float]
) -> tuple[float, float]:
    """Where a cut meets a line: in the gap under a row, `down` from the row's upper side."""
    top, bottom = tops[gap] + _BOX_HEIGHT, tops[gap + 1]
    y = min(tops[gap] + down, bottom - 4)
    if edge not in placed.paths:
        return placed.x[edge[0]], y
    path, i = placed.paths[edge], gap - placed.row[edge[0]]
    share = (y - top) / (bottom - top)
    return path[i] + share * (path[i + 1] - path[i]), y


def _band(pieces: Sequence[_Piece], top: float, bottom: float, width: float) -> str:
    inside = "".join(p.svg for p in pieces if p.bottom >= top and p.top <= bottom)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{bottom - top:.0f}" '
        f'viewBox="-1 {top:.1f} {width:.0f} {bottom - top:.1f}">{inside}</svg>'
    )


def short(text: str, pixels: float) -> str:
    """A text that fits, its middle left out if it must be."""
    most = int(pixels / _PIXELS_PER_CHARACTER)
    if len(text) <= most:
        return text
    head = most // 2
    return f"{text[: most - head - 1]}…{text[-head:]}"


def boxes_of(layers: Sequence[Mapping[str, Any]]) -> list[Box]:
    """Boxes from the `layers` of `joulecut analyze --json`; none if they do not say what they read."""
    if not all("inputs" in layer for layer in layers):
        return []
    return [
        Box(layer["name"], f"{layer['kind']} {layer['shape']}", tuple(layer["inputs"]))
        for layer in layers
    ]
