"""What edges spend along a trajectory: one that chooses its cut, beside ones that do not.

This is Fig. 4 of the paper in docs/energy.md: PS chooses among the cuts of the compressed
network, PSNC among those of the network as it was, and the others always use one cut.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.envelope import selection_table
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.line import Line
from joulecut.compiler.objective import Objective
from joulecut.compiler.profile import Provenance, Quantity
from joulecut.hw.radio import RadioLink
from joulecut.targets.cut_prices import PricedCut

_PJ_PER_J = 1e12


@dataclass(frozen=True)
class Policy:
    """An edge that chooses for each inference.

    Attributes:
        name: "PS", "PSNC", "pool1", ...
        costs: of the cuts that it may use; of one, if it always uses that.
        objective: what it minimizes, by a table as on the edge.
    """

    name: str
    costs: tuple[CutCosts, ...]
    objective: Objective = field(default_factory=Objective)


@dataclass(frozen=True)
class Inference:
    """One inference under one policy; where nothing can be sent energies are infinite.

    Attributes:
        x: seconds per bit.
        cut: name of the cut.
        processing_j: computing and fetching at the edge.
        transmission_j: sending.
        energy_j: both, rounded once, so that it is exactly ordered as the true sums are.
        provenance: of the energies.
    """

    x: float
    cut: str
    processing_j: float
    transmission_j: float
    energy_j: float
    provenance: Provenance


@dataclass(frozen=True)
class Mean:
    """What an inference costs on average, as in the paper's Table III; units as in Inference.

    Attributes:
        cuts: how often each cut was used, by name.
    """

    processing_j: float
    transmission_j: float
    energy_j: float
    cuts: Mapping[str, int]


def policies(
    costs: Sequence[CutCosts], uncompressed: Sequence[CutCosts] | None, fixed: Sequence[str]
) -> list[Policy]:
    """PS; PSNC, if there is a network without compression; and a policy for each fixed cut.

    Args:
        costs: of every cut of the network that is deployed.
        uncompressed: of every cut of the network before compression.
        fixed: names of cuts of `costs`, the first pool or the last layer for instance.

    Raises:
        ConfigError: there is no cut of such a name.
    """
    by_name = {each.name: each for each in costs}
    for name in fixed:
        if name not in by_name:
            raise ConfigError(f"fixed cut must be one of {', '.join(by_name)}, not '{name}'")
    chosen = [Policy("PS", tuple(costs))]
    if uncompressed is not None:
        chosen.append(Policy("PSNC", tuple(uncompressed)))
    return chosen + [Policy(name, (by_name[name],)) for name in fixed]


def follow(policy: Policy, channels: Sequence[float]) -> list[Inference]:
    """One inference for each channel in turn, each after the one before.

    Args:
        policy: what chooses.
        channels: seconds per bit, as `seconds_per_bit` gives them.

    Raises:
        ConfigError: no cut keeps the objective's bounds at some channel.
    """
    table = selection_table(policy.costs, policy.objective)
    made: list[Inference] = []
    previous: int | None = None
    for at, x in enumerate(channels):
        number = table.lookup(x, previous)
        if number is None:
            raise ConfigError(
                f"policy '{policy.name}' must have a cut that keeps its bounds at channel {at} "
                f"({x:.6g} s per bit), not none; loosen them, or give infeasible='least'"
            )
        made.append(_inference(policy.costs[number], x))
        previous = number
    return made


def mean(inferences: Sequence[Inference]) -> Mean:
    """The mean over a trajectory of one inference or more."""
    if not inferences:
        raise ConfigError("trajectory must have an inference or more, not none")
    n = len(inferences)
    cuts = [each.cut for each in inferences]
    return Mean(
        math.fsum(each.processing_j for each in inferences) / n,
        math.fsum(each.transmission_j for each in inferences) / n,
        math.fsum(each.energy_j for each in inferences) / n,
        {name: cuts.count(name) for name in dict.fromkeys(cuts)},
    )


def seconds_per_bit(link: RadioLink, gains: Sequence[float]) -> list[float]:
    """The channel at each power gain, which multiplies the link's own; infinite at gain 0."""
    rates = [replace(link, gain=link.gain * gain).rate_bits_per_s for gain in gains]
    return [1 / rate if rate > 0 else math.inf for rate in rates]


def costs_of(
    priced: Sequence[PricedCut],
    link: RadioLink,
    *,
    bits: Mapping[tuple[str, ...], Quantity] | None = None,
) -> list[CutCosts]:
    """Priced cuts as what selection takes, in the same order and without times.

    Args:
        priced: their energy of computing and fetching counts, not that of sending.
        link: says the power of sending.
        bits: of what crosses as it is coded, measured for instance, by the names of a cut's
            tensors; cuts that are absent send their tensors as they are.
    """
    coded = bits or {}
    return [
        CutCosts(
            "+".join(each.cut.tensors),
            Quantity(each.energy.processing_pj / _PJ_PER_J, "J", each.energy.provenance),
            coded.get(each.cut.tensors, Quantity(8 * each.cut.nbytes, "bit", "modelled")),
            Quantity(link.power_w, "W", "modelled"),
        )
        for each in priced
    ]


def _inference(costs: CutCosts, x: float) -> Inference:
    energy = costs.energy_line
    return Inference(
        x,
        costs.name,
        energy.fixed,
        Line(0.0, energy.slope).at(x),
        energy.at(x),
        costs.energy_provenance,
    )
