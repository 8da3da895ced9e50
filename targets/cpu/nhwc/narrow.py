"""Products of uint8 and int8 summed in 16 bits, in an order in which no sum leaves them.

x is 0..255, so the sum of some products lies within 16 bits for every x if their positive weights
sum to 128 or less and their negative weights to -128 or more:

    255 * 128 = 32640 <= 32767,    255 * -128 = -32640 >= -32768

A granule is four neighbours in x; with eight output channels it makes 16 sums of two products.
Where two weights are too large, both are halved and the granule is taken twice. Then granules
whose weights together stay within the bounds are added up two by two, and again where that fits,
before they are widened. What fits nowhere is widened alone.
"""

from __future__ import annotations

import numpy as np

from joulecut.targets.cpu.script import Array

LANES, GRANULE = 8, 4
BOUND = 128  # of the weights of a sum, of either sign
STEPS = (4, 2, 1)  # granules that are added before they are widened
HEADER = len(STEPS) + 1  # numbers: steps of each kind, bytes to the weights
ALIGNMENT = 32
_TURNS, _FEW = 16, 96


def program(weights: Array, start: int, offsets: Array) -> Array:
    """What one block of output channels computes, as bytes.

    Args:
        weights: [O, segments, length]; the block has 8 of O, or what is left.
        start: the first output channel of the block.
        offsets: where in x each granule lies, [segments, steps].

    Returns:
        The header; an offset for each granule that a step reads, in the order of `STEPS`; from a
        multiple of 32 on the weights in the same order, [8, 4] each.
    """
    outputs, segments, length = weights.shape
    steps = offsets.shape[1]
    room = np.zeros((LANES, segments, steps * GRANULE), np.int16)
    count = min(LANES, outputs - start)
    room[:count, :, :length] = weights[start : start + count]
    granules = room.reshape(LANES, segments * steps, GRANULE).transpose(1, 0, 2)
    which, parts = _halved(granules)
    groups = _groups(_load(parts.reshape(len(parts), 2 * LANES, 2)))
    order = np.concatenate([group.reshape(-1) for group in groups])
    spots = offsets.reshape(-1)[which[order]]
    header_bytes = 4 * (HEADER + len(order))
    at = -(-header_bytes // ALIGNMENT) * ALIGNMENT
    numbers = np.zeros(at // 4, np.int32)
    numbers[: HEADER + len(order)] = [*map(len, groups), at, *spots]
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


def _groups(load: Array) -> list[Array]:
    """The granules of each step, [steps, granules], in the order of `STEPS`."""
    pairs, singles = _matched(load)
    quads, doubles = _matched(load[pairs].sum(axis=1))
    return [pairs[quads].reshape(-1, 4), pairs[doubles], singles[:, None]]


def _matched(load: Array) -> tuple[Array, Array]:
    """What may be summed in twos, [n, 2], and what stays alone, [n], both in order."""
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
    return np.array(sorted(pairs), np.int64).reshape(-1, 2), np.array(sorted(singles), np.int64)


def _load(pairs: Array) -> Array:
    """What the positive, then the negative weights of each pair sum to, [n, 2 * pairs]."""
    above, below = np.maximum(pairs, 0).sum(axis=2), -np.minimum(pairs, 0).sum(axis=2)
    return np.concatenate([above, below], axis=1).astype(np.int16)
