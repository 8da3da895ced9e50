"""Along a trajectory the edge that chooses never spends more than one that does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import pytest
from graph_builder import GraphBuilder

from joulecut.compiler.cut import cuts
from joulecut.compiler.cut_costs import CutCosts
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph
from joulecut.compiler.objective import Objective
from joulecut.compiler.profile import Quantity
from joulecut.hw.energy import load_table
from joulecut.hw.radio import RadioLink, rayleigh_gains
from joulecut.targets.cut_prices import cheapest, price_cuts
from joulecut.targets.selection_study import (
    Inference,
    Policy,
    costs_of,
    follow,
    mean,
    policies,
    seconds_per_bit,
)

TABLE = load_table("horowitz_45nm")
ORIGINAL = (16, 32, 48, 64), (512, 256, 128, 64)
PRUNED = (16, 31, 44, 55), (307, 127, 86, 47)  # live outputs of one run of the paper's recipe
BANDWIDTHS = [15e3, 5e6, 15e6]
POWER = Quantity(1e-3, "W", "modelled")
ONE_JOULE = Quantity(1, "J", "modelled")


def digits(channels: Sequence[int], columns: Sequence[int]) -> Graph:
    """The paper's network in integers, of some widths."""
    b = GraphBuilder("digits", 1)
    x = b.quantize(b.input("x", (1, 1, 28, 28)))
    for n in channels:
        acc = b.conv(x, n, (5, 5), pads=(2, 2, 2, 2))
        x = b.max_pool(b.requantize(acc, relu=True), (2, 2), (2, 2), ceil_mode=True)
    x = b.reshape(x, (1, 4 * channels[-1]))
    for n in columns:
        x = b.requantize(b.matmul(x, n), relu=True)
    b.output(b.dequantize(b.matmul(x, 10)))
    return b.graph()


def digit_costs(widths: tuple[Sequence[int], Sequence[int]], link: RadioLink) -> list[CutCosts]:
    graph = digits(*widths)
    return costs_of(price_cuts(graph, cuts(graph), TABLE, link), link)


def trajectory(link: RadioLink) -> list[float]:
    """Slow fading from near to far, and a channel that is gone."""
    fading = rayleigh_gains(300, seed=1, correlation=0.9)
    near_to_far = [gain * 10 ** (1 - 4 * i / 299) for i, gain in enumerate(fading)]
    return seconds_per_bit(link, [*near_to_far, 0.0])


@pytest.mark.parametrize("bandwidth_hz", BANDWIDTHS)
def test_ps_is_never_worse_than_any_baseline_at_any_point(bandwidth_hz: float):
    link = RadioLink(bandwidth_hz)
    costs, uncompressed = digit_costs(PRUNED, link), digit_costs(ORIGINAL, link)
    ps, psnc, *others = policies(costs, uncompressed, [each.name for each in costs])
    assert [each.name for each in (ps, psnc)] == ["PS", "PSNC"]
    assert len(others) == len(costs) > 12
    channels = trajectory(link)
    chosen = follow(ps, channels)
    for other in (psnc, *others):
        for ours, theirs in zip(chosen, follow(other, channels), strict=True):
            assert ours.energy_j <= theirs.energy_j, (other.name, ours.x)
        assert mean(chosen[:-1]).energy_j < mean(follow(other, channels)[:-1]).energy_j
    assert len({each.cut for each in chosen}) > 1


def test_every_pruned_cut_costs_at_most_what_it_did():
    """Why PSNC cannot be better than PS: its cuts are the same ones, dearer."""
    link = RadioLink()
    before = {each.name: each for each in digit_costs(ORIGINAL, link)}
    for each in digit_costs(PRUNED, link):
        assert each.processing.value <= before[each.name].processing.value
        assert each.bits.value <= before[each.name].bits.value


@pytest.mark.parametrize("gain", [10, 1, 0.1, 0.01])
def test_what_is_chosen_is_the_cheapest_priced_cut(gain: float):
    """The same cut, and the same energy, as Eq. 6 of targets/price.py."""
    link = RadioLink(gain=gain)
    graph = digits(*ORIGINAL)
    priced = price_cuts(graph, cuts(graph), TABLE, link)
    (x,) = seconds_per_bit(link, [1.0])
    (made,) = follow(Policy("PS", tuple(costs_of(priced, link))), [x])
    wanted = cheapest(priced)
    assert made.cut == "+".join(wanted.cut.tensors)
    assert made.energy_j == pytest.approx(wanted.energy.total_j, rel=1e-12)
    assert made.processing_j == pytest.approx(wanted.energy.processing_pj * 1e-12, rel=1e-12)
    assert made.transmission_j == pytest.approx(wanted.energy.radio_pj * 1e-12, rel=1e-12)
    assert made.provenance == "modelled"


def test_coded_bits_replace_raw_ones():
    link = RadioLink()
    graph = digits(*ORIGINAL)
    priced = price_cuts(graph, cuts(graph), TABLE, link)
    coded = {priced[0].cut.tensors: Quantity(7, "bit", "measured")}
    found = costs_of(priced, link, bits=coded)
    assert found[0].bits == Quantity(7, "bit", "measured")
    assert found[1].bits == Quantity(8 * priced[1].cut.nbytes, "bit", "modelled")


def test_hysteresis_follows_the_inference_before():
    link = RadioLink()
    costs = tuple(digit_costs(ORIGINAL, link))
    channels = seconds_per_bit(link, rayleigh_gains(2_000, seed=3, correlation=0.95))
    margin = 0.1
    free = follow(Policy("PS", costs), channels)
    held = follow(Policy("PS", costs, Objective(margin=margin)), channels)
    by_name = {each.name: each for each in costs}
    for best, kept in zip(free, held, strict=True):
        exact = [by_name[each.cut].energy_line.exact(each.x) for each in (best, kept)]
        assert exact[0] <= exact[1] <= (1 + Fraction(margin)) * exact[0]
    assert 0 < switches(held) < switches(free)


def switches(inferences: Sequence[Inference]) -> int:
    names = [each.cut for each in inferences]
    return sum(a != b for a, b in pairwise(names))


def test_a_dead_channel_costs_everything_unless_nothing_is_sent():
    assert seconds_per_bit(RadioLink(), [0.0, 1.0]) == [
        math.inf,
        1 / RadioLink().rate_bits_per_s,
    ]
    silent = CutCosts(
        "all", Quantity(3, "J", "modelled"), Quantity(0, "bit", "modelled"), POWER
    )
    sending = CutCosts("sends", ONE_JOULE, Quantity(1, "bit", "modelled"), POWER)
    ps = follow(Policy("PS", (sending, silent)), [0.0, math.inf])
    assert [each.cut for each in ps] == ["sends", "all"]
    assert [each.energy_j for each in ps] == [1, 3]
    assert follow(Policy("sends", (sending,)), [math.inf])[0].energy_j == math.inf


def test_a_mean_says_which_cuts_were_used():
    a = Inference(1.0, "a", 1.0, 2.0, 3.0, "modelled")
    b = Inference(1.0, "b", 2.0, 4.0, 6.0, "modelled")
    found = mean([a, b, a])
    assert (found.processing_j, found.transmission_j, found.energy_j) == (4 / 3, 8 / 3, 4)
    assert found.cuts == {"a": 2, "b": 1}
    with pytest.raises(
        ConfigError, match=r"trajectory must have an inference or more, not none"
    ):
        mean([])


def test_a_fixed_cut_must_exist():
    costs = [CutCosts("sends", ONE_JOULE, Quantity(1, "bit", "modelled"), POWER)]
    with pytest.raises(ConfigError, match=r"fixed cut must be one of sends, not 'pool1'"):
        policies(costs, None, ["pool1"])


def test_a_policy_without_a_cut_is_refused():
    costs = CutCosts("sends", ONE_JOULE, Quantity(1, "bit", "modelled"), POWER)
    bounded = Policy("PS", (costs,), Objective(max_energy_j=1.5))
    with pytest.raises(
        ConfigError,
        match=r"policy 'PS' must have a cut that keeps its bounds at channel 1 \(1000 s per bit",
    ):
        follow(bounded, [1.0, 1e3])
