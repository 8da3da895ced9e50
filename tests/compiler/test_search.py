"""The search finds what a plain loop over exact costs finds, and asks for accuracy no more than it must."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from integer_graphs import NETWORKS

from joulecut.compiler.calibration import Calibration, Coded
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut import Cut, Cuts, cuts
from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.layers import layers
from joulecut.compiler.objective import EstimationError, Objective
from joulecut.compiler.profile import Quantity
from joulecut.compiler.search import Candidate, LayerCosts, Space, pareto, search
from joulecut.compiler.selection import choose

SETTINGS = (
    CodecConfig(),
    *(CodecConfig(quantizer="sq", bits=bits) for bits in (1, 3, 8)),
    CodecConfig(quantizer="tcq", bits=4),
)
SEEDS = range(12)


@cache
def network(name: str) -> tuple[tuple[str, ...], Cuts]:
    graph = NETWORKS[name]()
    return tuple(layer.name for layer in layers(graph)), cuts(graph, limit=60)


def space(seed: int, *, name: str = "two_inputs", coarse: bool = False) -> Space:
    """Random costs; coarse ones are small integers, so that many candidates are equal."""
    rng = np.random.default_rng(seed)
    names, found = network(name)

    def draw() -> float:
        return float(rng.integers(1, 4)) if coarse else float(rng.lognormal(0, 2))

    tensors = {
        spec.name: tuple(
            None
            if setting.quantizer != "none" and rng.random() < 0.1
            else Coded(draw(), 100.0, 0.0 if setting.quantizer == "none" else draw())
            for setting in SETTINGS
        )
        for cut in found
        for spec in cut.specs
    }
    edges = tuple(
        LayerCosts(
            f"board{i}",
            {each: draw() for each in names},
            "modelled",
            {each: draw() for each in names} if i else {each: draw() / 2 for each in names},
        )
        for i in range(3)
    )
    cloud = LayerCosts("cloud", dict.fromkeys(names, 0.0), "modelled", dict(edges[0].joules))
    x = 1.0 if coarse else float(rng.lognormal(-3, 2))
    calibration = Calibration(SETTINGS, tensors, 4, 4, real=True)
    return Space(tuple(found), calibration, edges, cloud, Quantity(draw(), "W", "assumed"), x)


def all_costs(of: Space) -> dict[tuple[int, int, int], CutCosts]:
    return {
        (cut, setting, edge): of.costs(cut, setting, edge)
        for cut in range(len(of.cuts))
        for setting in range(len(of.calibration.settings))
        for edge in range(len(of.edges))
        if of.calibration.bits(of.cuts[cut], setting) is not None
    }


def plain(of: Space, objective: Objective) -> CutCosts | None:
    """By `choose`, over everything."""
    costs = list(all_costs(of).values())
    best = choose(costs, of.seconds_per_bit, objective)
    return None if best is None else costs[best]


OBJECTIVES = (
    Objective(),
    Objective(0, 1),
    Objective(1, 0.25),
    Objective(max_latency_s=60.0),
    Objective(0, 1, max_energy_j=60.0),
    Objective(1, 1, max_energy_j=1e-9),
    Objective(1, 0.5, error=EstimationError(0.7)),
    Objective(max_energy_j=70.0, error=EstimationError(0.7, 0.9)),
)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=range(len(OBJECTIVES)))
@pytest.mark.parametrize("coarse", [False, True])
def test_the_best_is_that_of_a_plain_loop(objective: Objective, coarse: bool):
    for seed in SEEDS:
        of = space(seed, coarse=coarse)
        found = search(of, objective)
        assert (None if found is None else found.costs) == plain(of, objective)


def test_cuts_at_several_tensors_are_among_the_candidates():
    several = [cut for cut in network("two_inputs")[1] if len(cut.tensors) > 1]
    assert several
    chosen = {
        found.cut.tensors for seed in SEEDS if (found := search(space(seed), Objective()))
    }
    assert chosen & {cut.tensors for cut in several}


def test_costs_of_a_candidate_are_sums_over_its_layers():
    of = space(0)
    for (cut, setting, edge), costs in all_costs(of).items():
        names = of.cuts[cut].edge
        exact = sum(Fraction(of.edges[edge].joules[each]) for each in names)
        assert costs.processing.value == float(exact)
        assert of.latency_s is not None
        x = of.seconds_per_bit
        assert of.energy_j[cut, setting, edge] == pytest.approx(costs.energy_line.at(x))
        assert of.latency_s[cut, setting, edge] == pytest.approx(costs.latency_line.at(x))


def dominates(one: Candidate, other: Candidate) -> bool:
    a, b = point(one), point(other)
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def point(each: Candidate) -> tuple[float, float, float]:
    assert each.latency_s is not None
    return each.energy_j, each.latency_s, -each.sqnr_db


@pytest.mark.parametrize("coarse", [False, True])
def test_the_front_is_what_nothing_beats(coarse: bool):
    for seed in SEEDS:
        of = space(seed, coarse=coarse)
        assert of.latency_s is not None
        points = {
            at: (of.energy_j[at], of.latency_s[at], -of.sqnr_db[at[:2]]) for at in all_costs(of)
        }
        unbeaten = {
            p
            for p in points.values()
            if not any(
                all(x <= y for x, y in zip(q, p, strict=True)) and q != p
                for q in points.values()
            )
        }
        front = pareto(of)
        names = {edge.place: i for i, edge in enumerate(of.edges)}
        found = [
            points[of.cuts.index(c.cut), SETTINGS.index(c.setting), names[c.place]]
            for c in front
        ]
        assert len(found) == len(set(found))
        assert set(found) == unbeaten
        assert not any(dominates(a, b) for a in front for b in front)


def test_the_front_keeps_bounds():
    of = space(3)
    bounded = pareto(of, Objective(max_energy_j=30.0))
    assert bounded
    assert all(each.energy_j <= 30.0 for each in bounded)
    assert len(bounded) < len(pareto(of))


class TestAccuracy:
    def test_it_is_asked_from_the_best_down_until_one_is_good(self):
        of = space(5)
        asked: list[tuple[Cut, CodecConfig]] = []

        def accuracy(cut: Cut, setting: CodecConfig) -> Quantity:
            asked.append((cut, setting))
            return Quantity(1.0 if setting.quantizer == "none" else 0.5, "1", "measured")

        found = search(of, Objective(min_accuracy=0.9), accuracy)
        assert found is not None
        assert found.setting.quantizer == "none"
        assert found.costs.accuracy == Quantity(1.0, "1", "measured")
        assert len(asked) == len(set(map(str, asked)))
        x = of.seconds_per_bit
        best = found.costs.energy_line.exact(x)
        lossless = [
            costs.energy_line.exact(x)
            for (_, setting, _), costs in all_costs(of).items()
            if SETTINGS[setting].quantizer == "none"
        ]
        assert best == min(lossless)
        for cut, setting in asked[:-1]:
            at = (of.cuts.index(cut), SETTINGS.index(setting))
            cheapest = min(
                costs.energy_line.exact(x)
                for (c, s, _), costs in all_costs(of).items()
                if (c, s) == at
            )
            assert cheapest <= best

    def test_nothing_is_good_enough(self):
        def accuracy(_cut: Cut, _setting: CodecConfig) -> Quantity:
            return Quantity(0.1, "1", "measured")

        assert search(space(0), Objective(min_accuracy=0.9), accuracy) is None

    def test_it_must_be_measured(self):
        with pytest.raises(ConfigError, match="min_accuracy must come with labels"):
            search(space(0), Objective(min_accuracy=0.9))


def test_a_place_without_times_is_never_the_fastest():
    of = space(1)
    slow = tuple(
        LayerCosts(edge.place, edge.joules, "modelled", None if i == 0 else edge.seconds)
        for i, edge in enumerate(of.edges)
    )
    timeless = Space(of.cuts, of.calibration, slow, of.cloud, of.power, of.seconds_per_bit)
    found = search(timeless, Objective(0, 1, max_latency_s=math.exp(20)))
    assert found is not None
    assert found.place != "board0"


def test_times_must_be_known_to_count():
    of = space(1)
    nowhere = Space(of.cuts, of.calibration, of.edges, None, of.power, of.seconds_per_bit)
    assert search(nowhere, Objective()) is not None
    assert all(each.latency_s is None for each in pareto(nowhere))
    for objective in (Objective(0, 1), Objective(max_latency_s=1.0)):
        with pytest.raises(ConfigError, match="latency must be known to weigh or bound it"):
            search(nowhere, objective)


def test_there_must_be_something_to_choose():
    of = space(0)
    with pytest.raises(ConfigError, match="search must have a cut and a place, not 0 and 3"):
        Space((), of.calibration, of.edges, of.cloud, of.power, of.seconds_per_bit)
