"""Descriptors in order, with what each waits for.

The accelerator's memories are rings: what is loaded or computed next takes the words behind what
came before, and waits until whoever used them last has ended. A step is some loads, a computation
and a store; the loads of the next step are listed before the computation of this one wherever
everything that they wait for is listed by then, so that they run beside it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from joulecut.hw.config import MacArrayConfig
from joulecut.hw.descriptors import Compute, Descriptor, Load, Store, Waits

_IN_FLIGHT = 1 << 15  # ends that a wait may lie behind, at most


class Ring:
    """Words of a memory, given out one behind the other.

    Args:
        words: of the memory.
        halves: words are given out in the halves of the memory as a whole.
    """

    def __init__(self, words: int) -> None:
        self.words = words
        self._next = 0
        self._taken: list[tuple[int, int, Room]] = []

    def take(self, words: int, *, half: bool = False) -> Room:
        """Room for some words; if `half`, that half of the memory in which they lie is taken."""
        assert 0 < words <= self.words // (2 if half else 1), "tiles fit their memories"
        start = self._next
        if half:
            middle = self.words // 2
            start = 0 if start == 0 or start > middle else middle
            end = start + middle
        else:
            if start + words > self.words:
                start = 0
            end = start + words
        overlapped = [room for a, b, room in self._taken if a < end and start < b]
        self._taken = [(a, b, r) for a, b, r in self._taken if not (start <= a and b <= end)]
        room = Room(start, overlapped)
        self._taken.append((start, end, room))
        self._next = end % self.words
        return room


@dataclass
class Room:
    """Words that were given out.

    Attributes:
        word: the first of them.
        before: who had some of them before.
        user: the last step that uses them; -1 while there is none.
    """

    word: int
    before: list[Room]
    user: int = -1

    def free_after(self) -> int:
        """The step after which the words may be overwritten; -1 if at once."""
        return max((room.user for room in self.before), default=-1)


@dataclass
class PlannedLoad:
    """A load of a step.

    Attributes:
        load: without waits.
        room: which it fills.
        after: the step whose store made what it reads; -1 if it was there from the start.
    """

    load: Load
    room: Room
    after: int = -1


@dataclass
class Step:
    """A computation, what it needs and what becomes of its result.

    Attributes:
        loads: those that no step before has done.
        compute: without waits.
        store: without waits.
        room: of the output memory.
        label: of the layer.
    """

    loads: list[PlannedLoad]
    compute: Compute
    store: Store
    room: Room
    label: str = ""


@dataclass
class Listed:
    """Descriptors of a schedule, and the layer that each belongs to."""

    descriptors: list[Descriptor] = field(default_factory=list[Descriptor])
    labels: list[str] = field(default_factory=list[str])


def listed(steps: Sequence[Step]) -> Listed:
    """The descriptors of all steps, in the order in which the accelerator reads them."""
    found = Listed()
    counts = {"load": 0, "compute": 0, "store": 0}
    loads_of = [0] * len(steps)  # loads that have to end before a step computes
    open_loads: deque[tuple[int, PlannedLoad]] = deque()

    def add(descriptor: Descriptor, label: str) -> None:
        found.descriptors.append(descriptor)
        found.labels.append(label)
        counts[descriptor.kind] += 1

    def is_listed(step: int) -> bool:
        return step < counts["compute"] and step < counts["store"]

    def try_loads(step: int, condition: Callable[[PlannedLoad], bool]) -> None:
        while open_loads and open_loads[0][0] <= step and condition(open_loads[0][1]):
            number, planned = open_loads.popleft()
            waits = Waits(compute=planned.room.free_after() + 1, store=planned.after + 1)
            add(replace(planned.load, waits=waits), steps[number].label)
            loads_of[number] = counts["load"]

    for number, step in enumerate(steps):
        open_loads += [(number, planned) for planned in step.loads]
    needed = 0
    for number, step in enumerate(steps):
        try_loads(number, lambda _: True)
        needed = max(needed, loads_of[number])
        try_loads(number + 1, lambda p: is_listed(p.room.free_after()) and is_listed(p.after))
        waits = Waits(load=needed, store=step.room.free_after() + 1)
        add(replace(step.compute, waits=waits), step.label)
        add(replace(step.store, waits=Waits(compute=number + 1)), step.label)
    assert not open_loads
    return found


@dataclass
class Memories:
    """The accelerator's memories while a schedule is made."""

    activations: Ring
    weights: Ring
    parameters: Ring
    outputs: Ring

    @classmethod
    def of(cls, config: MacArrayConfig) -> Memories:
        """All free."""
        return cls(
            Ring(config.activation_words),
            Ring(config.weight_words),
            Ring(config.parameter_words),
            Ring(config.output_words),
        )
