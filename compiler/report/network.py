"""A network as a drawing: layers from top to bottom, branches side by side, cuts across its edges.

Rows are longest paths from the inputs; an edge that skips rows runs through places of its own in
them, so that no edge crosses a box. Order in a row follows the mean place of what it reads
(the barycentre heuristic of Sugiyama, Tagawa and Toda, 1981).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

BOX_WIDTH, BOX_HEIGHT = 190, 34
COLUMN, ROW = 214, 62  # from box to box
MARGIN = 24
_CHARACTERS = 27  # of a name that fit a box
_SWEEPS = 4
_LANE = 70  # of an edge that passes by
_STYLE = """
.network { font: 11px system-ui, sans-serif; }
.network rect { fill: #f4f6f8; stroke: #8a96a3; }
.network .input rect { fill: #fff; }
.network text { text-anchor: middle; fill: #1d2733; }
.network text.note { fill: #5b6775; font-size: 9.5px; }
.network path.edge { fill: none; stroke: #8a96a3; stroke-width: 1.3; }
.network .cut path { stroke: #0072b2; stroke-width: 2; stroke-dasharray: 5 3; }
.network .cut text { fill: #0072b2; font-size: 10px; font-weight: 600; text-anchor: end; }
.network .strong path { stroke: #d55e00; stroke-width: 3.5; stroke-dasharray: none; }
.network .strong text { fill: #b34f00; }
"""


@dataclass(frozen=True)
class Box:
    """An input of the network, or a layer.

    Attributes:
        name: of what it makes.
        kind: its operators; "input" for an input.
        reads: names of boxes.
        note: a second line: shape, MACs.
    """

    name: str
    kind: str
    reads: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class CutMark:
    """A cut to be drawn.

    Attributes:
        tensors: names of the boxes whose outputs cross.
        label: what stands at its marks; "" for a small mark.
        strong: set off from the others.
    """

    tensors: tuple[str, ...]
    label: str = ""
    strong: bool = False


@dataclass
class _Place:
    """A box, or where an edge passes a row."""

    row: int
    box: Box | None = None
    before: list[_Place] = field(default_factory=list["_Place"])
    x: float = 0.0

    @property
    def width(self) -> int:
        return COLUMN if self.box else _LANE


def drawing(boxes: Sequence[Box], cuts: Sequence[CutMark] = (), title: str = "network") -> str:
    """An SVG element; every text in it is escaped.

    Args:
        boxes: each after those that it reads.
        cuts: to be marked.
        title: for those who cannot see it.
    """
    rows = _rows(boxes)
    _order(rows)
    width = _spread(rows) + 2 * MARGIN
    height = ROW * len(rows) + 2 * MARGIN
    places = {p.box.name: p for row in rows for p in row if p.box is not None}
    parts = [_edge(place) for row in rows for place in row]
    parts += [_box(places[box.name]) for box in boxes]
    parts += _marks(places, cuts)
    return (
        f'<svg class="network" role="img" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>{''.join(parts)}</svg>"
    )


def _rows(boxes: Sequence[Box]) -> list[list[_Place]]:
    """Boxes by row, with places for edges that pass."""
    found: dict[str, _Place] = {}
    rows: list[list[_Place]] = []

    def put(place: _Place) -> _Place:
        while len(rows) <= place.row:
            rows.append([])
        rows[place.row].append(place)
        return place

    passing: dict[tuple[str, int], _Place] = {}
    for box in boxes:
        row = 1 + max((found[name].row for name in box.reads), default=-1)
        place = put(_Place(row, box))
        found[box.name] = place
        for name in dict.fromkeys(box.reads):
            above = found[name]
            for between in range(above.row + 1, row):
                key = (name, between)
                if key not in passing:
                    passing[key] = put(_Place(between, before=[above]))
                above = passing[key]
            place.before.append(above)
    return rows


def _order(rows: list[list[_Place]]) -> None:
    """Places of each row by the mean place of what they read, then of what reads them."""
    after: dict[int, list[_Place]] = {}
    for row in rows:
        for place in row:
            for above in place.before:
                after.setdefault(id(above), []).append(place)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            at = {id(p): i for other in rows for i, p in enumerate(other)}
            row.sort(
                key=lambda p, at=at, down=down: _mean(
                    [at[id(q)] for q in (p.before if down else after.get(id(p), []))],
                    at[id(p)],
                )
            )


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _spread(rows: list[list[_Place]]) -> float:
    """Places side by side, each row in the middle; returns the greatest width."""
    widest = max(sum(p.width for p in row) for row in rows) if rows else 0
    for row in rows:
        x = MARGIN + (widest - sum(p.width for p in row)) / 2
        for place in row:
            place.x = x + place.width / 2
            x += place.width
    return widest


def _top(place: _Place) -> float:
    return MARGIN + ROW * place.row + (ROW - BOX_HEIGHT) / 2


def _edge(place: _Place) -> str:
    """Lines from what a place reads to its top."""
    parts: list[str] = []
    for above in place.before:
        start = _top(above) + BOX_HEIGHT
        end = _top(place)
        middle = (start + end) / 2
        path = (
            f"M{above.x:.1f},{start:.1f} C{above.x:.1f},{middle:.1f} "
            f"{place.x:.1f},{middle:.1f} {place.x:.1f},{end:.1f}"
        )
        parts.append(f'<path class="edge" d="{path}"/>')
    if place.box is None:
        y = _top(place)
        parts.append(f'<path class="edge" d="M{place.x:.1f},{y:.1f} V{y + BOX_HEIGHT:.1f}"/>')
    return "".join(parts)


def _box(place: _Place) -> str:
    box = place.box
    assert box is not None
    x, y = place.x - BOX_WIDTH / 2, _top(place)
    kind = "input" if box.kind == "input" else "layer"
    note = f"{box.kind}{', ' if box.note else ''}{box.note}"
    return (
        f'<g class="{kind}"><title>{escape(f"{box.name}: {note}")}</title>'
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" '
        f'rx="{BOX_HEIGHT / 2 if kind == "input" else 5}"/>'
        f'<text class="name" x="{place.x:.1f}" y="{y + 14:.1f}">{escape(_short(box.name))}</text>'
        f'<text class="note" x="{place.x:.1f}" y="{y + 27:.1f}">{escape(_short(note, 36))}</text>'
        "</g>"
    )


def _marks(places: Mapping[str, _Place], cuts: Sequence[CutMark]) -> list[str]:
    """Marks across the edges below the boxes whose outputs cross; strong ones on top."""
    parts: list[str] = []
    taken: dict[str, int] = {}
    for cut in sorted(cuts, key=lambda each: each.strong):
        names = " + ".join(cut.tensors)
        for name in cut.tensors:
            place = places.get(name)
            if place is None:
                continue
            y = _top(place) + BOX_HEIGHT + 7
            half = BOX_WIDTH / 2 if cut.label else 12
            kind = "cut strong" if cut.strong else "cut"
            parts.append(
                f'<g class="{kind}"><title>{escape(f"cut at {names}")}</title>'
                f'<path d="M{place.x - half:.1f},{y:.1f} H{place.x + half:.1f}"/>'
            )
            if cut.label:
                at = taken[name] = taken.get(name, -1) + 1
                parts.append(
                    f'<text x="{place.x + half - 4 - 26 * at:.1f}" y="{y + 11:.1f}">'
                    f"{escape(cut.label)}</text>"
                )
            parts.append("</g>")
    return parts


def _short(text: str, most: int = _CHARACTERS) -> str:
    """The text, or its two ends."""
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
