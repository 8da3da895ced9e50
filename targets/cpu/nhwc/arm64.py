"""The kernels of AArch64 cores, and how much of a layer each computes at once."""

from __future__ import annotations

from joulecut.targets.cpu.nhwc.arm64_depthwise import sdot_depthwise, smull_depthwise
from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.kernels import Kernels
from joulecut.targets.cpu.nhwc.sdot import SDOT
from joulecut.targets.cpu.nhwc.smull import (
    LANES,
    SMULL,
    SMULL_AHEAD,
    SMULL_AHEAD_SAFE,
    SMULL_SAFE,
)
from joulecut.targets.cpu.nhwc.tile import Tile

_SDOT_PIXELS = 8  # times eight channels: two thirds of the registers are sums
_SMULL_PIXELS = {1: 8, 2: 4, 3: 3}  # by vectors of eight channels


def sdot_tile(work: Conv) -> Tile:
    """Eight pixels and eight channels; where a row is short, pixels of several rows."""
    return _tile(work, _SDOT_PIXELS, 1)


def smull_tile(work: Conv) -> Tile:
    """Nine vectors of sums at most, of about as many pixels as vectors of channels."""
    count = -(-work.outputs // LANES)
    blocks = next(b for b in (2, 3, 1) if count % b == 0)
    return _tile(work, _SMULL_PIXELS[blocks], blocks)


def _tile(work: Conv, pixels: int, blocks: int) -> Tile:
    down, across = work.pool
    columns = max(1, min(work.y.columns, pixels // across))
    rows = max(1, min(work.y.rows, pixels // (columns * across * down)))
    order = "channels" if work.y.rows <= rows else "rows"
    return Tile(rows * down, columns * across, blocks, order)


SDOT_KERNELS = Kernels((SDOT,), sdot_tile, sdot_depthwise)
SMULL_KERNELS = Kernels((SMULL, SMULL_SAFE), smull_tile, smull_depthwise)
SMULL_AHEAD_KERNELS = Kernels((SMULL_AHEAD, SMULL_AHEAD_SAFE), smull_tile, smull_depthwise)
