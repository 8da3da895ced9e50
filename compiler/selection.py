"""Which cut to use for the present channel: the exact minimum over all cuts.

The channel is one number, x, the seconds that a bit takes (1 / rate; infinite at gain 0).
docs/selection.md says what is minimized; compiler/selection_table.py makes a table of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.line import Line, least
from joulecut.compiler.objective import EstimationError, Infeasible, Objective

MAX_CUTS = 0xFFFF  # a number of 16 bits names one, and the last number names none


@dataclass(frozen=True)
class Problem:
    """Cuts and an objective as lines; `problem` makes it.

    Attributes:
        allowed: numbers of the cuts that are accurate enough, in order.
        lines: what is minimized, of every cut.
        bounds: lines of every cut, with what they must not exceed.
        infeasible: as in Objective.
        margin: as in Objective.
    """

    allowed: tuple[int, ...]
    lines: tuple[Line, ...]
    bounds: tuple[tuple[tuple[Line, ...], float], ...]
    infeasible: Infeasible
    margin: float

    def in_force(self, x: float) -> tuple[tuple[Line, ...], tuple[int, ...]]:
        """What is minimized at x, and over which cuts; no cut where there is none to choose."""
        kept = [
            i
            for i in self.allowed
            if all(lines[i].within(bound, x) for lines, bound in self.bounds)
        ]
        if kept or self.infeasible == "none":
            return self.lines, tuple(kept)
        ((lines, _),) = self.bounds
        return lines, self.allowed

    def choose(self, x: float, previous: int | None = None) -> int | None:
        """As the function `choose`."""
        check_channel(x, previous, len(self.lines))
        lines, among = self.in_force(x)
        if not among:
            return None
        best = least(lines, among, x)
        if self.margin and previous in among:
            fixed, slope = excess(lines[previous], lines[best], self.margin)
            low_enough = fixed + slope * Fraction(x) <= 0 if x < math.inf else slope < 0
            if low_enough or (slope == 0 and fixed <= 0):
                return previous
        return best


def problem(costs: Sequence[CutCosts], objective: Objective) -> Problem:
    """Prepare to choose among cuts.

    Raises:
        ConfigError: there is no cut, none is accurate enough, or what the objective needs of
            one is not known.
    """
    if not 1 <= len(costs) <= MAX_CUTS:
        raise ConfigError(f"costs must be of 1 to {MAX_CUTS} cuts, not {len(costs)}")
    needs_latency = objective.latency_weight or objective.max_latency_s is not None
    energies = tuple(each.energy_line for each in costs)
    latencies = tuple(each.latency_line for each in costs) if needs_latency else ()
    error = objective.error or EstimationError(0.0)
    bounds = [
        (tuple(line.scaled(error.bound_factor) for line in lines), bound)
        for lines, bound in (
            (energies, objective.max_energy_j),
            (latencies, objective.max_latency_s),
        )
        if bound is not None
    ]
    lines = [
        _sum(energy, latency, objective).scaled(error.mean_factor)
        for energy, latency in zip(
            energies, latencies or (Line(0.0, 0.0),) * len(costs), strict=True
        )
    ]
    return Problem(
        _accurate(costs, objective.min_accuracy),
        tuple(lines),
        tuple(bounds),
        objective.infeasible,
        objective.margin,
    )


def choose(
    costs: Sequence[CutCosts], x: float, objective: Objective, previous: int | None = None
) -> int | None:
    """The number of the best cut for a channel, the first of equals.

    Args:
        costs: of the cuts, in an order that decides ties.
        x: seconds per bit, 0 to infinity; at infinity the limit decides.
        objective: what is minimized.
        previous: the cut of the inference before, which the objective's margin may keep.

    Returns:
        The position in `costs`, or None where no cut keeps the bounds.

    Raises:
        ConfigError: see `problem`; or x or `previous` is out of range.
    """
    return problem(costs, objective).choose(x, previous)


def check_channel(x: float, previous: int | None, n_cuts: int) -> None:
    """Refuse what is no channel, or no cut."""
    if not x >= 0:
        raise ConfigError(f"x must be 0 or more seconds per bit, not {x}")
    if previous is not None and not 0 <= previous < n_cuts:
        raise ConfigError(f"previous must be in 0..{n_cuts - 1} or None, not {previous}")


def excess(line: Line, best: Line, margin: float) -> tuple[Fraction, Fraction]:
    """The line of what one costs beyond 1 + margin times another: fixed part and slope."""
    factor = 1 + Fraction(margin)
    return (
        Fraction(line.fixed) - factor * Fraction(best.fixed),
        Fraction(line.slope) - factor * Fraction(best.slope),
    )


def _sum(energy: Line, latency: Line, objective: Objective) -> Line:
    joule, second = objective.energy_weight, objective.latency_weight
    return Line(
        joule * energy.fixed + second * latency.fixed,
        joule * energy.slope + second * latency.slope,
    )


def _accurate(costs: Sequence[CutCosts], least_accuracy: float | None) -> tuple[int, ...]:
    """Numbers of the cuts that are accurate enough."""
    if least_accuracy is None:
        return tuple(range(len(costs)))
    known: list[float] = []
    for each in costs:
        if each.accuracy is None:
            raise ConfigError(
                f"accuracy of cut '{each.name}' must be known to bound it; measure it"
            )
        known.append(each.accuracy.value)
    if max(known) < least_accuracy:
        raise ConfigError(
            f"min_accuracy must be at most {max(known)}, the best of the cuts, "
            f"not {least_accuracy}"
        )
    return tuple(i for i, value in enumerate(known) if value >= least_accuracy)
