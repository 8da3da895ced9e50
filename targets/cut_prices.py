"""What each cut of a Graph would cost its edge, before anything is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from joulecut.compiler.cost import Cost, cost_of_layer
from joulecut.compiler.cut import Cut
from joulecut.compiler.errors import CutError
from joulecut.compiler.graph import Graph
from joulecut.compiler.layers import layers
from joulecut.hw.energy import EnergyBreakdown
from joulecut.hw.energy_table import EnergyTable
from joulecut.targets.price import Radio, SkipsZeros, price


@dataclass(frozen=True)
class PricedCut:
    """A cut and the modelled cost of its edge for one inference, sent uncompressed.

    Attributes:
        cut: where the graph is severed.
        cost: counts of the edge's layers.
        energy: their price and that of sending the tensors as they are.
        pareto: no other cut has both fewer edge MACs and fewer bytes to send.
    """

    cut: Cut
    cost: Cost
    energy: EnergyBreakdown
    pareto: bool


def price_cuts(
    graph: Graph,
    cuts: Sequence[Cut],
    table: EnergyTable,
    radio: Radio,
    memory: str = "dram",
    *,
    sparse: SkipsZeros | None = None,
) -> list[PricedCut]:
    """Price each cut, in the order given; what crosses is counted without compression.

    Args:
        graph: whose cuts they are.
        cuts: to price.
        table: prices of operations and of fetches.
        radio: prices what is sent.
        memory: where weights and biases are fetched from.
        sparse: hardware that skips zeros, which is then assumed; see `price`.
    """
    per_layer = {layer.name: cost_of_layer(layer) for layer in layers(graph)}
    front = _pareto(cuts)
    priced: list[PricedCut] = []
    for cut in cuts:
        edge = sum((per_layer[name] for name in cut.edge), Cost())
        energy = price(edge, 8 * cut.nbytes, table, radio, memory, sparse=sparse)
        priced.append(PricedCut(cut, edge, energy, cut.tensors in front))
    return priced


def cheapest(priced: Sequence[PricedCut]) -> PricedCut:
    """The cut of least modelled energy at the edge; the first of equals.

    Raises:
        CutError: there is nothing to choose from.
    """
    if not priced:
        raise CutError("graph must have a cut to choose from, not none; name the tensors")
    return min(priced, key=lambda each: each.energy.total_pj)


def _pareto(cuts: Sequence[Cut]) -> set[tuple[str, ...]]:
    """Cuts that are not beaten in both edge MACs and bytes."""
    front: set[tuple[str, ...]] = set()
    least_bytes: int | None = None
    for cut in sorted(cuts, key=lambda each: (each.edge_macs, each.nbytes)):
        if least_bytes is None or cut.nbytes < least_bytes:
            front.add(cut.tensors)
            least_bytes = cut.nbytes
    return front
