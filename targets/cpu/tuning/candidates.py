"""The tiles that a convolution may have, and a model of their cycles.

    granule = max(products, loads / 2, LATENCY)    loads = pixels + blocks, products = pixels * blocks
    tile    = OVERHEAD + segments * steps * granule + ENDING * vectors that are stored
    layer   = the sum over all tiles, with those at the ends of rows and what is computed twice
            + lines of x or of weights that are streamed again and again from behind L1

The model is where a search starts, no more: it knows neither how registers are given out nor what
a family does within a granule. Sums beyond the registers of the family cost extra.
"""

from __future__ import annotations

from collections.abc import Iterator

from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.family import Family
from joulecut.targets.cpu.nhwc.kernels import Choice, Kernels
from joulecut.targets.cpu.nhwc.tile import Order, Span, Tile, spans

TASKS = (
    8  # enough for the threads of a part; a tile must leave as many, or what the default does
)
LATENCY = 6.0  # products that hide each other's latency
OVERHEAD = 20.0  # of a tile: its loops, its bias, where it starts
ENDING = 10.0  # of a vector of pixels and channels, from its sums to its bytes
L1_BYTES = 32 << 10
LINE_CYCLES = 4.0  # for 64 bytes from L2, in order
SPILL = 2.0  # for a sum that has no register, in each granule

_ORDERS: tuple[Order, ...] = ("rows", "channels")


def candidates(work: Conv, kernels: Kernels) -> dict[Choice, float]:
    """What may be compared with the default of a convolution, and its modelled cost.

    Costs are in costs of the default, which is not among the candidates. Families that ask the
    most of the weights are taken: they gain something by it.
    """
    default = kernels.default_of(work)
    lowest = int(work.weights.min())
    able = [f for f in kernels.families if f.lowest_weight <= lowest]
    most = max(f.lowest_weight for f in able)
    families = {f.name: f for f in able if f.lowest_weight == most or f.name == default.family}
    own = families[default.family]
    least = min(TASKS, tasks(work, own, default.tile))
    base = cost(work, own, default.tile)
    return {
        Choice(name, tile): cost(work, family, tile) / base
        for name, family in families.items()
        for tile in _tiles(work, family)
        if tasks(work, family, tile) >= least and Choice(name, tile) != default
    }


def tasks(work: Conv, family: Family, tile: Tile) -> int:
    """Parts of the kernel that may run at the same time."""
    rows = work.y.batch * -(-work.y.rows // (tile.rows // work.pool[0]))
    if tile.order == "rows" and work.group > 1:
        return rows
    return rows * work.group * sum(span.count for span in _channels(work, family, tile))


def cost(work: Conv, family: Family, tile: Tile) -> float:
    """Cycles of the kernel, by the model above; good for an order only."""
    (down, across), y = work.pool, work.y
    row_tiles = y.batch * -(-y.rows // (tile.rows // down))
    columns = spans(y.columns, tile.columns // across, overlap=True)
    _, segments, length = work.stretches.shape
    steps = segments * -(-length // family.granule)
    channels = _channels(work, family, tile)
    cycles = 0.0
    for wide in columns:
        for deep in channels:
            pixels, blocks = tile.rows * wide.size * across, deep.size
            products = float(pixels * blocks)
            granule = max(products, (pixels + blocks) / 2, LATENCY)
            granule += SPILL * max(0, products - family.registers)
            unit = next(unit for unit in family.units if wide.size % unit == 0)
            ending = ENDING * tile.rows // down * wide.size / unit * blocks
            cycles += wide.count * deep.count * (OVERHEAD + steps * granule + ending)
    cycles *= row_tiles * work.group
    return cycles + _streaming(work, tile, row_tiles, sum(span.count for span in channels))


def _streaming(work: Conv, tile: Tile, row_tiles: int, channel_tiles: int) -> float:
    """Cycles for what does not stay in L1 between its uses."""
    weights, x = work.weights.size / work.group, work.x.nbytes
    if tile.order == "rows":
        again = (row_tiles - 1) * weights * work.group if weights > L1_BYTES else 0.0
    else:
        again = (channel_tiles - 1) * x if x > L1_BYTES else 0.0
    return again / 64 * LINE_CYCLES


def _channels(work: Conv, family: Family, tile: Tile) -> tuple[Span, ...]:
    return spans(-(-work.outputs // family.lanes), 1 if family.program else tile.blocks)


def _tiles(work: Conv, family: Family) -> Iterator[Tile]:
    """All that fill no more than a quarter above the registers; none twice under two names."""
    (down, across), y = work.pool, work.y
    room = family.registers + family.registers // 4
    deepest = 1 if family.program else -(-work.outputs // family.lanes)
    for blocks in range(1, min(deepest, room // (down * across) or 1) + 1):
        if blocks > 1 and -(-deepest // blocks) == -(-deepest // (blocks - 1)):
            continue  # as many tiles of channels as with fewer blocks
        for rows in range(down, min(y.rows * down, room) + 1, down):
            if rows > down and -(-y.rows // (rows // down)) == -(-y.rows // (rows // down - 1)):
                continue  # as many tiles of rows, which only overlap more
            columns = min(y.columns * across, room // (rows * blocks) // across * across)
            for width in range(across, columns + 1, across):
                yield from (
                    Tile(rows, width, blocks, order)
                    for order in _orders(work, family, rows, blocks)
                )


def _orders(work: Conv, family: Family, rows: int, blocks: int) -> tuple[Order, ...]:
    """Both, unless they are the same loops: then that with more tasks."""
    is_one_row = work.y.batch * work.y.rows * work.pool[0] == rows
    is_one_block = work.group == 1 and -(-work.outputs // family.lanes) <= blocks
    if is_one_block:
        return ("rows",)
    return ("channels",) if is_one_row else _ORDERS
