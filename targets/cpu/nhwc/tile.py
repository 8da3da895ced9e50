"""How much of a layer is computed at once, and how a layer is covered by such tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Order = Literal["rows", "channels"]


@dataclass(frozen=True)
class Tile:
    """What the registers hold at once.

    Attributes:
        rows: of pixels, before pooling.
        columns: of pixels, before pooling.
        blocks: vectors of output channels.
        order: what changes slowest: "rows" streams the weights once for every row of tiles,
            "channels" streams the input once for every tile of channels.
    """

    rows: int
    columns: int
    blocks: int
    order: Order = "rows"


@dataclass(frozen=True)
class Span:
    """`count` tiles of `size` from `start` on, side by side."""

    start: int
    count: int
    size: int


def spans(total: int, size: int, *, overlap: bool = False) -> tuple[Span, ...]:
    """Tiles that cover `total`: as many of `size` as fit, then what is left.

    Args:
        total: to be covered; 1 or more.
        size: of a tile; a smaller total is one tile.
        overlap: a tail of at least three quarters of a tile is a whole tile that starts earlier;
            what it computes twice costs less than a kernel of its own.
    """
    size = min(size, total)
    whole, rest = divmod(total, size)
    found = [Span(0, whole, size)]
    if rest and overlap and 4 * rest >= 3 * size:
        found.append(Span(total - size, 1, size))
    elif rest:
        found.append(Span(whole * size, 1, rest))
    return tuple(found)
