"""Which cuts an adaptive bundle holds, and where their tensors lie in the edge's workspace."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from built_bundles import samples
from integer_graphs import NETWORKS, conv1d, two_inputs
from selection_cases import random_channels

from joulecut.compiler.config import CodecConfig
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.objective import Objective
from joulecut.compiler.pieces import pieces
from joulecut.compiler.reference import trace
from joulecut.compiler.selection import choose
from joulecut.compiler.uncut import all_in_cloud, all_on_edge
from joulecut.hw.energy_table import load_table
from joulecut.hw.radio import RadioLink
from joulecut.targets.adaptive.choices import (
    Choices,
    Ground,
    PredictedTimes,
    Times,
    candidates,
    choices,
)
from joulecut.targets.base import target
from joulecut.targets.cpu.cut_memory import cut_memory
from joulecut.targets.layer_costs import layer_costs

LOSSLESS = CodecConfig()


def chosen(
    objective: Objective, max_cuts: int = 16, times: Times | PredictedTimes | None = None
) -> Choices:
    graph = two_inputs()
    known = trace(graph, samples(graph, 2))
    prices = load_table("horowitz_45nm")
    ground = Ground(objective, RadioLink(), prices, LOSSLESS, times, 10, max_cuts)
    return choices(graph, known, ground)


def test_every_cut_is_chosen_somewhere() -> None:
    found = chosen(Objective())
    assert {each for each in found.table.choices if each is not None} == set(
        range(len(found.cuts))
    )
    for x in random_channels(0, 200):
        assert found.table.lookup(x) == choose(found.costs, x, Objective())


def test_beyond_the_limit_the_widest_channels_stay() -> None:
    every, few = chosen(Objective()), chosen(Objective(), max_cuts=2)
    assert len(every.cuts) > len(few.cuts) == 2
    assert few.cuts == (every.cuts[0], every.cuts[-1])  # they reach to 0 and to infinity


def test_latency_follows_from_assumed_speeds() -> None:
    found = chosen(Objective(0, 1), times=Times(1e6, 1e9, 0.01))
    for cut, costs in zip(found.cuts, found.costs, strict=True):
        assert costs.edge_time is not None
        assert costs.cloud_time is not None
        assert costs.edge_time.value == cut.edge_macs / 1e6
        assert costs.cloud_time.value == cut.cloud_macs / 1e9 + 0.01
        assert costs.latency_provenance == "assumed"


def test_latency_is_predicted_for_targets_with_a_clock() -> None:
    graph, table = two_inputs(), load_table("horowitz_45nm")
    edge = layer_costs(graph, target("raspberry_pi_4"), table)
    cloud = layer_costs(graph, target("x86_64"), table, clock_hz=3e9)
    found = chosen(Objective(0, 1), times=PredictedTimes(edge, cloud, 0.01))
    assert edge.seconds is not None
    assert cloud.seconds is not None
    for cut, costs in zip(found.cuts, found.costs, strict=True):
        assert costs.edge_time is not None
        assert costs.cloud_time is not None
        assert costs.edge_time.provenance == "modelled"
        assert costs.cloud_time.provenance == "assumed"
        assert costs.edge_time.value == math.fsum(edge.seconds[name] for name in cut.edge)
        rest = math.fsum(v for name, v in cloud.seconds.items() if name not in cut.edge)
        assert costs.cloud_time.value == rest + 0.01


def test_bounds_that_no_cut_keeps_are_refused() -> None:
    with pytest.raises(ConfigError, match="must keep the objective's bounds at some channel"):
        chosen(Objective(max_latency_s=1e-3), times=Times(1e6, 1e9, 0.01))


def test_bits_are_those_of_the_messages() -> None:
    found = chosen(Objective())
    graph = two_inputs()
    known = trace(graph, samples(graph, 2))
    for code, costs in zip(found.codes, found.costs, strict=True):
        lengths = [
            2 + len(code.pack([known[spec.name][i : i + 1] for spec in code.specs]))
            for i in range(2)
        ]
        assert costs.bits.value == 8 * np.mean(lengths)
        assert costs.bits.provenance == "measured"


def test_a_lossy_codec_leaves_out_what_it_cannot_quantize() -> None:
    graph = conv1d()
    lossy = candidates(graph, CodecConfig(quantizer="sq"), 100)
    types = {spec.dtype for cut in lossy[:-1] for spec in cut.specs}
    assert types <= {"int8", "uint8", "float32"}
    assert len(lossy) < len(candidates(graph, LOSSLESS, 100))


@pytest.mark.parametrize("name", NETWORKS)
def test_no_two_live_tensors_overlap(name: str) -> None:
    graph = NETWORKS[name]()
    every = candidates(graph, LOSSLESS, 6)
    found = pieces(graph, every)
    arena_bytes = [100 * (number + 1) for number in range(len(found))]
    outputs = [spec.name for spec in all_on_edge(graph).specs]
    for number, cut in enumerate(every):
        memory = cut_memory(found, number, cut.specs, outputs, arena_bytes)
        link = {spec.name for spec in cut.specs}
        sizes = {spec.name: spec.nbytes for piece in found for spec in piece.outputs}
        for step, piece in enumerate(memory.pieces):
            later = [found[each] for each in memory.pieces[step:]]
            read = {spec.name for each in later for spec in each.inputs} | link
            made = {
                spec.name for each in memory.pieces[: step + 1] for spec in found[each].outputs
            }
            alive = {name for name in memory.offsets if name in made & read}
            alive |= {spec.name for spec in found[piece].outputs} & memory.offsets.keys()
            busy = [(memory.offsets[name], sizes[name]) for name in sorted(alive)]
            busy.append((memory.arenas[step], arena_bytes[piece]))
            busy.sort()
            for (start, nbytes), (following, _) in pairwise(busy):
                assert start + nbytes <= following
            assert busy[-1][0] + busy[-1][1] <= memory.nbytes
        for name in link & memory.offsets.keys():
            assert memory.offsets[name] + sizes[name] <= memory.coding_offset


def test_everything_in_the_cloud_needs_no_memory() -> None:
    graph = conv1d()
    cut = all_in_cloud(graph)
    memory = cut_memory(pieces(graph, [cut]), 0, cut.specs, [], [64])
    assert (memory.pieces, memory.offsets, memory.nbytes, memory.coding_offset) == (
        (),
        {},
        0,
        0,
    )
