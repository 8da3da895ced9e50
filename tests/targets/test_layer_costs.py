"""Costs of layers add up to those of networks, and a profile replaces what was predicted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from integer_graphs import NETWORKS

from joulecut.compiler.cost import cost, cost_of_layer
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.layers import layers
from joulecut.compiler.profile import LayerProfile, Profile, Quantity
from joulecut.hw.energy_table import load_table
from joulecut.hw.radio import RadioLink
from joulecut.targets.base import target
from joulecut.targets.cores import core_of
from joulecut.targets.fpga.lower import program_of
from joulecut.targets.fpga.part import layer_cycles, layer_energies
from joulecut.targets.fpga.segments import assigned
from joulecut.targets.kernel_rates import kernel_rates, predicted, products, rates_of
from joulecut.targets.latency import NS, latency_of
from joulecut.targets.layer_costs import layer_costs
from joulecut.targets.price import price

TABLE = load_table("horowitz_45nm")
BOARDS = ("raspberry_pi_3", "raspberry_pi_4", "raspberry_pi_5", "pynq_z2", "visionfive_2")


@pytest.mark.parametrize("name", ["digits", "resnet8", "depthwise_separable"])
def test_operations_add_up_to_the_price_of_the_network(name: str):
    graph = NETWORKS[name]()
    costs = layer_costs(graph, target("raspberry_pi_4"), TABLE)
    whole = price(cost(graph), 0, TABLE, RadioLink()).processing_pj
    assert sum(costs.joules.values()) * 1e12 == pytest.approx(whole)
    assert list(costs.joules) == [layer.name for layer in layers(graph)]


@pytest.mark.parametrize("board", BOARDS)
def test_times_are_those_of_the_latency_model(board: str):
    graph, place = NETWORKS["digits"](), target(board)
    core = core_of(place)
    assert core is not None
    costs = layer_costs(graph, place, TABLE)
    assert costs.seconds is not None
    assert costs.time_provenance == "modelled"
    for row in predicted(layers(graph), place.kernels, core):
        expected = latency_of(row, core, place.facts["clock_hz"].value) / NS
        assert costs.seconds[row.name] == expected


def test_predicted_instructions_by_hand():
    graph = NETWORKS["depthwise_separable"]()
    place = target("raspberry_pi_5")
    core, rates = core_of(place), rates_of(place.kernels)
    assert core is not None
    every = layers(graph)
    rows = predicted(every, place.kernels, core)
    kinds = {products(layer, cost_of_layer(layer))[1] > 0 for layer in every}
    assert kinds == {True, False}
    for layer, row in zip(every, rows, strict=True):
        counts = cost_of_layer(layer)
        dense, depthwise = products(layer, counts)
        assert dense + depthwise == counts.macs
        moved = counts.activation_bytes_in + counts.activation_bytes_out
        assert row.quantities["instructions"].value == (
            rates.per_mac * dense + rates.per_depthwise_mac * depthwise + rates.per_byte * moved
        )
        lines = (counts.weight_bytes + counts.constant_bytes) / 64
        assert row.quantities["l2_misses"].value == 0
        assert row.quantities["l1_misses"].value >= lines


def test_weights_beyond_l2_come_from_memory():
    graph, place = NETWORKS["digits"](), target("pynq_z2")
    core = core_of(place)
    assert core is not None
    assert cost(graph).weight_bytes < core.l2_bytes.value
    rows = predicted(layers(graph), place.kernels, core)
    assert sum(row.quantities["l2_misses"].value for row in rows) == 0
    tiny = replace(core, l2_bytes=replace(core.l2_bytes, value=65536.0))
    rows = predicted(layers(graph), place.kernels, tiny)
    counts = cost(graph)
    lines = (counts.weight_bytes + counts.constant_bytes) / core.line_bytes.value
    assert sum(row.quantities["l2_misses"].value for row in rows) == pytest.approx(lines)


def test_every_family_is_faster_than_portable_kernels():
    rates = dict(kernel_rates())
    portable = rates.pop("portable")
    assert len(rates) >= 5
    for each in rates.values():
        assert 0 < each.per_mac < portable.per_mac / 10
        assert "predicted off by" in each.source


def test_instructions_are_another_account():
    graph = NETWORKS["digits"]()
    fast, slow = (
        layer_costs(graph, target(name), TABLE, account="instructions")
        for name in ("raspberry_pi_5", "visionfive_2")
    )
    assert sum(fast.joules.values()) < sum(slow.joules.values()) / 5
    core = core_of(target("raspberry_pi_5"))
    assert core is not None
    rows = predicted(layers(graph), "sdot", core)
    pj = TABLE.instruction("in_order").pj()
    row = next(row for row in rows if not row.quantities["l2_misses"].value)
    expected = row.quantities["instructions"].value * pj
    assert fast.joules[row.name] * 1e12 == pytest.approx(expected)


class TestAccelerator:
    def test_its_layers_take_its_cycles_and_energy(self):
        graph, place = NETWORKS["digits"](), target("pynq_z2+z7020")
        assert place.accelerator is not None
        costs = layer_costs(graph, place, TABLE)
        assert costs.seconds is not None
        assert costs.time_provenance == "assumed"  # instructions of a hand-over are
        plain = layer_costs(graph, place.processor, TABLE)
        assert plain.seconds is not None
        found = assigned(graph, place.accelerator)
        cycles = energy_pj = 0.0
        for segment in found.segments:
            if segment.place == "array":
                program = program_of(segment.graph, place.accelerator)
                cycles += sum(layer_cycles(program).values())
                energy_pj += sum(layer_energies(program, TABLE).values())
        on_array = found.on_array()
        seconds = sum(costs.seconds[name] for name in on_array)
        handed = seconds - cycles / place.accelerator.clock_hz
        assert 0 < handed < 1e-3
        joules = sum(costs.joules[name] for name in on_array)
        assert joules * 1e12 == pytest.approx(energy_pj)
        assert sum(costs.seconds.values()) < sum(plain.seconds.values())
        assert f"{len(on_array)} of {len(layers(graph))} layers" in costs.notes[-1]


class TestProfile:
    def test_a_row_stands_for_what_was_fused_into_it(self):
        graph = NETWORKS["digits"]()
        every = layers(graph)
        convs = [layer for layer in every if layer.kind.startswith("Conv")]
        pools = [layer for layer in every if layer.kind == "MaxPool"]
        fused = {pool.name for pool in pools}
        rows = [
            LayerProfile(layer.name, "", {"time_min": Quantity(1000.0 + i, "ns", "measured")})
            for i, layer in enumerate(every)
            if layer not in convs
        ]
        times = {row.name: row.quantities["time_min"].value / NS for row in rows}
        profile = Profile("ssh://board", tuple(rows), "a board")
        costs = layer_costs(graph, target("raspberry_pi_4"), TABLE, profile=profile)
        assert costs.seconds is not None
        assert costs.time_provenance == "measured"
        assert sum(costs.seconds.values()) == pytest.approx(sum(times.values()))
        for conv, pool in zip(convs, pools, strict=True):
            assert pool.name in fused
            assert costs.seconds[conv.name] == times[pool.name]
            assert costs.seconds[pool.name] == 0

    def test_it_must_cover_the_network(self):
        graph = NETWORKS["digits"]()
        first = layers(graph)[0].name
        row = LayerProfile(first, "", {"time_min": Quantity(1.0, "ns", "measured")})
        with pytest.raises(
            ConfigError, match="must cover every layer of the network, and lacks"
        ):
            layer_costs(
                graph, target("aarch64"), TABLE, profile=Profile("local", (row,), "here")
            )

    def test_it_must_hold_times(self):
        row = LayerProfile("a", "", {"cycles": Quantity(1.0, "cycle", "simulated")})
        with pytest.raises(ConfigError, match="must hold latency or time_min for every layer"):
            layer_costs(
                NETWORKS["digits"](),
                target("aarch64"),
                TABLE,
                profile=Profile("local", (row,), "here"),
            )


def test_a_target_without_a_clock_has_no_times_unless_one_is_given():
    graph = NETWORKS["digits"]()
    costs = layer_costs(graph, target("x86_64"), TABLE)
    assert costs.seconds is None
    assert "names no clock, so no time; give one" in costs.notes[0]
    given = layer_costs(graph, target("x86_64"), TABLE, clock_hz=3e9)
    assert given.seconds is not None
    assert given.time_provenance == "assumed"


def test_kernels_that_nobody_counted_have_no_times():
    costs = layer_costs(NETWORKS["digits"](), target("x86_64_v4_vnni"), TABLE, clock_hz=3e9)
    assert costs.seconds is None
    assert "kernels must be one of" in costs.notes[0]
    with pytest.raises(ConfigError, match="to predict what they cost, not 'vnni512'"):
        rates_of("vnni512")
    with pytest.raises(ConfigError, match="choose a board such as raspberry_pi_4, or account"):
        layer_costs(
            NETWORKS["digits"](), target("x86_64_v4_vnni"), TABLE, account="instructions"
        )


def test_an_unknown_account_is_refused():
    with pytest.raises(ConfigError, match="account must be one of operations, instructions"):
        layer_costs(NETWORKS["digits"](), target("aarch64"), TABLE, account="x")  # pyright: ignore[reportArgumentType]
