"""Figures 3 to 5 of the energy paper, from networks that are trained here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.profile import Quantity
from joulecut.compiler.report.page import Section
from joulecut.hw.energy import EnergyTable
from joulecut.hw.radio import RadioLink
from joulecut.hw.trajectory import PathLoss, Point, faded_gains, mean_gains
from joulecut.repro import energy_charts as charts
from joulecut.repro.claims import Claim, figure, statement
from joulecut.repro.digit_counts import cut_costs, layer_counts
from joulecut.repro.energy_networks import Network, Trained
from joulecut.repro.energy_printed import FITTED_PJ, FIXED
from joulecut.repro.study import Table
from joulecut.targets.selection_study import (
    Inference,
    Mean,
    Policy,
    follow,
    mean,
    policies,
    seconds_per_bit,
)

# Fig. 4(a) has no scale that can be read; a path is assumed that is near the server at P2 only.
SERVER: Point = (50.0, 50.0)
PATH: Mapping[str, Point] = MappingProxyType(
    {
        "P1": (10.0, 20.0),
        "P2": (46.0, 44.0),
        "P3": (70.0, 62.0),
        "P4": (92.0, 74.0),
        "P5": (110.0, 40.0),
        "P6": (130.0, 10.0),
    }
)
LOSS = PathLoss(reference_m=5.0, gain=20.0, exponent=3.0)  # 1, the paper's mean, at 13.6 m
DRAWS = 100  # of Rayleigh fading, the same ones at each point, so that only distances differ
SEED = 0

Followed = Mapping[str, Sequence[Sequence[Inference]]]  # by policy: for each point, each draw


def compression(
    trained: Trained, table: EnergyTable
) -> tuple[list[Claim], Table, list[Section]]:
    """Fig. 3: energy and output size of each layer, before and after."""
    before, after = (layer_counts(n.parameters) for n in (trained.dense, trained.chosen))
    energy = [
        [c.processing_pj(table, FITTED_PJ) / 1e6 for c in each] for each in (before, after)
    ]
    by_name = {c.name: (one, two) for c, one, two in zip(before, *energy, strict=True)}
    claims = [
        statement(
            f"Fig. 3, {layer}",
            "processing energy falls by more than 98 %",
            f"by {1 - after_uj / before_uj:.1%}, with {trained.chosen.removed(layer):.1%} of the "
            "weights removed",
            holds=after_uj < 0.02 * before_uj,
            provenance="assumed",
            reason="their threshold is not printed; a greater one than ours removes more and costs accuracy (Fig. 5)",
        )
        for layer, (before_uj, after_uj) in by_name.items()
        if layer in ("fc1", "fc2")
    ]
    dense = sum(c.parameters for c in before if c.name in ("fc1", "fc2"))
    share = Quantity(dense / sum(c.parameters for c in before), "1", "measured")
    claims.append(figure("Fig. 3, fc1 and fc2 of all parameters", 0.6, share, tolerance=0.03))
    shrunk = [c.name for c, d in zip(before, after, strict=True) if d.outputs < c.outputs]
    claims.append(
        statement(
            "Fig. 3, output size",
            "decreases, because entire neurons are eliminated",
            f"it does at {', '.join(shrunk) or 'no layer'}",
            holds="fc1" in shrunk and "conv4" in shrunk,
        )
    )
    rows = Table(
        "figure-3",
        "Fig. 3: each layer before and after compression (float32, energies modelled at the fitted "
        "e_m; after: on assumed hardware that skips zeros, no index counted)",
        (
            "layer",
            "uJ before",
            "uJ after",
            "parameters before",
            "parameters after",
            "outputs before",
            "outputs after",
        ),
        tuple(
            (c.name, one, two, c.parameters, d.parameters, c.outputs, d.outputs)
            for c, d, one, two in zip(before, after, *energy, strict=True)
        ),
    )
    outputs = [[float(c.outputs) for c in each] for each in (before, after)]
    pages = [
        Section(title, chart=charts.layer_bars(before, after, values, caption))
        for title, values, caption in (
            ("Fig. 3: processing energy", energy, "uJ a layer (modelled; after: assumed)"),
            ("Fig. 3: output size", outputs, "live outputs of a layer (measured)"),
        )
    ]
    return claims, rows, pages


def walk(
    sparse: Sequence[CutCosts], dense: Sequence[CutCosts], link: RadioLink
) -> dict[str, list[list[Inference]]]:
    """Fig. 4: every policy at every point, once for each draw of the fading.

    Args:
        sparse: every cut of the compressed network.
        dense: of the original.
        link: over which they send.
    """
    channels = _channels(link)
    return {
        policy.name: [follow(policy, each) for each in channels]
        for policy in policies(sparse, dense, FIXED)
    }


def _channels(link: RadioLink) -> list[list[float]]:
    """Seconds per bit at each point, for each draw."""
    means = mean_gains(list(PATH.values()), SERVER, LOSS)
    return [seconds_per_bit(link, faded_gains((each,) * DRAWS, SEED)) for each in means]


def never_worse(followed: Followed) -> Claim:
    """PS costs no more than any baseline, at every point and every draw, to the last bit."""
    others = [name for name in followed if name != "PS"]
    beaten = [
        f"{name} at {point}"
        for name in others
        for point, ours, theirs in zip(PATH, followed["PS"], followed[name], strict=True)
        if any(a.energy_j > b.energy_j for a, b in zip(ours, theirs, strict=True))
    ]
    return statement(
        "Fig. 4(b): PS outperforms all the baselines",
        "at every position",
        f"at each of {len(PATH)} positions x {DRAWS} fading draws, exactly"
        if not beaten
        else f"not against {', '.join(beaten)}",
        holds=not beaten,
        provenance="assumed",
    )


def trajectory(followed: Followed) -> tuple[list[Claim], Table, list[Section]]:
    """Fig. 4: claims about the energies at the positions, and the energies."""
    means = {name: [mean(point) for point in points] for name, points in followed.items()}
    claims = [never_worse(followed), *_sentences(means)]
    names = list(PATH)
    rows = Table(
        "figure-4",
        f"Fig. 4: energy per inference, J, mean of {DRAWS} Rayleigh draws (5 MHz; positions and "
        "sparse hardware assumed)",
        ("position", "x, m", "y, m", "policy", "E", "Ep", "Etr", "cuts used"),
        tuple(
            (
                point,
                *PATH[point],
                name,
                found[at].energy_j,
                found[at].processing_j,
                found[at].transmission_j,
                ", ".join(f"{cut} {count}" for cut, count in found[at].cuts.items()),
            )
            for at, point in enumerate(names)
            for name, found in means.items()
        ),
    )
    pages = [Section("Fig. 4(a): trajectory", chart=charts.path_map(PATH, SERVER))]
    for letter, what, field in (
        ("b", "total", "energy_j"),
        ("c", "processing", "processing_j"),
        ("d", "transmission", "transmission_j"),
    ):
        lines = {name: [getattr(m, field) for m in found] for name, found in means.items()}
        title = f"Fig. 4({letter}): {what} energy, mean of {DRAWS} draws (assumed)"
        pages.append(
            Section(f"Fig. 4({letter})", chart=charts.policy_lines(names, lines, title))
        )
    return claims, rows, pages


def _sentences(means: Mapping[str, Sequence[Mean]]) -> list[Claim]:
    """The sentences of section IV about Fig. 4."""
    near = list(PATH).index("P2")
    at = range(len(PATH))
    energy = {name: [m.energy_j for m in found] for name, found in means.items()}
    processing = {name: [m.processing_j for m in found] for name, found in means.items()}
    sending = {name: [m.transmission_j for m in found] for name, found in means.items()}
    worst = [
        point
        for i, point in enumerate(PATH)
        if energy["pool1"][i] == max(energy[n][i] for n in energy)
    ]
    share = processing["softmax"][near] / energy["softmax"][near]
    over = energy["softmax"][near] / energy["PS"][near]
    return [
        statement(
            "Fig. 4(b): pool-1 is worst where the client is far",
            "transmission dominates",
            f"pool-1 costs most at {', '.join(worst) or 'no position'}",
            holds={"P1", "P6"} <= {*worst},
            provenance="assumed",
        ),
        statement(
            "Fig. 4(b): softmax is bad at P2, where the channel is good",
            "processing dominates it",
            f"processing is {share:.0%} of it; it costs {over:.2f} times what PS does",
            holds=share > 0.5 and over > 1.05,
            provenance="assumed",
        ),
        statement(
            "Fig. 4(c): pool-1 processes least",
            "less than all others",
            "at every position" if _least(processing, "pool1") else "not at every position",
            holds=_least(processing, "pool1"),
            provenance="assumed",
        ),
        statement(
            "Fig. 4(c): PSNC spends more on processing",
            "than PS",
            f"{sum(processing['PSNC']) / sum(processing['PS']):.1f} times as much on the whole path",
            holds=sum(processing["PSNC"]) > sum(processing["PS"]),
            provenance="assumed",
        ),
        statement(
            "Fig. 4(d): softmax sends least",
            "always",
            "at every position" if _least(sending, "softmax") else "not at every position",
            holds=_least(sending, "softmax"),
            provenance="assumed",
        ),
        statement(
            "Fig. 4(d): pool-1 sends most",
            "at every position",
            f"at {sum(sending['pool1'][i] == max(s[i] for s in sending.values()) for i in at)} of {len(PATH)}",
            holds=all(sending["pool1"][i] >= max(s[i] for s in sending.values()) for i in at),
            provenance="assumed",
            reason="where the channel is good PSNC sends as much, from the original's first pool",
        ),
    ]


def _least(values: Mapping[str, Sequence[float]], name: str) -> bool:
    return all(
        values[name][i] <= min(own[i] for own in values.values()) for i in range(len(PATH))
    )


def ratios(
    trained: Trained, table: EnergyTable, link: RadioLink
) -> tuple[list[Claim], Table, list[Section]]:
    """Fig. 5: mean energy of PS along the path, and accuracy, over the compression ratio."""
    networks = (trained.dense, *trained.stages)
    energies = [_mean_energy(network, table, link) for network in networks]
    found = [network.ratio for network in networks]
    accuracies = [network.accuracy for network in networks]
    name = trained.dataset
    claims = [
        statement(
            f"Fig. 5 ({name}): energy over the compression ratio",
            "falls",
            ", ".join(f"{r:.1f}: {e:.3g} J" for r, e in zip(found, energies, strict=True)),
            holds=all(a >= b for a, b in pairwise(energies)),
            provenance="assumed",
        ),
        statement(
            f"Fig. 5 ({name}): accuracy over the compression ratio",
            "falls",
            ", ".join(f"{r:.1f}: {a:.4f}" for r, a in zip(found, accuracies, strict=True)),
            holds=accuracies[-1] < accuracies[0],
        ),
    ]
    rows = Table(
        f"figure-5-{name}",
        f"Fig. 5 ({name}): PS at 5 MHz, mean over the path (assumed), and accuracy (measured)",
        ("threshold", "parameters kept 1 in", "E, J", "accuracy", "fc1 removed", "fc2 removed"),
        tuple(
            (n.threshold, n.ratio, energy, n.accuracy, n.removed("fc1"), n.removed("fc2"))
            for n, energy in zip(networks, energies, strict=True)
        ),
    )
    chart = charts.compression_curve(found, energies, accuracies, f"Fig. 5 ({name})")
    return claims, rows, [Section(f"Fig. 5 ({name})", chart=chart)]


def _mean_energy(network: Network, table: EnergyTable, link: RadioLink) -> float:
    costs = cut_costs(layer_counts(network.parameters), table, FITTED_PJ, link.power_w)
    policy = Policy("PS", tuple(costs))
    return mean([each for xs in _channels(link) for each in follow(policy, xs)]).energy_j
