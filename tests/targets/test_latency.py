"""The modelled latency: worked by hand, monotone, bounded, and shown where counts are."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from built_bundles import build_bundle
from hypothesis import given
from hypothesis import strategies as st

from joulecut.compiler.bundle import Bundle
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.profile import LayerProfile, Profile, Quantity
from joulecut.targets.cores import Core, CoreFact, core, cores
from joulecut.targets.latency import has_counts, modelled
from joulecut.targets.profile import profile

MODEL_OF_A9 = (
    "modelled: cycles and latency of Arm Cortex-A9 with NEON at 650 MHz by docs/latency.md, "
    "untested on any board"
)
MODELLED = ("cycles_modelled", "latency", "latency_worst")


def counted(instructions: float, l1_misses: float, l2_misses: float) -> LayerProfile:
    """A layer with what an emulator counts of it."""
    counts = {"instructions": instructions, "l1_misses": l1_misses, "l2_misses": l2_misses}
    return LayerProfile(
        "conv", "Conv", {name: Quantity(n, "1", "simulated") for name, n in counts.items()}
    )


def profile_of(*layers: LayerProfile) -> Profile:
    return Profile("qemu:aarch64", layers, "a machine", ("simulated",))


def round_core(*, in_order: bool) -> Core:
    """A core whose numbers can be worked by hand."""
    values = {"ipc": 2.0, "issue_width": 2.0, "l2_cycles": 20.0, "l2_line_cycles": 10.0}
    values |= {"memory_ns": 100.0, "memory_line_ns": 25.0}
    facts: dict[str, Any] = {
        name: CoreFact(value, "this test") for name, value in values.items()
    }
    return replace(core("cortex_a53"), in_order=in_order, **facts)


def numbers(found: Profile) -> tuple[float, ...]:
    (layer,) = found.layers
    return tuple(layer.quantities[name].value for name in MODELLED)


def test_in_order_every_cost_adds() -> None:
    """1000 instructions at 2 a cycle; 30 lines of L2, 10 of memory, at 2 GHz."""
    found = modelled(profile_of(counted(1000, 40, 10)), round_core(in_order=True), 2e9)
    issue, l2, memory = 500, 30 * 10, 10 * 25 * 2
    cycles = issue + l2 + memory
    worst = issue + 30 * 20 + 10 * 100 * 2
    assert numbers(found) == (cycles, cycles / 2, worst / 2) == (1300, 650, 1550)


def test_out_of_order_the_longer_hides_the_shorter() -> None:
    some = round_core(in_order=False)
    lines = modelled(profile_of(counted(1000, 40, 10)), some, 2e9)
    assert numbers(lines) == (800, 400, 1550)
    issue = modelled(profile_of(counted(1000, 4, 1)), some, 2e9)
    assert numbers(issue) == (500, 250, (500 + 3 * 20 + 1 * 200) / 2)


def test_a_line_from_memory_passes_l2() -> None:
    """At 100 MHz memory is nearer than L2: 25 ns are 2.5 cycles, and 100 ns are 10."""
    found = modelled(profile_of(counted(0, 10, 10)), round_core(in_order=True), 1e8)
    assert numbers(found) == (10 * 10, 10 * 10 * 10, 10 * 20 * 10)


def test_memory_costs_time_and_the_rest_costs_cycles() -> None:
    some, layer = round_core(in_order=True), counted(1000, 40, 10)
    slow, fast = (numbers(modelled(profile_of(layer), some, hz)) for hz in (1e9, 4e9))
    assert slow[1] == 800 / 1 + 10 * 25
    assert fast[1] == 800 / 4 + 10 * 25


def test_a_kernel_may_bring_its_own_cycles() -> None:
    some, counts = round_core(in_order=True), profile_of(counted(1000, 0, 0))
    known = {"fast": 0.5, "slow": 3.0, "elsewhere": 9.0}

    def cycles(*symbols: str) -> float:
        found = modelled(counts, some, 1e9, kernel_cpi=known, symbols={"conv": symbols})
        return numbers(found)[0]

    assert cycles() == 500  # the core's ipc
    assert cycles("unknown") == 500
    assert cycles("fast", "unknown") == 500
    assert cycles("fast", "slow") == 3000  # the slowest stands for the layer


def test_all_is_marked_and_nothing_is_lost() -> None:
    counts = profile_of(counted(1000, 40, 10), replace(counted(1, 0, 0), name="pool"))
    found = modelled(
        counts, core("cortex_a9"), 650e6, kernel_cpi={"k": 2}, symbols={"conv": "k"}
    )
    for layer, before in zip(found.layers, counts.layers, strict=True):
        assert {layer.quantities[name].provenance for name in MODELLED} == {"modelled"}
        assert before.quantities.items() <= layer.quantities.items()
    assert [layer.quantities["latency"].unit for layer in found.layers] == ["ns", "ns"]
    assert found.total()["latency"].provenance == "modelled"
    assert found.notes[:2] == ("simulated", MODEL_OF_A9)
    assert found.notes[2:] == (
        "assumed of the cortex_a9: ipc 0.7, memory_line_ns 46.5, memory_ns 177.9",
        "cycles per instruction of 1 kernels were given",
    )


COUNT = st.integers(0, 10**9)


@given(COUNT, COUNT, COUNT, st.integers(0, 10**6), st.sampled_from(cores()))
def test_more_work_never_takes_less(i: int, hits: int, misses: int, more: int, some: Core):
    def of(instructions: int, l2_hits: int, l2_misses: int) -> tuple[float, ...]:
        layer = counted(instructions, l2_hits + l2_misses, l2_misses)
        return numbers(modelled(profile_of(layer), some, 1.2e9))

    base = of(i, hits, misses)
    for heavier in (
        of(i + more, hits, misses),
        of(i, hits + more, misses),
        of(i, hits, misses + more),
    ):
        assert all(a <= b for a, b in zip(base, heavier, strict=True))
    if hits >= more:  # a line from memory costs at least as much as one from L2
        moved = of(i, hits - more, misses + more)
        assert all(a <= b * (1 + 1e-12) for a, b in zip(base, moved, strict=True))
    assert 0 <= base[1] <= base[2]


@given(COUNT, COUNT, COUNT, st.floats(1e6, 5e9), st.floats(1, 4), st.sampled_from(cores()))
def test_a_faster_clock_never_takes_longer(
    i: int, hits: int, misses: int, hz: float, times: float, some: Core
):
    counts = profile_of(counted(i, hits + misses, misses))
    slow, fast = (numbers(modelled(counts, some, clock)) for clock in (hz, hz * times))
    assert fast[1] <= slow[1] * (1 + 1e-12)
    assert fast[2] <= slow[2] * (1 + 1e-12)
    assert fast[1] * times >= slow[1] * (1 - 1e-12)


@pytest.mark.parametrize("clock_hz", [0.0, -1e9, float("nan"), float("inf")])
def test_a_clock_must_run(clock_hz: float) -> None:
    with pytest.raises(ConfigError, match=r"clock must be a positive number of Hz, not"):
        modelled(profile_of(counted(1, 0, 0)), core("cortex_a53"), clock_hz)


def test_what_is_not_counted_is_not_modelled() -> None:
    timed = LayerProfile("conv", "Conv", {"time_min": Quantity(5, "ns", "measured")})
    assert not has_counts(profile_of(timed))
    assert has_counts(profile_of(counted(1, 0, 0)))
    with pytest.raises(ConfigError, match=r"layer 'conv' must have the count instructions .*has "
                       r"only time_min; profile it on a qemu device"):  # fmt: skip
        modelled(profile_of(timed), core("cortex_a53"), 1e9)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"l1_misses include l2_misses, not 1 and 2 of 10"):
        modelled(profile_of(counted(10, 1, 2)), core("cortex_a53"), 1e9)


def test_a_kernel_takes_time() -> None:
    with pytest.raises(
        ConfigError, match=r"cycles per instruction of 'k' must be positive, not 0"
    ):
        modelled(profile_of(counted(1, 0, 0)), core("cortex_a53"), 1e9, kernel_cpi={"k": 0.0})


# --- in the profile of a built part ---------------------------------------------------------


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A network whose edge was built for a board with a clock."""
    out = tmp_path_factory.mktemp("latency") / "n.bundle"
    return build_bundle("conv1d", out, edge="raspberry_pi_4")


def test_a_counted_part_shows_the_latency_of_its_board(bundle: Bundle) -> None:
    found = profile(bundle, device="qemu:aarch64")
    bare = {**found.layers[0].quantities}
    assert all(name in layer.quantities for layer in found.layers for name in MODELLED)
    assert any("L1 32 KiB 2-way, L2 1024 KiB 16-way" in note for note in found.notes)
    assert any("Arm Cortex-A72 at 1500 MHz" in note for note in found.notes)
    cpi = 1 / core("cortex_a72").ipc.value
    assert bare["cycles_modelled"].value >= bare["instructions"].value * cpi
    assert bare["latency"].value == pytest.approx(bare["cycles_modelled"].value / 1.5)


def test_another_board_and_clock_may_be_asked_for(bundle: Bundle) -> None:
    own = profile(bundle, device="qemu:aarch64").total()
    slow = profile(bundle, device="qemu:aarch64", board="aarch64", clock_hz=1e9)
    assert any("Arm Cortex-A53 at 1000 MHz" in note for note in slow.notes)
    assert slow.total()["instructions"] == own["instructions"]
    assert slow.total()["latency"].value > own["latency"].value


def test_kernels_are_known_by_the_build_report(bundle: Bundle) -> None:
    report = (bundle.path / "edge/layers.json").read_text(encoding="utf-8")
    named = [(row["name"], row["symbols"]) for row in json.loads(report)["layers"]]
    name, symbol = next((name, symbols[-1]) for name, symbols in named if symbols)
    found = profile(bundle, device="qemu:aarch64", kernel_cpi={symbol: 50.0})
    (layer,) = [layer.quantities for layer in found.layers if layer.name == name]
    assert layer["cycles_modelled"].value == 50 * layer["instructions"].value
    assert found.notes[-1] == "cycles per instruction of 1 kernels were given"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"board": "pynq_z2", "device": "qemu:aarch64"}, "board must be aarch64, as the part is, not 'pynq_z2' of armv7"),
        ({"board": "aarch64", "device": "qemu:aarch64"}, "'aarch64' must name its clock; give one in Hz"),
        ({"board": "raspberry", "device": "qemu:aarch64"}, "target must be one of"),
        ({"clock_hz": 0.0, "device": "qemu:aarch64"}, "clock must be a positive number of Hz, not 0"),
        ({"part": "cloud", "device": "local", "board": "x86_64", "clock_hz": 3e9},
         "device must count for a latency of board 'x86_64'"),
    ],
)  # fmt: skip
def test_what_cannot_be_modelled_is_refused(
    bundle: Bundle, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        profile(bundle, **options)


def test_without_a_clock_counts_stay_counts(bundle: Bundle) -> None:
    found = profile(bundle, part="cloud", device="qemu:x86_64")
    assert has_counts(found)
    assert "latency" not in found.layers[0].quantities
