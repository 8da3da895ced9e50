"""Which tile for which convolution: trials in the order of what they may save.

Convolutions of one signature are one subject. Each trial goes to the subject with the most to
gain, share of the part's cost / (1 + tiles tried), and takes its tile with the least predicted cost. What
a trial finds is stored at once, so that a search may end at any time and another goes on from there.

    predicted(tile) = modelled(tile) * exp(sum w * log(found / modelled) / (sum w + PRIOR))

over the tiles that were tried and the default, with w = exp(-distance**2): where the model was
wrong about a tile it is taken to be as wrong about those near to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log, log2

from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.kernels import Choice
from joulecut.targets.cpu.tuning.costs import GAIN
from joulecut.targets.cpu.tuning.database import Database, Found

MOST = 32  # tiles of a subject that are tried
LEAST = 6  # before a subject is given up
WORST = 1.1  # predicted cost, in costs of the best so far, above which no tile is worth a trial
PRIOR = 0.3  # weight of the model where it was not wrong

Store = Callable[[str, Found], None]
Costs = Callable[[Conv, Sequence[Choice]], tuple[float, ...]]


@dataclass(frozen=True)
class Subject:
    """Convolutions of one signature.

    Attributes:
        signature: of all of them.
        work: one of them.
        count: how many there are in the part.
        default: the choice without a search.
        candidates: others, and their modelled costs in costs of the default.
        first: that of them which is tried before all others.
    """

    signature: str
    work: Conv
    count: int
    default: Choice
    candidates: Mapping[Choice, float]
    first: Choice | None = None


@dataclass(frozen=True)
class Trials:
    """Where a search is.

    Attributes:
        signature: what was tried last.
        found: what is known of it now.
        done: subjects of which nothing is left that is worth a trial.
        subjects: all of them.
        left_s: until the search ends.
    """

    signature: str
    found: Found
    done: int
    subjects: int
    left_s: float


def search(
    subjects: Sequence[Subject],
    costs: Costs,
    known: Mapping[str, Found],
    store: Store,
    budget_s: float,
    *,
    unit: str,
    how: str,
    progress: Callable[[Trials], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Database:
    """Try tiles until time is up or nothing is left to be tried.

    Args:
        subjects: what the part computes.
        costs: of choices for a convolution, found side by side.
        known: what earlier searches found in the same way.
        store: is told of each result, by signature.
        budget_s: no trial begins after so many seconds.
        unit: of costs.
        how: they are found.
        progress: is told after each trial.
        clock: seconds.

    Returns:
        What is known now of the subjects, by signature; nothing of those that were never tried.
    """
    end = clock() + budget_s
    states = [_State(subject, known.get(subject.signature)) for subject in subjects]
    while clock() < end:
        rate = _rate(states)
        state = max((s for s in states if s.next), key=lambda s: s.promise(rate), default=None)
        if state is None or state.next is None:
            break
        state.take(costs(state.subject.work, [state.subject.default, state.next]), unit, how)
        store(state.subject.signature, state.known)
        done = sum(s.next is None for s in states)
        left_s = max(0.0, end - clock())
        progress(Trials(state.subject.signature, state.known, done, len(states), left_s))
    return {s.subject.signature: s.known for s in states if s.found is not None}


class _State:
    """A subject, what is known of it, and what is tried next; `found` is None before a trial."""

    def __init__(self, subject: Subject, found: Found | None) -> None:
        self.subject, self.found = subject, found
        self.next = self._next()

    @property
    def known(self) -> Found:
        assert self.found is not None
        return self.found

    @property
    def tried(self) -> Mapping[Choice, float]:
        return {} if self.found is None else self.found.tried

    def promise(self, rate: float) -> float:
        """What the next trial may save: `rate` is the cost of a product where none is known."""
        cost = self.subject.work.macs * rate if self.found is None else self.found.default_cost
        return cost * self.subject.count / (1 + len(self.tried))

    def take(self, costs: tuple[float, ...], unit: str, how: str) -> None:
        """What a trial of the default and the next choice found.

        A better tile must gain over the default, and more than the best so far.
        """
        default_cost, cost = (round(one, 1) for one in costs)
        choice, default = self.next, self.subject.default
        assert choice is not None
        found = self.found or Found(default, default_cost, default, default_cost, unit, how)
        ratio = round(cost / default_cost, 3)  # as it is stored
        if ratio * GAIN <= 1 and ratio < found.ratio:
            found = replace(found, best=choice, cost=cost, default_cost=default_cost)
        self.found = replace(found, tried={**found.tried, choice: ratio})
        self.next = self._next()

    def _next(self) -> Choice | None:
        """The least predicted cost, unless enough was tried or nothing is promising."""
        first = self.subject.first
        if first is not None and first not in self.tried:
            return first
        untried = [choice for choice in self.subject.candidates if choice not in self.tried]
        if not untried or len(self.tried) >= MOST:
            return None
        least, _, choice = min(
            (self._predicted(choice), str(choice), choice) for choice in untried
        )
        best = min([1.0, *self.tried.values()])
        is_hopeless = len(self.tried) >= LEAST and least > WORST * best
        return None if is_hopeless else choice

    def _predicted(self, choice: Choice) -> float:
        modelled = self.subject.candidates
        weights, errors = PRIOR, 0.0
        for other, ratio in {self.subject.default: 1.0, **self.tried}.items():
            near = exp(-_distance2(choice, other))
            weights += near
            errors += near * log(ratio / modelled.get(other, 1.0))
        return modelled[choice] * exp(errors / weights)


def _distance2(one: Choice, two: Choice) -> float:
    """Between two choices; doubling a size is a distance of 1."""
    a, b = one.tile, two.tile
    sizes = [(a.rows, b.rows), (a.columns, b.columns), (a.blocks, b.blocks)]
    sizes.append((a.rows * a.columns * a.blocks, b.rows * b.columns * b.blocks))
    found = sum(log2(x / y) ** 2 for x, y in sizes)
    return found + (a.order != b.order) / 4 + 4 * (one.family != two.family)


def _rate(states: Sequence[_State]) -> float:
    """Cost of a product in what was tried."""
    known = [(s.found.default_cost, s.subject.work.macs) for s in states if s.found is not None]
    return sum(cost for cost, _ in known) / max(1, sum(macs for _, macs in known)) or 1.0
