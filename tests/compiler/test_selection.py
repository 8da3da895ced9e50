"""The table, the exact choice and its slow twin agree at every channel, float by float."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selection_cases import channels_of, cut, random_channels, random_cuts

from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.envelope import selection_table
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.line import Line, first_at_least, last_at_most
from joulecut.compiler.objective import EstimationError, Objective
from joulecut.compiler.profile import Quantity
from joulecut.compiler.selection import Problem, choose, problem
from joulecut.compiler.selection_table import SelectionTable

LATENCY = Objective(energy_weight=0, latency_weight=1)


# few numbers, so that ties and parallel lines are common; and awkward ones
NUMBERS = st.one_of(
    st.integers(0, 4).map(float),
    st.floats(0, 1e12, allow_subnormal=True),
    st.sampled_from([1e-300, 5e-324, 1e150, 0.1, 0.1 + 2**-56, 0.3]),
)
CUTS = st.lists(
    st.builds(cut, NUMBERS, NUMBERS, st.just(1.0), NUMBERS, NUMBERS, st.sampled_from([0.9, 1])),
    min_size=1,
    max_size=6,
)
BOUNDS = st.one_of(st.none(), NUMBERS.filter(bool))
WEIGHTS = st.sampled_from([(1.0, 0.0), (0.0, 1.0), (1.0, 2.0), (0.3, 0.7)])


@st.composite
def objectives(draw: st.DrawFn) -> Objective:
    energy, latency = draw(WEIGHTS)
    max_energy_j, max_latency_s = draw(BOUNDS), draw(BOUNDS)
    both = max_energy_j is not None and max_latency_s is not None
    return Objective(
        energy,
        latency,
        max_energy_j=max_energy_j,
        max_latency_s=max_latency_s,
        min_accuracy=draw(st.sampled_from([None, 0.9])),
        infeasible="none" if both else draw(st.sampled_from(["none", "least"])),
        margin=draw(st.sampled_from([0.0, 0.05, 1.0])),
        error=draw(st.sampled_from([None, EstimationError(0.5), EstimationError(1.0, 0.4)])),
    )


CHANNELS = st.one_of(st.floats(0), st.floats(0, 10), st.integers(0, 5).map(float))


def limit_key(line: Line, x: float) -> tuple[Fraction, ...]:
    """Something that orders lines at x; at infinity as at an x without bound."""
    if math.isinf(x):
        return Fraction(line.slope), Fraction(line.fixed)
    return (Fraction(line.fixed) + Fraction(line.slope) * Fraction(x),)


def twin(wanted: Problem, x: float, previous: int | None = None) -> int | None:
    """The choice by the definition, every comparison between rational numbers."""

    def keeps(i: int) -> bool:
        return all(
            (not each[i].slope and each[i].fixed <= bound)
            if math.isinf(x)
            else limit_key(each[i], x) <= (Fraction(bound),)
            for each, bound in wanted.bounds
        )

    among = [i for i in wanted.allowed if keeps(i)]
    lines = wanted.lines
    if not among:
        if wanted.infeasible == "none":
            return None
        among, lines = list(wanted.allowed), wanted.bounds[0][0]
    best = min(among, key=lambda i: limit_key(lines[i], x))
    if wanted.margin and previous in among:
        allowed = [(1 + Fraction(wanted.margin)) * part for part in limit_key(lines[best], x)]
        if limit_key(lines[previous], x) <= tuple(allowed):
            return previous
    return best


@given(CUTS, objectives(), st.lists(CHANNELS, max_size=5))
def test_table_choice_and_twin_agree(
    costs: list[CutCosts], objective: Objective, more: list[float]
):
    wanted, table = problem(costs, objective), selection_table(costs, objective)
    for x in [*channels_of(table), *more]:
        for previous in (None, *range(len(costs))):
            expected = twin(wanted, x, previous)
            assert wanted.choose(x, previous) == expected, (x, previous)
            assert table.lookup(x, previous) == expected, (x, previous)


@pytest.mark.parametrize(
    ("objective", "channels"),
    [
        (Objective(), 100_000),
        (LATENCY, 20_000),
        (Objective(1.0, 0.01, margin=0.1), 20_000),
        (Objective(max_latency_s=0.02, infeasible="least", min_accuracy=0.96), 20_000),
        (Objective(0, 1, max_energy_j=8e-5, margin=0.05, error=EstimationError(0.3)), 20_000),
    ],
    ids=["energy", "latency", "sum", "bounded_latency", "bounded_energy"],
)
def test_table_and_choice_agree_on_random_channels(objective: Objective, channels: int):
    costs = random_cuts(1)
    wanted, table = problem(costs, objective), selection_table(costs, objective)
    assert len(table.starts) > 3
    previous: int | None = None
    for x in [*random_channels(2, channels), *channels_of(table)]:
        chosen = wanted.choose(x, previous)
        assert table.lookup(x, previous) == chosen
        previous = chosen if objective.margin else None


@pytest.mark.parametrize("seed", range(200))
def test_table_and_choice_agree_on_random_networks(seed: int):
    """Bounds in the range of the costs, so that cuts come, go and come back."""
    rng = random.Random(seed)
    costs = random_cuts(seed, rng.randrange(1, 16))
    energy, latency = rng.choice([(1, 0), (0, 1), (1, 0.01)])
    max_energy_j = rng.choice([None, rng.uniform(1e-6, 2e-4)])
    max_latency_s = rng.choice([None, rng.uniform(1e-3, 0.03)])
    objective = Objective(
        energy,
        latency,
        max_energy_j=max_energy_j,
        max_latency_s=max_latency_s,
        infeasible="least" if None in (max_energy_j, max_latency_s) and seed % 2 else "none",
        margin=rng.choice([0, 0.05, 0.3]),
    )
    wanted, table = problem(costs, objective), selection_table(costs, objective)
    for x in [*channels_of(table), *random_channels(seed, 20)]:
        previous = rng.choice([None, *range(len(costs))])
        assert table.lookup(x, previous) == wanted.choose(x, previous), (x, previous)


def test_no_cut_is_better_even_as_rounded():
    """What PS of the paper promises: at no channel is another cut cheaper, not by a bit."""
    costs = random_cuts(3)
    table = selection_table(costs, Objective())
    for x in [*random_channels(4, 2_000), *channels_of(table)]:
        chosen = table.lookup(x)
        assert chosen is not None
        energies = [each.energy_line.at(x) for each in costs]
        assert energies[chosen] == min(energies)


def test_rounded_lines_cross_more_than_once():
    """Why lines are compared without rounding: no table of one crossing can follow this."""
    a, b = Line(1.0, 0.7), Line(1.1, 0.6)
    x, signs = 1.0, list[int]()
    for _ in range(40):
        x = math.nextafter(x, 0)
    for _ in range(80):
        x = math.nextafter(x, 2)
        first, second = a.fixed + a.slope * x, b.fixed + b.slope * x
        signs.append((first > second) - (first < second))
    changes = sum(p != q for p, q in pairwise(signs))
    assert signs != sorted(signs)
    assert changes > 2
    exact = [a.exact(1 + k * 2**-50) > b.exact(1 + k * 2**-50) for k in range(-40, 40)]
    assert exact == sorted(exact)


def test_the_first_of_equal_cuts_is_chosen():
    equal = [cut(1, 2), cut(1, 2), cut(2, 1), cut(2, 1)]
    assert [choose(equal, x, Objective()) for x in (0, 1, 2, math.inf)] == [0, 0, 2, 2]
    assert selection_table(equal, Objective()).starts == (0, math.nextafter(1, 2))
    turned = [equal[2], equal[0]]
    assert selection_table(turned, Objective()) == SelectionTable(2, (0, 1), (1, 0))


def test_a_channel_without_a_rate_takes_the_limit():
    costs = [cut(0, 8), cut(1, 4), cut(9, 0)]
    assert choose(costs, math.inf, Objective()) == 2
    assert choose(costs[:2], math.inf, Objective()) == 1  # both infinite: the fewest bits
    assert costs[2].energy_line.at(math.inf) == 9
    assert costs[0].energy_line.at(math.inf) == math.inf
    bounded = Objective(max_latency_s=1)
    assert choose(costs[:2], math.inf, bounded) is None
    assert choose(costs, math.inf, bounded) == 2


def test_bounds_take_cuts_away():
    """The cheap cut is late beyond x = 1; from x = 3 on the other is late, too."""
    costs = [cut(1, 1, power=0, edge=0, cloud=3), cut(5, 1, power=0, edge=1)]
    objective = Objective(max_latency_s=4)
    table = selection_table(costs, objective)
    assert table.choices == (0, 1, None)
    assert table.starts == (0, math.nextafter(1, 2), math.nextafter(3, 4))
    least = selection_table(costs, replace(objective, infeasible="least"))
    assert least == SelectionTable(2, table.starts[:2], (0, 1))


def test_a_cut_that_was_best_may_come_back():
    """Cut 1 overtakes cut 0 at x = 1 and is too dear beyond x = 2, where 0 goes on."""
    costs = [cut(0, 2, power=1, cloud=1), cut(4, 1, power=1, cloud=2)]
    objective = Objective(0, 1, max_energy_j=6)
    table = selection_table(costs, objective)
    assert table.choices == (0, 1, 0, None)
    assert table.starts == (0, *(math.nextafter(x, 4) for x in (1, 2, 3)))
    costs = random_cuts(1, 15)  # many of them
    objective = Objective(0, 1, max_energy_j=costs[-1].processing.value / 2, margin=0.1)
    wanted, table = problem(costs, objective), selection_table(costs, objective)
    for x in channels_of(table):
        assert table.lookup(x) == wanted.choose(x) == twin(wanted, x)


def test_accuracy_filters():
    costs = [cut(1, accuracy=0.8), cut(2, accuracy=0.9)]
    assert choose(costs, 1, Objective(min_accuracy=0.9)) == 1
    with pytest.raises(
        ConfigError,
        match=r"min_accuracy must be at most 0\.9, the best of the cuts, not 0\.95",
    ):
        problem(costs, Objective(min_accuracy=0.95))
    unknown = [replace(costs[0], accuracy=None)]
    with pytest.raises(ConfigError, match=r"accuracy of cut 'a cut' must be known to bound it"):
        problem(unknown, Objective(min_accuracy=0.5))


def test_hysteresis_changes_less_and_costs_at_most_the_margin():
    costs, margin = random_cuts(5), 0.2
    table = selection_table(costs, Objective(margin=margin))
    rng, x = random.Random(6), 1e-6
    previous: int | None = None
    kept = switched = switched_without = 0
    before = table.lookup(x)
    for _ in range(5_000):
        x = min(max(x * math.exp(rng.gauss(0, 0.2)), 1e-8), 1e-3)
        best, chosen = table.lookup(x), table.lookup(x, previous)
        assert best is not None
        assert chosen is not None
        least, cost = costs[best].energy_line.exact(x), costs[chosen].energy_line.exact(x)
        assert cost <= (1 + Fraction(margin)) * least
        assert chosen in (best, previous)
        kept += chosen != best
        switched += chosen != previous
        switched_without += best != before
        previous, before = chosen, best
    assert kept > 100
    assert switched < switched_without / 2


def normal_quantiles(n: int) -> list[float]:
    return [NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]


def test_the_expected_cost_is_minimized_under_an_estimation_error():
    """Over 20,000 quantiles of the error; what is not minimized without it."""
    costs, error = random_cuts(7, 8), EstimationError(0.8)
    errors = [math.exp(error.sigma * z) for z in normal_quantiles(20_000)]
    assert error.mean_factor == pytest.approx(math.fsum(errors) / len(errors), rel=1e-3)
    differs = 0
    for x in random_channels(8, 100):
        means = [
            math.fsum(line.fixed + line.slope * x * each for each in errors[::20])
            for line in (each.energy_line for each in costs)
        ]
        chosen, plain = choose(costs, x, Objective(error=error)), choose(costs, x, Objective())
        assert chosen is not None
        assert plain is not None
        assert means[chosen] <= 1.005 * min(means)
        differs += means[plain] > 1.005 * min(means)
    assert differs


def test_a_bound_is_kept_with_the_confidence():
    error = EstimationError(0.5, confidence=0.9)
    costs = [cut(0, 1), cut(1, 0)]
    wanted = problem(costs, Objective(max_latency_s=1, error=error))
    last = max(x for x in (i / 10_000 for i in range(10_000)) if wanted.choose(x) == 0)
    in_time = sum(last * math.exp(0.5 * z) <= 1 for z in normal_quantiles(10_000)) / 10_000
    assert in_time == pytest.approx(0.9, abs=0.001)


def test_provenance_is_that_of_the_weakest():
    each = cut()
    assert each.energy_provenance == "assumed"
    assert each.latency_provenance == "simulated"


@given(st.fractions(0, 10**400), st.floats(0, allow_infinity=False))
def test_floats_around_a_number(number: Fraction, x: float):
    above, below = first_at_least(number), last_at_most(number)
    assert math.isinf(above) or Fraction(above) >= number >= Fraction(below)
    assert above == below or math.nextafter(below, math.inf) == above
    assert first_at_least(Fraction(x)) == x == last_at_most(Fraction(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: choose([], 1, Objective()), r"costs must be of 1 to 65535 cuts, not 0"),
        (
            lambda: choose([cut()], math.nan, Objective()),
            r"x must be 0 or more seconds per bit, not nan",
        ),
        (
            lambda: choose([cut()], -1, Objective()),
            r"x must be 0 or more seconds per bit, not -1",
        ),
        (lambda: choose([cut()], 1, Objective(), 1), r"previous must be in 0\.\.0 or None, not 1"),
        (
            lambda: choose([replace(cut(), edge_time=None)], 1, LATENCY),
            r"edge_time of cut 'a cut' must be known to weigh or bound its latency; profile",
        ),
        (
            lambda: choose([replace(cut(), cloud_time=None)], 1, LATENCY),
            r"cloud_time of cut 'a cut' must be known",
        ),
        (lambda: cut(-1), r"processing of cut 'a cut' must be 0 or more, not -1"),
        (
            lambda: replace(cut(), bits=Quantity(1, "B", "measured")),
            r"bits of cut 'a cut' must be in 'bit', not 'B'",
        ),
        (
            lambda: choose([cut(0, 1e200, 1e200)], 1, Objective()),
            r"slope part of a cost must be finite and 0 or more, not inf",
        ),
        (lambda: Objective(0, 0), r"energy_weight or latency_weight must be positive, not both"),
        (lambda: Objective(-1), r"energy_weight must be finite and 0 or more, not -1"),
        (lambda: Objective(margin=math.nan), r"margin must be finite and 0 or more, not nan"),
        (lambda: Objective(max_energy_j=0), r"max_energy_j must be finite and positive, not 0"),
        (lambda: Objective(min_accuracy=2), r"min_accuracy must be in 0\.\.1, not 2"),
        (
            lambda: Objective(infeasible="most"),  # pyright: ignore[reportArgumentType]
            r"infeasible must be one of none, least, not 'most'",
        ),
        (
            lambda: Objective(max_energy_j=1, max_latency_s=1, infeasible="least"),
            r"infeasible must be 'none' where energy and latency are both bounded, not 'least'",
        ),
        (lambda: EstimationError(11), r"sigma must be in 0\.\.10, not 11"),
        (
            lambda: EstimationError(1, 1),
            r"confidence must be between 0 and 1, both excluded, not 1",
        ),
        (lambda: SelectionTable(0, (0,), (0,)), r"n_cuts must be in 1\.\.65535, not 0"),
        (lambda: SelectionTable(1, (), ()), r"starts and choices must be one or more and as ma"),
        (lambda: SelectionTable(2, (0, 0), (0, 1)), r"starts must ascend from 0"),
        (lambda: SelectionTable(1, (0,), (1,)), r"every cut must be in 0\.\.0"),
        (lambda: SelectionTable(1, (0, 1), (0, 0)), r"neighbouring choices must differ"),
    ],
)  # fmt: skip
def test_errors_say_what_to_do(make: object, message: str):
    assert callable(make)
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_sequence_of_channels_is_chosen_for_without_state():
    """Hysteresis is a function of the choice before and the channel, and of nothing else."""
    costs: Sequence[CutCosts] = random_cuts(9)
    table = selection_table(costs, Objective(margin=0.1))
    first = [table.lookup(x, previous) for x in (1e-7, 1e-5) for previous in range(len(costs))]
    again = [table.lookup(x, previous) for x in (1e-7, 1e-5) for previous in range(len(costs))]
    assert first == again
