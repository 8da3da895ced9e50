"""The energy paper's network as joulecut would deploy it: int8, pruned, its tensors coded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from joulecut.compiler import codec
from joulecut.compiler.cut import Cut, cuts
from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.graph import Graph, input_specs
from joulecut.compiler.passes.prune_filters import PruneFilters
from joulecut.compiler.profile import Quantity
from joulecut.compiler.reference import run_reference, trace
from joulecut.hw.energy import EnergyTable
from joulecut.hw.radio import RadioLink
from joulecut.repro.claims import Claim, statement
from joulecut.repro.digit_counts import cut_costs, layer_counts
from joulecut.repro.energy_networks import Network, Trained
from joulecut.repro.energy_printed import fetch_prices
from joulecut.repro.study import Table
from joulecut.targets.cut_prices import price_cuts
from joulecut.targets.price import SkipsZeros
from joulecut.targets.selection_study import costs_of
from joulecut.zoo.data.images import ImageSplit
from joulecut.zoo.quantize import quantize
from joulecut.zoo.sparsify import load_float

CALIBRATION = 512  # images
CODED = 100  # held-out images, whose tensors are coded
AT_LEAST = 3.0  # times less energy than PSNC


@dataclass(frozen=True)
class Deployed:
    """The best cut of one way to deploy, at |h|^2 = 1; energies in J.

    Attributes:
        way: what it is.
        cut: name of the best one.
        processing: computing and fetching.
        sending: over the link.
        provenance: of the sum.
    """

    way: str
    cut: str
    processing: float
    sending: float
    provenance: str

    @property
    def energy(self) -> float:
        """Both, J."""
        return self.processing + self.sending


def integer(network: Network, data: ImageSplit) -> Graph:
    """The int8 Graph of a network, without filters and neurons that do nothing."""
    graph = quantize(load_float(network.path), data.train.images[:CALIBRATION])
    return PruneFilters()(graph)


def accuracy(graph: Graph, data: ImageSplit) -> float:
    """The fraction of held-out images that the reference gets right."""
    ((spec),) = input_specs(graph)
    (logits,) = run_reference(graph, {spec.name: data.held_out.images})
    return float((logits.argmax(axis=1) == data.held_out.labels).mean())


def inner_cuts(graph: Graph) -> list[Cut]:
    """Cuts behind a layer that computes: raw images are no representation, and stay private."""
    return [cut for cut in cuts(graph) if cut.edge_macs]


def coded_bits(
    graph: Graph, found: Sequence[Cut], images: np.ndarray
) -> dict[tuple[str, ...], Quantity]:
    """Mean bits of what crosses each cut, coded without loss, over held-out images.

    Args:
        graph: an integer Graph of one input.
        found: its cuts.
        images: float32 [N, ...].
    """
    ((spec),) = input_specs(graph)
    values = trace(graph, {spec.name: images})
    return {
        cut.tensors: Quantity(
            8 * float(np.mean([_coded(values, cut, i) for i in range(len(images))])),
            "bit",
            "measured",
        )
        for cut in found
    }


def _coded(values: dict[str, np.ndarray], cut: Cut, sample: int) -> int:
    return len(codec.pack([values[name][sample] for name in cut.tensors]))


def study(
    trained: Trained, data: ImageSplit, table: EnergyTable, link: RadioLink, why_not: str
) -> tuple[list[Claim], list[Table]]:
    """Our deployments beside PSNC, and the claim about the best of them.

    Args:
        trained: the networks.
        data: what they were trained on.
        table: prices; fetches at the middle of their range.
        link: the paper's of 15 MHz.
        why_not: a reason why claims need not hold; "" if they must.
    """
    middle = fetch_prices(table)["middle"]
    dense, sparse = (
        cut_costs(layer_counts(n.parameters), table, middle, link.power_w)
        for n in (trained.dense, trained.chosen)
    )
    ways = [
        _best("float32, unpruned: PSNC", dense, link),
        _best("float32, pruned, zeros skipped: PS", sparse, link),
    ]
    graphs = {"unpruned": trained.dense, "pruned": trained.chosen}
    accuracies: dict[str, float] = {}
    for name, network in graphs.items():
        graph = integer(network, data)
        accuracies[name] = accuracy(graph, data)
        found = inner_cuts(graph)
        bits = coded_bits(graph, found, data.held_out.images[:CODED])
        plain = price_cuts(graph, found, table, link)
        ways.append(_best(f"int8, {name}", costs_of(plain, link), link))
        ways.append(_best(f"int8, {name}, coded", costs_of(plain, link, bits=bits), link))
        if name == "pruned":
            for index_bits in (8, 0):
                way = SkipsZeros(index_bits)
                priced = price_cuts(graph, found, table, link, sparse=way)
                costs = costs_of(priced, link, bits=bits)
                ways.append(_best(f"int8, pruned, coded, {way}", costs, link))
    return (
        [
            _bar("by the paper's accounting", ways[0], ways[1], why_not),
            _bar("as it is deployed", ways[0], ways[-3], why_not),
            _kept(trained, accuracies, why_not),
        ],
        [_table(ways, accuracies)],
    )


def _best(way: str, costs: Sequence[CutCosts], link: RadioLink) -> Deployed:
    x = 1 / link.rate_bits_per_s
    best = min(costs, key=lambda each: each.energy_line.at(x))
    line = best.energy_line
    return Deployed(way, best.name, line.fixed, line.slope * x, best.energy_provenance)


def _bar(how: str, psnc: Deployed, ours: Deployed, why_not: str) -> Claim:
    return statement(
        f"Ours: energy of the best cut at 15 MHz, {how}, beside unpruned PSNC",
        f"at least {AT_LEAST:g} times less (our bar)",
        f"{psnc.energy / ours.energy:.1f} times less: {psnc.energy * 1e6:.1f} uJ at {psnc.cut}, "
        f"{ours.energy * 1e6:.1f} uJ at {ours.cut} ({ours.way})",
        holds=psnc.energy >= AT_LEAST * ours.energy,
        provenance=ours.provenance,
        reason=why_not,
    )


def _kept(trained: Trained, accuracies: dict[str, float], why_not: str) -> Claim:
    drop = trained.chosen.accuracy - accuracies["pruned"]
    return statement(
        "Ours: int8 keeps the accuracy of the pruned network",
        "within 0.5 points of float (our bar)",
        f"{accuracies['pruned']:.4f} beside {trained.chosen.accuracy:.4f}",
        holds=drop <= 0.005 + 1e-9,
        reason=why_not,
    )


def _table(ways: Sequence[Deployed], accuracies: dict[str, float]) -> Table:
    shown = ", ".join(f"{name} {value:.4f}" for name, value in accuracies.items())
    return Table(
        "ours",
        "Best cut at 15 MHz, |h|^2 = 1, per inference; DRAM at 1.95 nJ for 64 bits; sizes of coded "
        f"tensors measured on {CODED} held-out images; int8 accuracy measured: {shown}",
        ("deployment", "cut", "Ep, uJ", "Etr, uJ", "E, uJ", "times less than PSNC", "known"),
        tuple(
            (
                each.way,
                each.cut,
                each.processing * 1e6,
                each.sending * 1e6,
                each.energy * 1e6,
                ways[0].energy / each.energy,
                each.provenance,
            )
            for each in ways
        ),
    )
