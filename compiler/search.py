"""The exact best of all ways to cut a network: cut x way to code x place of the edge.

Costs add over layers, so those of every cut at every place are one product of matrices; what is
left is to look at all of it. Rounding decides nothing: candidates that are as good as the best but
for rounding are compared as the rational numbers that they are (compiler/selection.py).
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from joulecut.compiler.calibration import Calibration
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut import Cut
from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.objective import EstimationError, Objective
from joulecut.compiler.profile import Provenance, Quantity
from joulecut.compiler.selection import choose

_SLACK = 2.0**-40  # more than rounding can make of a sum over layers

Accuracy = Callable[[Cut, CodecConfig], Quantity]


@dataclass(frozen=True)
class LayerCosts:
    """What each layer of a network costs in one place, for one inference.

    Attributes:
        place: its name.
        joules: by the name of the layer.
        energy_provenance: of the joules.
        seconds: by the name of the layer; None: not known.
        time_provenance: of the seconds.
        notes: what a reader must know of them.
    """

    place: str
    joules: Mapping[str, float]
    energy_provenance: Provenance
    seconds: Mapping[str, float] | None = None
    time_provenance: Provenance = "modelled"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Space:
    """Everything that can be chosen, and what it costs.

    Attributes:
        cuts: where the network can be cut, in an order that decides ties.
        calibration: ways to code, and what they make of each tensor that crosses.
        edges: what layers cost in each place where the edge can be.
        cloud: what they cost the cloud; its energy is not the edge's. None: not known.
        power: drawn while sending, W.
        seconds_per_bit: of the channel.
    """

    cuts: tuple[Cut, ...]
    calibration: Calibration
    edges: tuple[LayerCosts, ...]
    cloud: LayerCosts | None
    power: Quantity
    seconds_per_bit: float

    def __post_init__(self) -> None:
        if not self.cuts or not self.edges:
            raise ConfigError(
                f"search must have a cut and a place, not {len(self.cuts)} and "
                f"{len(self.edges)}"
            )

    def __len__(self) -> int:
        return len(self.cuts) * len(self.calibration.settings) * len(self.edges)

    @cached_property
    def possible(self) -> np.ndarray:
        """What can be coded so, bool [cuts, settings]; the other arrays mean nothing elsewhere."""
        return ~np.isnan(self._measured(self.calibration.sqnr_db))

    @cached_property
    def bits(self) -> np.ndarray:
        """What crosses for one inference, float64 [cuts, settings]."""

        def value(cut: Cut, setting: int) -> float | None:
            bits = self.calibration.bits(cut, setting)
            return None if bits is None else bits.value

        return np.nan_to_num(self._measured(value))

    @cached_property
    def sqnr_db(self) -> np.ndarray:
        """What coding leaves of what crosses, float64 [cuts, settings]; infinite without loss."""
        return self._measured(self.calibration.sqnr_db)

    @cached_property
    def energy_j(self) -> np.ndarray:
        """Of the edge, float64 [cuts, settings, places]."""
        processing = np.stack([self._edge_sums(edge.joules) for edge in self.edges], axis=1)
        sending = self.power.value * self.seconds_per_bit * self.bits
        return processing[:, None, :] + sending[:, :, None]

    @cached_property
    def latency_s(self) -> np.ndarray | None:
        """Of an inference, float64 [cuts, settings, places]; None if a time is not known.

        Infinite at a place whose time is not known, unless that of none is.
        """
        if self.cloud is None or self.cloud.seconds is None:
            return None
        if all(edge.seconds is None for edge in self.edges):
            return None
        nowhere = np.full(len(self.cuts), math.inf)
        computing = [
            nowhere if edge.seconds is None else self._edge_sums(edge.seconds)
            for edge in self.edges
        ]
        total = math.fsum(self.cloud.seconds.values())
        cloud = total - self._edge_sums(self.cloud.seconds)
        sending = self.seconds_per_bit * self.bits
        return np.stack(computing, axis=1)[:, None, :] + (cloud[:, None] + sending)[:, :, None]

    def costs(self, cut: int, setting: int, edge: int) -> CutCosts:
        """One candidate, each number with its source."""
        chosen, place = self.cuts[cut], self.edges[edge]
        names = chosen.edge
        bits = self.calibration.bits(chosen, setting)
        assert bits is not None, (
            f"cut at {chosen.tensors} must be possible in setting {setting}"
        )
        return CutCosts(
            name=" + ".join(chosen.tensors),
            processing=Quantity(
                math.fsum(place.joules[name] for name in names), "J", place.energy_provenance
            ),
            bits=bits,
            power=self.power,
            edge_time=_time(place, names),
            cloud_time=None if self.cloud is None else _time(self.cloud, _rest(self, chosen)),
        )

    def _measured(self, of: Callable[[Cut, int], float | None]) -> np.ndarray:
        """A number for each cut and setting, NaN for None."""
        settings = range(len(self.calibration.settings))
        found = [[of(cut, s) for s in settings] for cut in self.cuts]
        return np.array([[math.nan if each is None else each for each in row] for row in found])

    @cached_property
    def _membership(self) -> np.ndarray:
        """Which layers each cut has on its edge, float64 [cuts, layers]."""
        number = {name: i for i, name in enumerate(self.edges[0].joules)}
        found = np.zeros((len(self.cuts), len(number)))
        for row, cut in zip(found, self.cuts, strict=True):
            row[[number[name] for name in cut.edge]] = 1
        return found

    def _edge_sums(self, by_layer: Mapping[str, float]) -> np.ndarray:
        """The sum over the edge's layers, float64 [cuts]."""
        order = self.edges[0].joules
        return self._membership @ np.array([by_layer[name] for name in order])


@dataclass(frozen=True)
class Candidate:
    """One way to cut, code and place, and what it costs.

    Attributes:
        cut: where.
        setting: how what crosses is coded.
        place: of the edge.
        costs: each number with its source; its accuracy, if that was measured.
        energy_j: of the edge, at the channel of the search.
        latency_s: of an inference; None: not known.
        sqnr_db: what coding leaves of what crosses; infinite without loss.
    """

    cut: Cut
    setting: CodecConfig
    place: str
    costs: CutCosts
    energy_j: float
    latency_s: float | None
    sqnr_db: float


def search(
    space: Space, objective: Objective, accuracy: Accuracy | None = None
) -> Candidate | None:
    """The best candidate, the first of equals in the order cut, setting, place.

    Args:
        space: all candidates.
        objective: what is minimized and what is bounded; margin, which needs an inference
            before, is not used.
        accuracy: measures a cut with a way to code. It is asked only of candidates that are
            better than all others that could be accurate enough, the best first.

    Returns:
        None: no candidate keeps the bounds.

    Raises:
        ConfigError: the objective needs a time or an accuracy that is not known.
    """
    if objective.min_accuracy is not None and accuracy is None:
        raise ConfigError(
            "min_accuracy must come with labels to measure accuracy; give --labels"
        )
    open_ = _possible(space, objective)
    value = _value(space, objective)
    bounded = Objective(
        objective.energy_weight,
        objective.latency_weight,
        objective.max_energy_j,
        objective.max_latency_s,
        error=objective.error,
    )
    while open_.any():
        least = value[open_].min()
        near = np.argwhere(open_ & (value <= least + abs(least) * _SLACK))
        costs = [space.costs(*map(int, at)) for at in near]
        best = choose(costs, space.seconds_per_bit, bounded)
        if best is None:  # rounding alone had let them in
            open_[tuple(near.T)] = False
            continue
        cut, setting, edge = map(int, near[best])
        if objective.min_accuracy is not None and accuracy is not None:
            found = accuracy(space.cuts[cut], space.calibration.settings[setting])
            if found.value < objective.min_accuracy:
                open_[cut, setting, :] = False
                continue
            return _candidate(space, (cut, setting, edge), found)
        return _candidate(space, (cut, setting, edge), None)
    return None


def pareto(space: Space, objective: Objective | None = None) -> list[Candidate]:
    """Candidates that none beats in energy, latency and SQNR together, cheapest first.

    Of candidates that are equal in all three the first stands for all; without times, energy and
    SQNR decide.

    Args:
        space: all candidates.
        objective: its bounds of energy and latency hold for the front, too.
    """
    open_ = _possible(space, objective or Objective())
    at = np.argwhere(open_)
    index = tuple(at.T)
    latency = space.latency_s
    energy = space.energy_j[index]
    time = np.zeros(len(at)) if latency is None else latency[index]
    loss = -space.sqnr_db[index[0], index[1]]
    return [_candidate(space, tuple(map(int, at[i])), None) for i in _front(energy, time, loss)]


def _front(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> list[int]:
    """Positions of what is not beaten in three numbers, smaller being better, by the first.

    A point is beaten by an earlier one in the order of the first number that is no worse in the
    other two. Of those met so far only the staircase counts: rising in the second number,
    falling in the third.
    """
    order = np.lexsort((third, second, first))
    steps: list[tuple[float, float]] = []
    kept: list[int] = []
    for i in order:
        point = (float(second[i]), float(third[i]))
        before = bisect_left(steps, (point[0], math.inf)) - 1
        if before >= 0 and steps[before][1] <= point[1]:
            continue
        kept.append(int(i))
        at = bisect_left(steps, point)
        end = at
        while end < len(steps) and steps[end][1] >= point[1]:
            end += 1
        del steps[at:end]
        insort(steps, point)
    return kept


def _possible(space: Space, objective: Objective) -> np.ndarray:
    """Which candidates may keep the bounds, but for rounding: bool [cuts, settings, places]."""
    open_ = np.broadcast_to(space.possible[:, :, None], space.energy_j.shape).copy()
    error = objective.error or EstimationError(0.0)
    for bound, values in (
        (objective.max_energy_j, space.energy_j),
        (objective.max_latency_s, space.latency_s),
    ):
        if bound is None:
            continue
        if values is None:
            raise _no_times()
        sending = _sending(space, is_energy=values is space.energy_j)
        open_ &= values + sending * (error.bound_factor - 1) <= bound * (1 + _SLACK)
    return open_


def _value(space: Space, objective: Objective) -> np.ndarray:
    """What is minimized, float64 [cuts, settings, places]."""
    factor = (objective.error or EstimationError(0.0)).mean_factor - 1
    value = objective.energy_weight * (
        space.energy_j + factor * _sending(space, is_energy=True)
    )
    if objective.latency_weight:
        if space.latency_s is None:
            raise _no_times()
        late = space.latency_s + factor * _sending(space, is_energy=False)
        value = value + objective.latency_weight * late
    return value


def _sending(space: Space, *, is_energy: bool) -> np.ndarray:
    """Joules or seconds of sending, float64 [cuts, settings, 1]."""
    bits = np.where(
        np.isfinite(space.bits), space.bits, 0.0
    )  # what is not possible is not asked
    seconds = space.seconds_per_bit * bits[:, :, None]
    return space.power.value * seconds if is_energy else seconds


def _candidate(space: Space, at: tuple[int, ...], accuracy: Quantity | None) -> Candidate:
    cut, setting, edge = at
    costs = space.costs(cut, setting, edge)
    if accuracy is not None:
        costs = CutCosts(
            costs.name,
            costs.processing,
            costs.bits,
            costs.power,
            costs.edge_time,
            costs.cloud_time,
            accuracy,
        )
    known = costs.edge_time is not None and costs.cloud_time is not None
    x = space.seconds_per_bit
    return Candidate(
        space.cuts[cut],
        space.calibration.settings[setting],
        space.edges[edge].place,
        costs,
        costs.energy_line.at(x),
        costs.latency_line.at(x) if known else None,
        float(space.sqnr_db[cut, setting]),
    )


def _time(place: LayerCosts, names: Sequence[str]) -> Quantity | None:
    if place.seconds is None:
        return None
    total = math.fsum(place.seconds[name] for name in names)
    return Quantity(total, "s", place.time_provenance)


def _rest(space: Space, cut: Cut) -> list[str]:
    edge = set(cut.edge)
    return [name for name in space.edges[0].joules if name not in edge]


def _no_times() -> ConfigError:
    return ConfigError(
        "latency must be known to weigh or bound it; choose targets that name a clock, or give "
        "a profile"
    )
