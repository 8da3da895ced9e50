"""Products of uint8 and int8 summed in 16 bits, in an order in which no sum leaves them.

x is 0..255, so the sum of some products lies within 16 bits for every x if their positive weights
sum to 128 or less and their negative weights to -128 or more:

    255 * 128 = 32640 <= 32767,    255 * -128 = -32640 >= -32768

A granule is four neighbours in x; with eight output channels it makes 16 sums of two products.
Where two weights are too large, both are halved and the granule is taken twice. Then granules
whose weights together stay within the bounds are added up two by two before they are widened.
What fits nowhere is widened alone.
"""

from __future__ import annotations

import numpy as np

from joulecut.targets.cpu.script import Array

LANES, GRANULE = 8, 4
BOUND = 128  # of the weights of a sum, of either sign
HEADER = 3  # numbers: double steps, single steps, bytes to the weights
ALIGNMENT = 32
_TURNS, _FEW = 16, 96


def program(weights: Array, start: int, offsets: Array) -> Array:
    """What one block of output channels computes, as bytes.

    Args:
        weights: [O, segments, length]; the block has 8 of O, or what is left.
        start: the first output channel of the block.
        offsets: where in x each granule lies, [segments, steps].

    Returns:
        The header; an offset for each granule that a step reads, two for each double step first;
        from a multiple of 32 on the weights in the same order, [8, 4] each.
    """
    outputs, segments, length = weights.shape
    steps = offsets.shape[1]
    room = np.zeros((LANES, segments, steps * GRANULE), np.int16)
    count = min(LANES, outputs - start)
    room[:count, :, :length] = weights[start : start + count]
    granules = room.reshape(LANES, segments * steps, GRANULE).transpose(1, 0, 2)
    which, parts = _halved(granules)
    pairs, singles = _matched(parts)
    order = np.array([*(i for pair in pairs for i in pair), *singles], np.int64)
    spots = offsets.reshape(-1)[which[order]]
    header_bytes = 4 * (HEADER + len(order))
    at = -(-header_bytes // ALIGNMENT) * ALIGNMENT
    numbers = np.zeros(at // 4, np.int32)
    numbers[: HEADER + len(order)] = [len(pairs), len(singles), at, *spots]
    return np.concatenate([numbers.view(np.int8), parts[order].astype(np.int8).reshape(-1)])


def _halved(granules: Array) -> tuple[Array, Array]:
    """Granules whose pairs are all within the bounds: their numbers, and weights [n, 8, 4]."""
    pairs = granules.reshape(len(granules), -1, 2)
    is_large = _load(pairs).reshape(len(granules), 2, -1).max(axis=1) > BOUND
    rest = np.where(is_large[:, :, None], pairs // 2, 0)
    main = pairs - rest
    parts = np.concatenate([main, rest])
    kept = np.flatnonzero(parts.any(axis=(1, 2)))
    return kept % len(granules), parts[kept].reshape(-1, LANES, GRANULE)


def _matched(parts: Array) -> tuple[list[tuple[int, int]], list[int]]:
    """Granules that may be summed in twos, and those that stay alone."""
    load = _load(parts.reshape(len(parts), 2 * LANES, 2))
    left = np.argsort(-load.max(axis=1), kind="stable")  # the largest first
    pairs, singles = list[tuple[int, int]](), list[int]()
    for turn in range(_TURNS):  # all at once, large with small, until few are left
        if len(left) <= _FEW:
            break
        half = len(left) // 2
        large, small = left[:half], np.roll(left[-half:][::-1], turn)
        fits = (load[large] + load[small] <= BOUND).all(axis=1)
        pairs += zip(large[fits].tolist(), small[fits].tolist(), strict=True)
        left = left[~np.isin(left, np.concatenate([large[fits], small[fits]]))]
    while len(left):  # each with the largest that fits
        first, left = left[0], left[1:]
        fits = (load[left] <= BOUND - load[first]).all(axis=1)
        if fits.any():
            nth = int(fits.argmax())
            pairs.append((int(first), int(left[nth])))
            left = np.delete(left, nth)
        else:
            singles.append(int(first))
    return sorted(pairs), sorted(singles)


def _load(pairs: Array) -> Array:
    """What the positive, then the negative weights of each pair sum to, [n, 2 * pairs]."""
    above, below = np.maximum(pairs, 0).sum(axis=2), -np.minimum(pairs, 0).sum(axis=2)
    return np.concatenate([above, below], axis=1).astype(np.int16)
