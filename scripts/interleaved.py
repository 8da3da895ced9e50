"""Time several calls in one run: a block of each, again and again, so that noise meets all alike."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Call = Callable[[], object]

_WARM_UP = 3
_FEWEST_ROUNDS, _MOST_ROUNDS = 5, 80


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, a number for each block.

    Attributes:
        blocks: means over the calls of a block.
        calls: in each block.
    """

    blocks: tuple[float, ...]
    calls: int

    @property
    def minimum(self) -> float:
        """The fastest block."""
        return min(self.blocks)

    @property
    def median(self) -> float:
        """The block in the middle."""
        return statistics.median(self.blocks)


def interleaved(
    calls: Mapping[str, Call],
    budget_s: float,
    block_s: float = 2e-3,
    clock: Callable[[], float] = time.perf_counter,
    rest_s: float = 0.0,
) -> dict[str, Timing]:
    """Blocks of A, B, C, A, B, C ...

    Args:
        calls: what to time.
        budget_s: for all of it; kept to within 5 and 80 rounds.
        block_s: a block repeats its call until it lasts about so long.
        clock: seconds.
        rest_s: before each block, followed by a call that does not count: threads that spin on
            after a call would otherwise take a processor from the next.
    """
    counts: dict[str, int] = {}
    round_s = 0.0
    for name, call in calls.items():
        single = min(_seconds(call, 1, clock) for _ in range(_WARM_UP))
        counts[name] = max(1, math.ceil(block_s / max(single, 1e-9)))
        round_s += counts[name] * single + rest_s
    rounds = int(budget_s / max(round_s, 1e-9))
    rounds = min(max(rounds, _FEWEST_ROUNDS), _MOST_ROUNDS)
    found: dict[str, list[float]] = {name: [] for name in calls}
    collects = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in calls.items():
                if rest_s:
                    time.sleep(rest_s)
                    call()
                found[name].append(_seconds(call, counts[name], clock) / counts[name])
    finally:
        if collects:
            gc.enable()
    return {name: Timing(tuple(blocks), counts[name]) for name, blocks in found.items()}


def _seconds(call: Call, count: int, clock: Callable[[], float]) -> float:
    started = clock()
    for _ in range(count):
        call()
    return clock() - started
