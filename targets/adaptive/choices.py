"""Which cuts an adaptive bundle holds: those that are best for some channel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulecut.compiler import message
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut import Cut, cuts
from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.envelope import selection_table
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph
from joulecut.compiler.link_code import DTYPES, LinkCode, frozen, sample_dims
from joulecut.compiler.objective import Objective
from joulecut.compiler.profile import Quantity
from joulecut.compiler.quantizers.grid import QUANTIZABLE
from joulecut.compiler.search import LayerCosts
from joulecut.compiler.selection_table import SelectionTable
from joulecut.compiler.uncut import all_in_cloud, all_on_edge
from joulecut.hw.energy_table import EnergyTable
from joulecut.hw.radio import RadioLink
from joulecut.targets.cut_prices import price_cuts
from joulecut.targets.selection_study import costs_of


@dataclass(frozen=True)
class Times:
    """What latency is modelled from, where nobody measured it.

    Attributes:
        edge_macs_per_s: of the edge.
        cloud_macs_per_s: of the server.
        round_trip_s: what the way costs at any rate.
    """

    edge_macs_per_s: float
    cloud_macs_per_s: float
    round_trip_s: float = 0.0

    def __post_init__(self) -> None:
        if not (self.edge_macs_per_s > 0 and self.cloud_macs_per_s > 0):
            raise ConfigError("edge_macs_per_s and cloud_macs_per_s must be positive")
        if not self.round_trip_s >= 0:
            raise ConfigError(f"round_trip_s must be 0 or more, not {self.round_trip_s}")


@dataclass(frozen=True)
class PredictedTimes:
    """What latency is modelled from where targets say their clocks: docs/search.md.

    Attributes:
        edge: what layers cost the edge; its seconds are known.
        cloud: the same of the server.
        round_trip_s: what the way costs at any rate, assumed.
    """

    edge: LayerCosts
    cloud: LayerCosts
    round_trip_s: float = 0.0


@dataclass(frozen=True)
class Ground:
    """What cuts are compared by.

    Attributes:
        objective: what is minimized.
        link: says the power of sending.
        energies: prices of computing and fetching.
        codec: how tensors are coded.
        times: None: latencies are not known.
        max_candidates: cuts that are looked at, at most.
        max_cuts: cuts that the bundle holds, at most.
    """

    objective: Objective
    link: RadioLink
    energies: EnergyTable
    codec: CodecConfig
    times: Times | PredictedTimes | None = None
    max_candidates: int = 256
    max_cuts: int = 16

    def __post_init__(self) -> None:
        if self.max_candidates < 1 or self.max_cuts < 1:
            raise ConfigError(
                f"max_candidates and max_cuts must be at least 1, not {self.max_candidates} "
                f"and {self.max_cuts}"
            )


@dataclass(frozen=True)
class Choices:
    """The cuts of an adaptive bundle; everything in the order of the table's numbers.

    Attributes:
        cuts: the ways not to cut may be among them.
        codes: how each codes what crosses.
        costs: of each.
        table: which is best for which channel.
    """

    cuts: tuple[Cut, ...]
    codes: tuple[LinkCode, ...]
    costs: tuple[CutCosts, ...]
    table: SelectionTable


def choices(graph: Graph, known: Mapping[str, np.ndarray], ground: Ground) -> Choices:
    """The cuts that the objective takes for some channel, and the table that says for which.

    Args:
        graph: integer Graph.
        known: every value of some samples, [N, ...]: they fit the codec, and what crosses at
            each cut is measured by coding them.
        ground: what cuts are compared by.

    Raises:
        ConfigError: no cut keeps the bounds at any channel, or what the objective needs of one
            is not known.
    """
    found = candidates(graph, ground.codec, ground.max_candidates)
    codes = [frozen(cut.specs, known, _settings(cut, ground.codec)) for cut in found]
    costs = _costs(graph, found, codes, known, ground)
    kept = _kept(costs, ground)
    chosen = [costs[i] for i in kept]
    return Choices(
        tuple(found[i] for i in kept),
        tuple(codes[i] for i in kept),
        tuple(chosen),
        selection_table(chosen, ground.objective),
    )


def candidates(graph: Graph, config: CodecConfig, limit: int) -> list[Cut]:
    """Everything in the cloud, at most `limit` cuts, everything on the edge; what can be coded."""
    every = [all_in_cloud(graph), *cuts(graph, limit=limit), all_on_edge(graph)]
    return [cut for cut in every if _can_be_coded(cut, config)]


def _can_be_coded(cut: Cut, config: CodecConfig) -> bool:
    lossless = _settings(cut, config).quantizer == "none"
    return all(spec.dtype in (DTYPES if lossless else QUANTIZABLE) for spec in cut.specs)


def _settings(cut: Cut, config: CodecConfig) -> CodecConfig:
    """How a cut codes; answers, which nothing is computed from, are sent as they are."""
    if cut.cloud_layers:
        return config
    return config.model_copy(update={"quantizer": "none", "rate": None})


def _costs(
    graph: Graph,
    found: Sequence[Cut],
    codes: Sequence[LinkCode],
    known: Mapping[str, np.ndarray],
    ground: Ground,
) -> list[CutCosts]:
    priced = price_cuts(graph, found, ground.energies, ground.link)
    bits = {
        cut.tensors: Quantity(message_bits(code, known), "bit", "measured")
        for cut, code in zip(found, codes, strict=True)
    }
    costs = costs_of(priced, ground.link, bits=bits)
    if ground.times is None:
        return costs
    return [
        replace(each, edge_time=edge, cloud_time=cloud)
        for each, cut in zip(costs, found, strict=True)
        for edge, cloud in [_times(cut, ground.times)]
    ]


def _times(cut: Cut, times: Times | PredictedTimes) -> tuple[Quantity, Quantity]:
    """Of the edge's part and of the rest, s."""
    if isinstance(times, Times):
        rest = cut.cloud_macs / times.cloud_macs_per_s + times.round_trip_s
        return (
            Quantity(cut.edge_macs / times.edge_macs_per_s, "s", "assumed"),
            Quantity(rest, "s", "assumed"),
        )
    edge, cloud = times.edge.seconds, times.cloud.seconds
    assert edge is not None
    assert cloud is not None
    here = set(cut.edge)
    rest = math.fsum(value for name, value in cloud.items() if name not in here)
    there = "assumed" if times.round_trip_s else times.cloud.time_provenance
    return (
        Quantity(math.fsum(edge[name] for name in cut.edge), "s", times.edge.time_provenance),
        Quantity(rest + times.round_trip_s, "s", there),
    )


def message_bits(code: LinkCode, known: Mapping[str, np.ndarray]) -> float:
    """Bits of one message, the mean over the samples."""
    columns = [list(known[spec.name].reshape(-1, *sample_dims(spec))) for spec in code.specs]
    frames = [code.pack(row) for row in zip(*columns, strict=True)]
    return 8 * (message.NUMBER_BYTES + sum(map(len, frames)) / len(frames))


def _kept(costs: Sequence[CutCosts], ground: Ground) -> list[int]:
    """The cuts that the table chooses; beyond the limit, those of the widest channels.

    Where a cut is left out another takes its channels, so the table is made anew.
    """
    among = list(range(len(costs)))
    while True:
        table = selection_table([costs[i] for i in among], ground.objective)
        width: dict[int, float] = {}
        ends = [*table.starts[1:], float("inf")]
        for start, end, choice in zip(table.starts, ends, table.choices, strict=True):
            if choice is not None:
                ratio = end / start if start else float("inf")
                width[choice] = max(ratio, width.get(choice, 0.0))
        if not width:
            raise ConfigError(
                "a cut must keep the objective's bounds at some channel, and none does; loosen "
                "them, or give infeasible='least'"
            )
        if len(width) <= ground.max_cuts:
            return [among[i] for i in sorted(width)]
        narrowest = min(width, key=lambda i: width[i])
        among = [among[i] for i in sorted(width) if i != narrowest]
