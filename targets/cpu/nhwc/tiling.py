"""The cheapest tile of a convolution, by a model of the cycles that a tile takes.

A model beats a table of shapes because tails decide: 14 columns are one tile of 14, or 12 and 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.tile import Order, Tile, spans

_L1_BYTES = 16 << 10  # of x: half of a small L1

Cycles = Callable[[int, int, int], float]  # of a tile: rows and columns of y, blocks


def cheapest(work: Conv, lanes: int, sizes: Iterable[tuple[int, int]], cycles: Cycles) -> Tile:
    """The tile with which the model gives the layer the fewest cycles.

    Args:
        work: the layer.
        lanes: channels of a block.
        sizes: the most pixels that go with a number of blocks.
        cycles: of a tile.
    """
    blocks = -(-work.outputs // lanes)
    best: tuple[float, int, int, int] | None = None
    for most, together in sizes:
        channels = spans(blocks, together)
        for rows, columns in _shapes(work, most):
            down, across = rows // work.pool[0], columns // work.pool[1]
            total = -(-work.y.rows // down) * sum(
                wide.count * deep.count * cycles(down, wide.size, deep.size)
                for wide in spans(work.y.columns, across, overlap=True)
                for deep in channels
            )
            found = (total, rows, -columns, channels[0].size)
            best = min(best, found) if best else found
    assert best is not None, "a window of a pool fits into a tile"
    _, rows, columns, together = best
    return Tile(rows, -columns, together)


def _shapes(work: Conv, most: int) -> Iterator[tuple[int, int]]:
    """Rows and columns of whole windows, `most` pixels at most where a window has no more."""
    down, across = work.pool
    most = max(most, down * across)
    for high in range(1, work.y.rows + 1):
        room = most // (high * down * across)
        if room == 0:
            return
        for wide in range(1, min(room, work.y.columns) + 1):
            yield high * down, wide * across


def endings(columns: int, units: Sequence[int], together: float, alone: float) -> float:
    """Cycles for the end of a row of a tile.

    Args:
        columns: of y.
        units: pixels that may end together.
        together: cycles for each of them.
        alone: more cycles for each unit.
    """
    total = columns * together
    for unit in units:
        count, columns = divmod(columns, unit)
        total += count * alone
    return total


def order_of(work: Conv, tile: Tile, weight_bytes: int, near_bytes: int) -> Order:
    """What changes slowest.

    Where all of x stays in L1, weights are streamed once if they are more. Otherwise weights that
    stay near are streamed again for every row of tiles, and others once, if x is smaller or if
    there is but one row of tiles, whose tasks would be one.

    Args:
        work: the layer.
        tile: its tile.
        weight_bytes: of all weights, packed.
        near_bytes: of the cache that holds them.
    """
    is_far = weight_bytes > max(near_bytes, work.x.nbytes)
    is_small = work.x.nbytes <= min(_L1_BYTES, weight_bytes)
    is_one_row = work.y.batch * work.y.rows * work.pool[0] <= tile.rows
    return "channels" if is_far or is_small or is_one_row else "rows"
