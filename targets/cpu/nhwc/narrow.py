"""Products of uint8 and int8 summed in 16 bits, in an order in which no sum leaves them.

x is 0..255, so the sum of some products lies within 16 bits for every x if their positive weights
sum to 128 or less and their negative weights to -128 or more:

    255 * 128 = 32640 <= 32767,    255 * -128 = -32640 >= -32768

A granule is four neighbours in x, from any byte on; with eight output channels it makes 16 sums of
two products. Two weights that are too large together do not meet in a sum: a granule begins a byte
early, so that they fall into different pairs, or leaves the second one to the next granule. Then
granules whose weights together stay within the bounds are added up before they are widened.
"""

from __future__ import annotations

import numpy as np

from joulecut.targets.cpu.script import Array

LANES, GRANULE = 8, 4
BOUND = 128  # of the weights of a sum, of either sign
STEPS = (4, 3, 2, 1)  # granules that are added before they are widened
HEADER = len(STEPS) + 1  # numbers: steps of each kind, bytes to the weights
ALIGNMENT = 32


def program(weights: Array, start: int, begins: Array) -> Array:
    """What one block of output channels computes, as bytes.

    Args:
        weights: [O, segments, length]; the block has 8 of O, or what is left.
        start: the first output channel of the block.
        begins: where in x each segment begins, [segments].

    Returns:
        The header; an offset for each granule that a step reads, in the order of `STEPS`; from a
        multiple of 32 on the weights in the same order, [8, 4] each.
    """
    mine = weights[start : start + LANES]
    block = np.zeros((LANES, *weights.shape[1:]), np.int16)
    block[: len(mine)] = mine
    segments, firsts, granules = _granules(block)
    load = _load(granules.reshape(-1, 2 * LANES, 2)).astype(np.uint8)
    groups = _groups(load.reshape(-1, 4 * LANES))
    order = np.concatenate([group.reshape(-1) for group in groups])
    spots = begins[segments[order]] + firsts[order]
    header_bytes = 4 * (HEADER + len(order))
    at = -(-header_bytes // ALIGNMENT) * ALIGNMENT
    numbers = np.zeros(at // 4, np.int32)
    numbers[: HEADER + len(order)] = [*map(len, groups), at, *spots]
    return np.concatenate([numbers.view(np.int8), granules[order].astype(np.int8).reshape(-1)])


def _granules(block: Array) -> tuple[Array, Array, Array]:
    """Granules that hold the weights [8, segments, length], each weight once.

    Returns:
        The segment of each granule; its first byte there; its weights, [n, 8, 4].
    """
    room = np.pad(block, ((0, 0), (0, 0), (0, GRANULE)))
    pairs = np.stack([room[..., :-1], room[..., 1:]], axis=-1)
    is_large: Array = np.any(_load(pairs) > BOUND, axis=(0, 3))
    is_any: Array = np.any(block, axis=0)
    found = [
        (segment, *granule)
        for segment in range(block.shape[1])
        for granule in _covered(is_any[segment].tolist(), is_large[segment].tolist())
    ]
    segments, firsts, begins, ends = np.array(found, np.int64).reshape(-1, 4).T
    at = firsts[:, None] + np.arange(GRANULE)
    mine = (at >= begins[:, None]) & (at < ends[:, None])
    weights = np.where(mine, room[:, segments[:, None], at], 0)
    return segments, firsts, weights.transpose(1, 0, 2)


def _covered(is_any: list[bool], is_large: list[bool]) -> list[tuple[int, int, int]]:
    """Granules of a segment: the first byte, the first and the end of those whose weights it has.

    To take as many as possible each time is best: fewer that are left need no more granules.

    Args:
        is_any: of each byte, has it a weight?
        is_large: of each byte, may its weights not meet those of the next in a sum?
    """
    last = -(-len(is_any) // GRANULE) * GRANULE - GRANULE  # x is read no further
    found = list[tuple[int, int, int]]()
    at = 0
    while at < len(is_any):
        if not is_any[at]:
            at += 1
            continue
        first, end = at, at + GRANULE
        if at > last or is_large[at] or is_large[at + 2]:  # else it takes all four
            firsts = range(max(0, at - GRANULE + 1), min(at, last) + 1)
            end, first = max((_end(first, at, is_large), first) for first in firsts)
        found.append((first, at, end))
        at = end
    return found


def _end(first: int, begin: int, is_large: list[bool]) -> int:
    """Where the weights end that a granule may take from a byte on."""
    for pair in range(first, first + GRANULE, 2):
        if pair >= begin and is_large[pair]:
            return pair + 1
    return first + GRANULE


def _groups(load: Array) -> list[Array]:
    """The granules of each step, [steps, granules], in the order of `STEPS`.

    The largest first, each joins the first step in which it fits.

    Args:
        load: what the weights of each sum come to, [granules, sums].
    """
    room = np.full(load.T.shape, BOUND, np.uint8)  # [sums, steps]
    steps, full = list[list[int]](), 0  # the first steps are full
    for granule in np.argsort(load.max(axis=1), kind="stable")[::-1].tolist():
        mine = load[granule]
        fits = (room[:, full : len(steps) + 1] >= mine[:, None]).all(axis=0)
        nth = full + int(fits.argmax())
        if nth == len(steps):
            steps.append([])
        steps[nth].append(granule)
        room[:, nth] -= mine
        if len(steps[nth]) == STEPS[0]:
            room[:, nth] = 0  # nothing fits
        while full < len(steps) and len(steps[full]) == STEPS[0]:
            full += 1
    steps = sorted(map(sorted, steps))
    return [
        np.array([step for step in steps if len(step) == size], np.int64).reshape(-1, size)
        for size in STEPS
    ]


def _load(pairs: Array) -> Array:
    """What the positive and the negative weights of each pair sum to, [..., 2] => [..., 2]."""
    above, below = np.maximum(pairs, 0).sum(axis=-1), -np.minimum(pairs, 0).sum(axis=-1)
    return np.stack([above, below], axis=-1)
