"""The paper of docs/energy.md on splitting a compressed network over a time-varying channel.

Networks are trained here, on the 5,000 MNIST digits that a package carries and on all of
Fashion-MNIST; energies are the paper's equations. docs/pruning.md discusses what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from joulecut.hw.energy import EnergyTable, co2_kg, load_table
from joulecut.hw.links import load_link
from joulecut.repro import energy_figures as figures
from joulecut.repro import energy_int8 as int8
from joulecut.repro import energy_printed as printed
from joulecut.repro.claims import Claim, statement
from joulecut.repro.digit_counts import cut_costs, layer_counts
from joulecut.repro.energy_networks import CHOSEN, Effort, Trained, trained
from joulecut.repro.study import Reproduction, Table
from joulecut.targets.selection_study import follow, policies, seconds_per_bit
from joulecut.zoo.data.images import ImageSplit
from joulecut.zoo.train import DATASETS

if TYPE_CHECKING:
    from joulecut.compiler.cut_costs import CutCosts

TITLE = "Energy-aware splitting over a time-varying channel"
SEEDS = (0, 1, 2)
FULL = {"mnist": Effort(20, 4, 12), "fashion-mnist": Effort(2, 1, 2)}
QUICK = {
    "mnist": Effort(1, 1, 1, count=128, held_out=100),
    "fashion-mnist": Effort(1, 1, 1, count=128, held_out=100),
}
MOST_LOST = 0.005  # of accuracy
LEAST_RATIO = 5.0
LEAST_REMOVED = 0.95  # of the weights of fc1 and fc2


def reproduce(directory: Path, quick: bool, progress: Callable[[str], None]) -> Reproduction:
    """Train what is not trained yet, and hold every table and figure against it.

    Args:
        directory: keeps what is trained, so that a run that was stopped goes on.
        quick: little data and training, to see that everything runs; claims about what training
            gives are then no faults.
        progress: told what happens.
    """
    effort, seeds = (QUICK, SEEDS[:1]) if quick else (FULL, SEEDS)
    why_not = "a quick run trains too little to judge" if quick else ""
    folder = directory / ("quick" if quick else "trained")
    mnist = [trained(folder, "mnist", seed, effort["mnist"], progress) for seed in seeds]
    fashion = trained(folder, "fashion-mnist", 0, effort["fashion-mnist"], progress)
    progress("int8 networks: quantize, prune, code")
    data = _taken(DATASETS["mnist"](), effort["mnist"])
    return assemble(mnist, fashion, data, why_not)


def assemble(
    mnist: Sequence[Trained], fashion: Trained, data: ImageSplit, why_not: str
) -> Reproduction:
    """Every claim and table, from trained networks.

    Args:
        mnist: one for each seed; figures show the first.
        fashion: on Fashion-MNIST.
        data: MNIST.
        why_not: a reason why claims about training need not hold; "" if they must.
    """
    table, link = load_table("horowitz_45nm"), load_link("paper-5mhz").link
    first = mnist[0]
    dense, sparse = _costs(first, table, printed.FITTED_PJ, link.power_w)
    shown = [
        figures.compression(first, table),
        figures.trajectory(figures.walk(sparse, dense, link)),
        figures.ratios(first, table, link),
        figures.ratios(fashion, table, link),
    ]
    claims = [
        *printed.constants(table),
        *(claim for each in shown for claim in each[0]),
        _never_worse(fashion, table),
        *printed.table_iii(sparse, dense),
        printed.printed_cut(dense),
        *printed.sums(),
        *printed.carbon(table),
        printed.uploading(),
    ]
    ours, tables = int8.study(first, data, table, load_link("paper-15mhz").link, why_not)
    if why_not:
        claims = [_excused(claim, why_not) for claim in claims]
    claims += [*_bars(mnist, why_not), *ours]
    everything = [each[1] for each in shown]
    return Reproduction(
        TITLE,
        f"{len(mnist)} networks on {len(data.train)} MNIST digits and one on Fashion-MNIST, pruned in "
        "stages; energies are modelled, those of pruned networks on assumed hardware that skips zeros",
        tuple(claims),
        (_networks([*mnist, fashion]), _table_iii(first, table), *tables, *everything),
        [section for each in shown for section in each[2]],
    )


def _taken(data: ImageSplit, effort: Effort) -> ImageSplit:
    return ImageSplit(data.train.take(effort.count), data.held_out.take(effort.held_out))


def _excused(claim: Claim, why_not: str) -> Claim:
    """In a quick run what is missed has a reason."""
    if claim.verdict != "missed":
        return claim
    return Claim(
        claim.entry, claim.paper, claim.ours, claim.provenance, "approximated", why_not
    )


def _costs(
    network: Trained, table: EnergyTable, fetch_pj: float, power_w: float
) -> tuple[list[CutCosts], list[CutCosts]]:
    """Of every cut of the original, and of the compressed network."""
    dense, sparse = (
        cut_costs(layer_counts(each.parameters), table, fetch_pj, power_w)
        for each in (network.dense, network.chosen)
    )
    return dense, sparse


def _never_worse(fashion: Trained, table: EnergyTable) -> Claim:
    """On the other data set, too, and over every link of the paper."""
    found: list[bool] = []
    for name in ("paper-15khz", "paper-5mhz", "paper-15mhz"):
        link = load_link(name).link
        dense, sparse = _costs(fashion, table, printed.FITTED_PJ, link.power_w)
        claim = figures.never_worse(figures.walk(sparse, dense, link))
        found.append(claim.verdict == "reproduced")
    return statement(
        "Fig. 4(b) on Fashion-MNIST: PS outperforms all the baselines",
        "at every position",
        f"over {sum(found)} of {len(found)} links of the paper, exactly",
        holds=all(found),
        provenance="assumed",
    )


def _bars(mnist: Sequence[Trained], why_not: str) -> list[Claim]:
    """What we ask of the pruning ourselves, over all seeds."""
    stages = range(len(mnist[0].stages))
    found = [(min(each.stages[at].ratio for each in mnist), _lost(mnist, at)) for at in stages]
    best = max((pair for pair in found if pair[1] <= MOST_LOST + 1e-9), default=found[0])
    shares = [each.chosen.removed(layer) for each in mnist for layer in ("fc1", "fc2")]
    ratio, lost = found[CHOSEN]
    return [
        statement(
            "Ours: compression ratio and accuracy (MNIST)",
            "C_r of 5 or more for 0.5 points or less (our bar)",
            f"C_r {best[0]:.1f} or more for {100 * best[1]:.2f} points, the mean of {len(mnist)} seeds",
            holds=best[0] >= LEAST_RATIO and best[1] <= MOST_LOST + 1e-9,
            reason=why_not,
        ),
        statement(
            "Ours: weights of fc1 and fc2 that are removed (MNIST)",
            "95 % or more (our bar)",
            f"{min(shares):.1%} to {max(shares):.1%} over {len(mnist)} seeds, at C_r {ratio:.1f} or "
            f"more for {100 * lost:.2f} points",
            holds=min(shares) >= LEAST_REMOVED,
            reason=why_not,
        ),
    ]


def _lost(mnist: Sequence[Trained], stage: int) -> float:
    """Accuracy that a stage loses against the unpruned networks, mean over seeds."""
    return float(np.mean([each.dense.accuracy - each.stages[stage].accuracy for each in mnist]))


def _networks(networks: Sequence[Trained]) -> Table:
    return Table(
        "networks",
        "Networks: held-out accuracy (measured) and what is removed",
        ("data", "seed", "threshold", "accuracy", "C_r", "fc1 removed", "fc2 removed"),
        tuple(
            (
                each.dataset,
                each.seed,
                own.threshold,
                own.accuracy,
                own.ratio,
                own.removed("fc1"),
                own.removed("fc2"),
            )
            for each in networks
            for own in (each.dense, *each.stages)
        ),
    )


def _table_iii(network: Trained, table: EnergyTable) -> Table:
    """Table III at every price of a fetch."""
    rows: list[tuple[str | float | None, ...]] = []
    for price, fetch_pj in printed.fetch_prices(table).items():
        for band, name in printed.LINKS.items():
            link = load_link(name).link
            (x,) = seconds_per_bit(link, [1.0])
            dense, sparse = _costs(network, table, fetch_pj, link.power_w)
            for policy in policies(sparse, dense, printed.FIXED):
                (made,) = follow(policy, [x])
                energies = (made.energy_j, made.processing_j, made.transmission_j)
                co2 = co2_kg(table, made.energy_j)
                rows.append((price, fetch_pj, band, policy.name, made.cut, *energies, co2))
    return Table(
        "table-iii",
        "Table III at |h|^2 = 1: J and kg of CO2, for the ends, the middle and the fitted price of a "
        "fetch of 32 bits (modelled; compressed networks on assumed hardware)",
        ("e_m", "pJ", "link", "policy", "cut", "E", "Ep", "Etr", "CO2, kg"),
        tuple(rows),
    )
