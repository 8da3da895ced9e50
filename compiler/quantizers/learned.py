"""Prices and values that a dead zone or a trellis learns from the tensor it will code."""

from __future__ import annotations

import numpy as np

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quantizers.grid import Array, Grid
from joulecut.compiler.quantizers.prices import learned_rates, magnitudes_of, unions_of
from joulecut.compiler.quantizers.sample import sample
from joulecut.kernels import coder

MAX_CENTROIDS = 16
_MIN_STEP, _MAX_STEP = 2.0**-96, 2.0**96
_MOST = (1 << 16) - 1
_PER_CENTROID = 2048  # elements: fewer do not pay for the bytes of a value in the header


def learned_grid(
    lattice: coder.Quantizer,
    array: Array,
    weight: float | coder.Rates,
    centroids: int,
    rounds: int,
) -> Grid:
    """Quantize, count, price, quantize again; then move the values to where the numbers are.

    Args:
        lattice: where the values lie.
        array: the tensor.
        weight: of bits against distance, 0 for the nearest values; or prices that are known.
        centroids: how many magnitudes have a learned value, if the tensor is large enough.
        rounds: of the iteration, at most.
    """
    part = sample(array)
    row = part.shape[-1] if part.ndim > 1 else 0
    if isinstance(weight, coder.Rates):
        grid = Grid(lattice, weight)
    elif not (array.size and weight and rounds):
        grid = Grid(lattice)
    else:
        grid = _priced(lattice, part, row, weight, rounds)
    count = min(centroids, array.size // _PER_CENTROID)
    return _with_centroids(grid, part, count) if count else grid


def _priced(
    lattice: coder.Quantizer, part: Array, row: int, weight: float, rounds: int
) -> Grid:
    """Quantize, count, price, until prices stay where they are.

    Where zero is dear in one union and cheap in the other, the trellis ends up with a zero in one
    of them alone; it takes about ten rounds to get there, and 0.1 dB lies between.
    """
    grid = Grid(lattice)
    for _ in range(rounds):
        magnitudes = magnitudes_of(lattice, grid.quantize(part))
        unions = unions_of(lattice, magnitudes)
        rates = learned_rates(magnitudes, unions, row, lattice.fold, weight)
        settled = grid.rates is not None and _near(rates, grid.rates)
        grid = Grid(lattice, rates)
        if settled:
            break
    return grid


def _near(a: coder.Rates, b: coder.Rates) -> bool:
    """Whether no price differs by more than 1/16 bit."""
    return bool(np.max(np.abs(np.subtract(a.bits_q4, b.bits_q4))) <= 1)


def lattice_of(kind: str, states: int, array: Array, cell: float) -> coder.Quantizer:
    """Where the values of a dead zone or a trellis lie: step, offset, and symbols enough.

    Values that are all on one side of zero need no signs. The zero of the lattice is that of
    the numbers, unless they keep away from it: then it is their median.
    """
    step = float(np.float32(cell / 2 if kind == "trellis" else cell))
    if not _MIN_STEP <= step <= _MAX_STEP:
        raise ConfigError(f"step must be {_MIN_STEP:g} to {_MAX_STEP:g}, not {step:g}")
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    offset = _offset(array, low, high)
    fold = low < offset
    reach = max(high - offset, offset - low)
    most = int(reach / cell + 1.5) if reach / cell < _MOST else _MOST
    last = min(2 * most if fold else most, _MOST)
    least = 2 + fold if kind == "trellis" else 1 + fold  # the format wants 3 magnitudes there
    return coder.Quantizer(kind, max(last.bit_length(), least), fold, states, step, offset)


def _offset(array: Array, low: float, high: float) -> float:
    """Zero, or the median of numbers that lie around another one."""
    if low <= 0 <= high or not array.size:
        return 0.0
    part = sample(array)
    middle = float(np.float32(np.median(part)))
    return 0.0 if abs(middle) < 2 * float(np.std(part.astype(np.float64))) else middle


def _with_centroids(grid: Grid, part: Array, count: int) -> Grid:
    """The mean of the numbers that became each small magnitude, for each union."""
    header = grid.header
    symbols = grid.quantize(part).reshape(-1)
    magnitudes = magnitudes_of(header, symbols)
    unions = unions_of(header, magnitudes)
    sign = np.where(symbols & 1, -1.0, 1.0) if header.fold else 1.0
    x = (part.reshape(-1).astype(np.float64) - header.offset) * sign
    n_unions = 1 if unions is None else 2
    key = magnitudes * n_unions + (0 if unions is None else unions)
    count = min(count, int(magnitudes.max()) + 1)
    small = key < count * n_unions
    shape = (count, n_unions)
    occurs = np.bincount(key[small], minlength=count * n_unions).reshape(shape)
    sums = np.bincount(key[small], x[small], minlength=count * n_unions).reshape(shape)
    k = np.arange(count)[:, np.newaxis]
    spacing = np.maximum(2 * k - np.arange(n_unions), 0) if n_unions == 2 else k
    book = np.where(occurs > 0, sums / np.maximum(occurs, 1), spacing * header.step)
    if header.fold:
        book[0] = 0
    values = tuple(tuple(map(float, column.astype(np.float32))) for column in book.T)
    return Grid(header._replace(centroids=values), grid.rates)
