"""How many cycles a list of descriptors takes and what it reads and writes: exactly.

The engines start a descriptor after the one before it and after what it waits for, and both come
earlier in the list; so one walk over the list finds when everything happens. The memory behind the
accelerator is an ideal one: it takes a burst a cycle, and answers with a beat a cycle, the first
of them `latency` cycles after its address. docs/accelerator.md derives the equations; the names
are those of the RTL, whose counters equal the result.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from joulecut.hw.config import MacArrayConfig
from joulecut.hw.descriptors import Compute, Descriptor, Load, Memory, Operation, Store

T = TypeVar("T")

REQUANTIZE_CYCLES = 11  # jc_requantize_pkg::Latency
_TO_SUM = 8  # from the issue of a pixel to its sums
_SWAP = 4  # from the issue of a pass's first pixel to the swap of weights
_AHEAD = 3  # rows of weights that may be missing when a pass starts
_OUTSTANDING = 8  # bursts
_BURST_BEATS = 16


@dataclass(frozen=True)
class Counts:
    """The accelerator's counters after a list of descriptors, in the order of its registers."""

    cycles: int = 0
    mac_cycles: int = 0
    vector_cycles: int = 0
    idle_cycles: int = 0
    load_stalls: int = 0
    store_stalls: int = 0
    weight_stalls: int = 0
    sum_stalls: int = 0
    beats_in: int = 0
    beats_out: int = 0
    activation_reads: int = 0
    weight_reads: int = 0
    bias_reads: int = 0
    scale_reads: int = 0
    sum_updates: int = 0
    sum_drains: int = 0
    output_writes: int = 0
    finished: int = 0

    provenance = "modelled"

    def plus(self, **more: int) -> Counts:
        """The same with some counters larger."""
        return replace(self, **{name: getattr(self, name) + by for name, by in more.items()})


@dataclass
class _Engine:
    """What an engine has done, descriptor by descriptor, in cycles.

    Attributes:
        pops: when each was taken from the queue.
        ends: when the count of what has ended shows each.
    """

    pops: list[int] = field(default_factory=list[int])
    ends: list[int] = field(default_factory=list[int])

    def room(self) -> int:
        """When the queue of two takes another."""
        return self.pops[-2] + 1 if len(self.pops) > 1 else 0

    def head(self, given: int) -> int:
        """When a descriptor that is given then shows at the queue's front."""
        return max(given, self.pops[-1] if self.pops else 0) + 1

    def ended(self, count: int) -> int:
        """When as many have ended."""
        return self.ends[count - 1] if count else 0


class _Loads(_Engine):
    """Bursts are asked for a cycle each, eight ahead; their beats come without gaps."""

    walk_end = filled = ended_beats = asked = -1

    def __init__(self) -> None:
        super().__init__()
        self.lasts: list[int] = []  # cycles of last beats, of every burst

    def run(self, load: Load, ready: int, latency: int) -> int:
        """Takes the descriptor and returns the cycle from which nothing of it is left."""
        start = max(ready, self.walk_end + 1, self.filled + 1)
        self.pops.append(start)
        self.filled = max(start + 1, self.ended_beats)
        asked = start
        for beats in load.bursts():
            asked += 1
            if len(self.lasts) >= _OUTSTANDING:
                asked = max(asked, self.lasts[-_OUTSTANDING] + 1)
            first = max(asked + latency, (self.lasts[-1] + 1) if self.lasts else 0)
            self.lasts.append(first + beats - 1)
        self.walk_end = asked
        self.ended_beats = self.lasts[-1]
        self.ends.append(self.ended_beats + 2)
        return self.ended_beats + 2


class _Stores(_Engine):
    """Every burst is an address and its beats; the next waits for the last of them."""

    free = 0

    def run(self, store: Store, ready: int, latency: int) -> int:
        start = max(ready, self.free)
        self.pops.append(start)
        last = start
        data = start + 3  # when the first beat was read
        for beats in store.bursts():
            last = max(last + 2, data) + beats - 1
        answered = last + latency + 1
        self.free = answered + 1
        self.ends.append(answered + 2)
        return answered + 2


class _Computes(_Engine):
    """Strips of pixels, each summed while the one before it is requantized."""

    free = 0  # when another descriptor may start

    def __init__(self, config: MacArrayConfig) -> None:
        super().__init__()
        self.config = config
        self.drained: list[int] = []  # the last cycle of every strip's requantization
        self.weight_stalls = self.sum_stalls = 0

    def run(self, compute: Compute, ready: int) -> int:
        """Takes the descriptor at `ready`; returns the cycle from which nothing of it is left."""
        rows = self.config.rows
        steps = rows // self.config.lanes
        feed = _SWAP + 1 + rows - _AHEAD  # from pass to pass, at least
        multiplies = compute.operation is Operation.MULTIPLY
        at = ready + 1
        fed = ready + 1 + rows - _AHEAD
        for _ in range(compute.output_tiles):
            for pixels in compute.strip_pixels():
                free = self.drained[-2] + 1 if len(self.drained) > 1 else 0
                start = max(at, free, fed)
                self.sum_stalls += max(0, free - at)
                self.weight_stalls += start - max(at, free)
                period = max(pixels, feed) if multiplies else pixels
                last = start + (compute.passes - 1) * period
                self.weight_stalls += (compute.passes - 1) * (period - pixels)
                at = last + pixels
                fed = (last if multiplies else start) + feed
                complete = at + _TO_SUM
                began = max(complete, self.drained[-1] + 1 if self.drained else 0)
                self.drained.append(began + pixels * steps - 1)
        self.pops.append(at - 1)
        self.free = max(at, fed - feed + _SWAP + 1)  # the last swap is over
        self.ends.append(self.drained[-1] + REQUANTIZE_CYCLES + 3)
        return self.ends[-1]


class Walk:
    """A list of descriptors as it is counted, one after the other."""

    def __init__(self, config: MacArrayConfig, latency: int) -> None:
        self._config, self._latency = config, latency
        self._loads, self._stores, self._computes = _Loads(), _Stores(), _Computes(config)
        self._fetched = _Fetch(latency)
        self._counts = Counts()
        self._over = 0
        self._rest_from = 0  # since when nothing is computed

    def take(self, descriptor: Descriptor) -> None:
        """Count the next descriptor, which waits only for what came before it."""
        loads, stores, computes = self._loads, self._stores, self._computes
        engine = {"load": loads, "compute": computes, "store": stores}[descriptor.kind]
        given = self._fetched.give(engine.room())
        head = engine.head(given)
        waits = descriptor.waits
        loaded, stored = loads.ended(waits.load), stores.ended(waits.store)
        ready = max(head, loaded, computes.ended(waits.compute), stored)
        match descriptor:
            case Load():
                end = loads.run(descriptor, ready, self._latency)
            case Store():
                end = stores.run(descriptor, ready, self._latency)
            case Compute():
                start = max(ready, computes.free)
                load_stalls = max(0, loaded - head)
                store_stalls = max(0, ready - max(head, loaded))
                self._counts = self._counts.plus(
                    load_stalls=load_stalls,
                    store_stalls=store_stalls,
                    idle_cycles=start + 1 - self._rest_from - load_stalls - store_stalls,
                )
                end = computes.run(descriptor, start)
                self._rest_from = computes.pops[-1] + 1
        self._over = max(self._over, end)
        self._counts = self._counts.plus(**accesses(self._config, descriptor), finished=1)

    def counts(self) -> Counts:
        """What the counters show if the list ends here."""
        last = self._fetched.last
        if self._counts.finished % 2:  # the burst's other half is nothing
            last = _copied(self._fetched).give(0)
        over = max(self._over, last + 1)
        return self._counts.plus(
            cycles=over + 1,
            idle_cycles=over + 1 - self._rest_from,
            weight_stalls=self._computes.weight_stalls,
            sum_stalls=self._computes.sum_stalls,
        )

    def copy(self) -> Walk:
        """A walk that goes on from here by itself."""
        new = _copied(self)
        new._loads, new._stores = _copied(self._loads), _copied(self._stores)
        new._computes, new._fetched = _copied(self._computes), _copied(self._fetched)
        return new


def _copied(of: T) -> T:
    """The same object again, with lists of its own."""
    new = copy.copy(of)
    for name, value in vars(of).items():
        if isinstance(value, list):
            setattr(new, name, value[:])
    return new


def count(config: MacArrayConfig, descriptors: Iterable[Descriptor], *, latency: int) -> Counts:
    """What the accelerator's counters show after the list, on an ideal memory.

    Args:
        config: its sizes.
        descriptors: the list, in order; each waits only for what comes before it.
        latency: cycles from the address of a burst to its first beat, 2 or more, and from the
            last beat of a write to its answer.
    """
    walk = Walk(config, latency)
    for descriptor in descriptors:
        walk.take(descriptor)
    return walk.counts()


def accesses(config: MacArrayConfig, descriptor: Descriptor) -> dict[str, int]:
    """What one descriptor reads and writes, by counter."""
    match descriptor:
        case Load():
            return {"beats_in": descriptor.beats}
        case Store():
            return {"beats_out": descriptor.beats}
        case Compute():
            multiplies = descriptor.operation is Operation.MULTIPLY
            strips = descriptor.strips * descriptor.output_tiles
            pixels = descriptor.pixels * descriptor.output_tiles
            updates = pixels * descriptor.passes
            return {
                "mac_cycles" if multiplies else "vector_cycles": updates,
                "activation_reads": updates * (1 + descriptor.is_packed),
                "weight_reads": strips * descriptor.passes * config.rows * multiplies,
                "bias_reads": strips * config.rows,
                "scale_reads": pixels * config.rows // config.lanes,
                "sum_updates": updates,
                "sum_drains": pixels,
                "output_writes": pixels,
            }


class _Fetch:
    """Two descriptors in a burst; the next burst is asked for when both are given."""

    def __init__(self, latency: int) -> None:
        self.latency = latency
        self.last = -1  # when one was given
        self._given = 0

    def give(self, room: int) -> int:
        """When the next descriptor goes to an engine that has room then."""
        if self._given % 2 == 0:
            asked = self.last + 2
            self.last = asked + self.latency + _BURST_BEATS - 1
        self._given += 1
        self.last = max(self.last + 1, room)
        return self.last


def loads_of(descriptors: Sequence[Descriptor], memory: Memory) -> Iterator[Load]:
    """The loads into one memory, in order."""
    return (d for d in descriptors if isinstance(d, Load) and d.memory is memory)
