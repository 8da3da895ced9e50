"""A layer as the accelerator sees it, and the sizes of tiles that suit it.

Which sizes are best is estimated from what bounds a step: products, requantization, or the bus.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from joulecut.hw.config import BEAT_BYTES, MacArrayConfig
from joulecut.hw.descriptors import Operation
from joulecut.hw.model import packed_lanes
from joulecut.targets.fpga.tensors import PackedTensor, Tensor

_FEED = 2  # cycles that a pass takes beyond the rows of its weights, at least
_NEARLY = 1.01  # of the fewest cycles
_STEP = 40  # cycles between two computations: descriptors, the first weights
_LATENCY = 40  # of the bus, about


class TilingError(ValueError):
    """A layer does not fit the accelerator."""


@dataclass(frozen=True)
class Window:
    """Which inputs an output sees, (y, x) each.

    Attributes:
        kernel: taps.
        strides: from output to output.
        dilations: from tap to tap.
        pads: top, left, bottom, right.
    """

    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def inputs(self, axis: int, start: int, count: int, size: int) -> tuple[int, int, int]:
        """What some outputs along an axis see: first input, how many, and pads before them."""
        first = start * self.strides[axis] - self.pads[axis]
        extent = (count - 1) * self.strides[axis] + (self.kernel[axis] - 1) * self.dilations[
            axis
        ]
        last = min(first + extent, size - 1)
        return max(first, 0), max(last - max(first, 0) + 1, 1), max(-first, 0)


@dataclass(frozen=True)
class Work:
    """A layer, as the accelerator sees it.

    Attributes:
        label: of the layer.
        operation: what a computation does.
        inputs: one tensor, or the two of a pair.
        output: what it makes.
        window: of every output.
        weights: address of weights, [output tiles, passes, rows, columns] int8.
        parameters: address of bias and multiplier of every channel, 8 bytes each.
        x_zero_point: of inputs outside of the tensor.
        zero_point: of the output.
        low: least output.
        high: largest output.
        is_diagonal: an output channel sees the input channel of its number only.
        addend_zero_point: of the second of a pair.
        addend_scale: its multiplier.
    """

    label: str
    operation: Operation
    inputs: tuple[Tensor | PackedTensor, ...]
    output: Tensor
    window: Window
    weights: int
    parameters: int
    x_zero_point: int
    zero_point: int
    low: int
    high: int
    is_diagonal: bool = False
    addend_zero_point: int = 0
    addend_scale: float = 0.0

    def channels(self, config: MacArrayConfig) -> int:
        """Output channels of a tile."""
        by_channel = self.is_diagonal or self.operation is not Operation.MULTIPLY
        return min(config.rows, config.columns) if by_channel else config.rows

    def output_tiles(self, config: MacArrayConfig) -> int:
        """Tiles of output channels."""
        return -(-self.output.channels // self.channels(config))

    def input_tiles(self, config: MacArrayConfig) -> int:
        """Tiles of input channels that an output tile sees."""
        if self.operation is not Operation.MULTIPLY or self.is_diagonal:
            return len(self.inputs)
        return -(-self.inputs[0].channels // config.columns)

    def passes(self, config: MacArrayConfig) -> int:
        """Passes over a strip."""
        x = self.inputs[0]
        if isinstance(x, PackedTensor):
            return packed_passes(
                self.window.kernel[1] * x.channels, self.window.kernel[0], config.columns
            )
        return self.window.kernel[0] * self.window.kernel[1] * self.input_tiles(config)


def packed_passes(window_bytes: int, rows: int, columns: int) -> int:
    """Passes until the last byte of a packed window was seen."""
    passes = 1
    while not _sees_all(packed_lanes(window_bytes, passes, columns), window_bytes, rows):
        passes += 1
    return passes


def _sees_all(lanes: np.ndarray, window_bytes: int, rows: int) -> bool:
    return bool(((lanes[..., 0] == rows - 1) & (lanes[..., 1] == window_bytes - 1)).any())


@dataclass(frozen=True)
class Tiling:
    """Sizes of a tile, and what stays while others pass.

    Attributes:
        rows: of the output.
        columns: pixels of a row of the output.
        tiles: of output channels.
        keeps_weights: all pixels pass while the weights of some channels stay; otherwise all
            channels pass while some rows stay.
    """

    rows: int
    columns: int
    tiles: int
    keeps_weights: bool


def best_tiling(config: MacArrayConfig, work: Work) -> Tiling:
    """The tiling that loads least of those with nearly the fewest cycles, by estimate.

    Raises:
        TilingError: none fits.
    """
    found = {tiling: estimate(config, work, tiling) for tiling in tilings(config, work)}
    if not found:
        raise TilingError(_why(config, work))
    most = _NEARLY * min(cycles for cycles, _ in found.values())
    near = [tiling for tiling, (cycles, _) in found.items() if cycles <= most]
    return min(near, key=lambda tiling: (found[tiling][::-1], -tiling.rows, -tiling.tiles))


def tilings(config: MacArrayConfig, work: Work) -> Iterator[Tiling]:
    """Those that fit."""
    y = work.output
    count = work.output_tiles(config)
    groups = sorted({-(-count // n) for n in range(1, count + 1)})
    rows = sorted({-(-y.height // n) for n in range(1, y.height + 1)})
    widths = sorted({-(-y.width // n) for n in range(1, y.width + 1)}, reverse=True)
    for height, tiles in product(rows, groups):
        for width in widths:
            tiling = Tiling(height, width, tiles, keeps_weights=False)
            if fits(config, work, tiling):
                yield tiling
                yield replace(tiling, keeps_weights=True)
                break  # narrower ones load more


def fits(config: MacArrayConfig, work: Work, tiling: Tiling) -> bool:
    """Do the tiles lie in the accelerator's memories?"""
    x = work.inputs[0]
    half = 2 if isinstance(x, PackedTensor) else 1
    sizes = (
        (_input_words(config, work, tiling), config.activation_words // half),
        (weight_words(config, work, tiling.tiles), config.weight_words),
        (tiling.tiles * config.rows, config.parameter_words),
        (tiling.rows * tiling.columns * tiling.tiles, config.output_words),
    )
    return all(needed <= there for needed, there in sizes) and (
        tiling.columns == work.output.width or not isinstance(x, PackedTensor)
    )


def _input_words(config: MacArrayConfig, work: Work, tiling: Tiling) -> int:
    x = work.inputs[0]
    _, height, _ = work.window.inputs(0, 1, tiling.rows, 1 << 30)
    if isinstance(x, PackedTensor):
        return (height + work.window.pads[0]) * x.pitch // config.columns
    _, width, _ = work.window.inputs(1, 1, tiling.columns, 1 << 30)
    height, width = min(height, x.height), min(width, x.width)
    return loaded_tiles(config, work, tiling.tiles) * height * width


def loaded_tiles(config: MacArrayConfig, work: Work, tiles: int) -> int:
    """Tiles of input channels that some output tiles see."""
    if work.operation is Operation.MULTIPLY and not work.is_diagonal:
        return work.input_tiles(config)
    return tiles * len(work.inputs)


def weight_words(config: MacArrayConfig, work: Work, tiles: int) -> int:
    """Words of weights of some tiles of output channels."""
    if work.operation is not Operation.MULTIPLY:
        return 0
    return tiles * work.passes(config) * config.rows


def estimate(config: MacArrayConfig, work: Work, tiling: Tiling) -> tuple[float, float]:
    """Cycles of a layer, and beats that it loads, about; docs/accelerator.md has the exact ones."""
    y = work.output
    count = work.output_tiles(config)
    x_words = _input_words(config, work, tiling)
    w_words = weight_words(config, work, tiling.tiles)
    x_beats = x_words * config.columns / BEAT_BYTES
    w_beats = w_words * config.columns / BEAT_BYTES + tiling.tiles * config.rows
    spots = -(-y.height // tiling.rows) * -(-y.width // tiling.columns)
    groups = -(-count // tiling.tiles)
    by_group = work.operation is not Operation.MULTIPLY or work.is_diagonal
    stay = weight_words(config, work, count) <= config.weight_words
    if tiling.keeps_weights:
        x_loads, w_loads = groups * (spots if spots > 1 or by_group else 1), groups
    else:
        x_loads = spots * (groups if by_group else 1)
        w_loads = groups * (1 if stay or groups == 1 else spots)
    # What has no room beside the tile before it waits for that.
    x_waits = 2 * x_words > config.activation_words and x_loads > 1
    w_waits = 2 * w_words > config.weight_words and w_loads > 1 and not stay
    loads = x_loads * x_beats + w_loads * w_beats
    waits = x_waits * x_loads * x_beats + w_waits * w_loads * w_beats
    per_step, stores, cycles = (loads - waits) / (spots * groups), 0.0, waits
    for pixels, number in _sizes(y, tiling).items():
        stores = pixels * tiling.tiles * config.rows / BEAT_BYTES * 17 / 16
        compute = tiling.tiles * _sum_cycles(config, work, pixels) + _STEP
        if 2 * pixels * tiling.tiles > config.output_words:
            compute += stores
        cycles += number * groups * max(compute, per_step, stores)
    return x_beats + w_beats + _LATENCY + cycles + stores, loads


def _sizes(y: Tensor, tiling: Tiling) -> Counter[int]:
    """Pixels of the tiles that an output is cut into, the last one last, and how many have them."""
    sizes = Counter[int]()
    for row in range(0, y.height, tiling.rows):
        for column in range(0, y.width, tiling.columns):
            height, width = (
                min(tiling.rows, y.height - row),
                min(tiling.columns, y.width - column),
            )
            sizes[height * width] += 1
    return sizes


def _sum_cycles(config: MacArrayConfig, work: Work, pixels: int) -> float:
    """Cycles of a tile's pixels for one tile of output channels."""
    strips = -(-pixels // config.strip)
    strip = -(-pixels // strips)
    multiplies = work.operation is Operation.MULTIPLY
    period = max(strip, config.rows + _FEED) if multiplies else strip
    return strips * max(work.passes(config) * period, strip * config.rows / config.lanes)


def _why(config: MacArrayConfig, work: Work) -> str:
    words = weight_words(config, work, 1)
    if words > config.weight_words:
        return (
            f"layer '{work.label}': weights of {config.rows} channels must fit "
            f"{config.weight_words} words of the accelerator '{config.name}', not {words}"
        )
    x = work.inputs[0]
    smallest = Tiling(
        1, 1 if isinstance(x, Tensor) else work.output.width, 1, keeps_weights=False
    )
    return (
        f"layer '{work.label}': the inputs of one row must fit {config.activation_words} words "
        f"of the accelerator '{config.name}', not {_input_words(config, work, smallest)}"
    )
