"""Parts for a processor with an accelerator: who runs what, that it is right, and what it costs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from built_bundles import middle_plan, need_target, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_graphs import NETWORKS, feeds, random_graph
from rtl_design import absent, require

from joulecut.compiler.bundle import Bundle, read_bundle, write_bundle
from joulecut.compiler.cut import cuts
from joulecut.compiler.errors import ConfigError, DeviceError, UntrustedInputError
from joulecut.compiler.graph import Graph, constant_of, input_specs, nodes, output_specs
from joulecut.compiler.layers import layers
from joulecut.compiler.plan import partition
from joulecut.compiler.reference import run_reference, trace
from joulecut.hw import verilator
from joulecut.hw.config import CONFIGS, Z7020
from joulecut.hw.energy_table import load_table
from joulecut.targets.base import target
from joulecut.targets.build import build
from joulecut.targets.devices import fpga_sim
from joulecut.targets.devices.device import device, device_for
from joulecut.targets.devices.fpga_sim import FpgaSimDevice
from joulecut.targets.fpga.assign import Unit, assignment_of, cheapest
from joulecut.targets.fpga.lower import program_of, refusals
from joulecut.targets.fpga.part import layer_cycles, layer_energies
from joulecut.targets.fpga.program import Program, RtlMachine
from joulecut.targets.fpga.segments import assigned, segments
from joulecut.targets.profile import profile
from joulecut.targets.session import run_split
from joulecut.targets.verify import verify

HERE = "x86_64+z7020"  # the processor's layers run natively
Built = Callable[..., Bundle]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Bundles, each built once."""
    folder, known = tmp_path_factory.mktemp("mixed"), dict[tuple[str, str], Bundle]()

    def get(name: str, edge: str = HERE) -> Bundle:
        if (name, edge) not in known:
            need_target(edge)
            graph = NETWORKS[name]()
            plan = partition(graph, cuts(graph)[-1])
            vectors = samples(graph, 3, first_seed=100)
            out = folder / f"{name}-{edge}.bundle"
            known[name, edge] = build(plan, edge=edge, out=out, vectors=vectors)
        return known[name, edge]

    return get


# Which layers run where


@pytest.mark.parametrize("seed", range(25))
def test_segments_compose_to_the_whole(seed: int) -> None:
    graph = random_graph(seed)
    rng = np.random.default_rng(seed)
    names = [layer.name for layer in layers(graph)]
    found = segments(graph, {name for name in names if rng.integers(2)})
    assert sorted(names) == sorted(
        layer.name for segment in found for layer in layers(segment.graph)
    )
    assert all(a.place != b.place for a, b in itertools.pairwise(found))
    known = feeds(graph, seed)
    expected = trace(graph, known)
    for segment in found:
        read = {spec.name: known[spec.name] for spec in input_specs(segment.graph)}
        made = run_reference(segment.graph, read)
        known |= dict(zip((s.name for s in output_specs(segment.graph)), made, strict=True))
    for spec in output_specs(graph):
        np.testing.assert_array_equal(known[spec.name], expected[spec.name])


@pytest.mark.parametrize("name", NETWORKS)
def test_only_what_is_refused_stays(name: str) -> None:
    graph = NETWORKS[name]()
    found = assigned(graph, Z7020)
    everything = {layer.name for layer in layers(graph)}
    assert found.on_array() | found.reasons.keys() == everything
    assert not found.on_array() & found.reasons.keys()
    assert len(found.on_array()) > len(everything) // 2 or name == "two_inputs"
    for segment in found.segments:
        if segment.place == "array":
            assert program_of(segment.graph, Z7020).descriptors


def test_a_weight_of_minus_128_keeps_its_layer_on_the_processor() -> None:
    graph = NETWORKS["digits"]()
    conv = next(node for node in nodes(graph) if node.op_type == "Conv")
    weights = constant_of(conv.inputs[1])
    assert weights is not None
    assert conv.inputs[1] is not None
    changed = np.where(np.arange(weights.size).reshape(weights.shape) == 7, -128, weights)
    conv.inputs[1].const_value = ir.tensor(changed.astype(np.int8), name=conv.inputs[1].name)
    found = assigned(graph, Z7020)
    (reason,) = (text for text in found.reasons.values() if "-128" in text)
    assert "quantize with a narrow range" in reason
    assert "n2.requantize" in found.reasons
    assert "n5.requantize" in found.on_array()


def test_what_only_lacks_an_operand_is_not_refused() -> None:
    found = refusals(NETWORKS["digits"](), Z7020)
    assert found["n0.quantize"] == "no operation of the accelerator"
    assert "n3.maxpool" not in found  # for want of n2, which wants n0


def test_layers_that_move_nothing_stay() -> None:
    graph = NETWORKS["digits"]()
    every = assigned(graph, Z7020)
    products = {layer.name: "test" for layer in layers(graph) if "MatMul" in layer.kind}
    found = assigned(graph, Z7020, {**every.reasons, **products})
    assert found.reasons["n13.reshape"] == "what it makes must be read by products only"


# Bundles


@pytest.mark.parametrize("name", ["digits", "resnet8", "dense_block", "two_inputs"])
def test_every_layer_is_the_reference_s(name: str, built: Built) -> None:
    report = verify(built(name), ["reference", "fpga-sim,engine=model"])
    report.require()
    assert {row["part"] for row in report.rows()} == {"whole", "edge", "cloud", "split"}


@pytest.mark.parametrize("edge", [HERE, "pynq_z2+z7020", "aarch64+z7020-wide"])
def test_the_rtl_beside_each_processor(edge: str, built: Built) -> None:
    require("verilator")
    report = verify(built("dense_block", edge), ["tvm", "rtl"])
    report.require()
    places = [row["note"] for row in report.rows() if row["part"] == "edge"]
    assert places == ["on fpga-sim"] * 2


def test_a_cloud_may_have_one_too(tmp_path: Path) -> None:
    plan = middle_plan(NETWORKS["digits"]())
    build(plan, edge="x86_64", cloud=HERE, out=tmp_path / "b.bundle")
    report = verify(tmp_path / "b.bundle", ["fpga-sim,engine=model", "tvm"])
    report.require()
    assert [row["part"] for row in report.rows()][:2] == ["cloud", "split"]


def test_frames_are_those_of_the_processor_alone(built: Built, tmp_path: Path) -> None:
    """What crosses is coded by the same program, from the same integers."""
    graph = NETWORKS["digits"]()
    plan = partition(graph, cuts(graph)[-1])
    given_feeds = samples(graph, 4)
    build(plan, edge="x86_64", out=tmp_path / "b.bundle", vectors=samples(graph, 3, 100))
    alone = run_split(tmp_path / "b.bundle", given_feeds)
    seen: list[tuple[int, int]] = []
    mixed = run_split(
        built("digits"),
        given_feeds,
        "fpga-sim,engine=model",
        progress=lambda done, count: seen.append((done, count)),
    )
    np.testing.assert_array_equal(alone.coded_bytes, mixed.coded_bytes)
    for name, array in alone.outputs.items():
        np.testing.assert_array_equal(array, mixed.outputs[name])
    assert seen[-1] == (8, 8)
    assert seen == sorted(seen)


def test_the_same_build_gives_the_same_bytes(built: Built, tmp_path: Path) -> None:
    graph = NETWORKS["two_inputs"]()
    plan = partition(graph, cuts(graph)[-1])
    vectors = samples(graph, 3, first_seed=100)
    again = build(plan, edge=HERE, out=tmp_path / "again.bundle", vectors=vectors)
    assert again.digest == built("two_inputs").digest


def test_the_folder_says_who_runs_what(built: Built) -> None:
    bundle = built("digits")
    said = json.loads(bundle.open("edge/segments.json"))
    assert (said["processor"], said["accelerator"]) == ("generic_x86_64", "z7020")
    assert [run["place"] for run in said["segments"]] == ["processor", "array", "processor"]
    assert said["segments"][-1]["sends"] == ["n22.matmul"]
    assert [spec["name"] for spec in said["inputs"]] == ["x"]
    assert set(said["kept"]) == {"n0.quantize", "n22.matmul"}
    assert {"edge/0/model", "edge/1/program.json", "edge/driver.py"} <= bundle.files.keys()


# What it costs


def test_cycles_of_layers_add_up() -> None:
    program = digits_program()
    cycles = layer_cycles(program)
    assert sum(cycles.values()) == program.counts().cycles
    assert list(cycles) == [v.name for v in program.layers if v.name in cycles]
    assert all(own > 0 for own in cycles.values())
    products = {name: own for name, own in cycles.items() if "pool" not in name}
    pools = {name: own for name, own in cycles.items() if "pool" in name}
    assert min(products.values()) < max(pools.values()) < max(products.values())


def test_energies_of_layers_add_up() -> None:
    from joulecut.hw.accelerator_energy import accelerator_energy

    program, table = digits_program(), load_table("horowitz_45nm")
    whole = accelerator_energy(program.config, program.descriptors, table, macs=program.macs)
    assert sum(layer_energies(program, table).values()) == pytest.approx(whole.total_pj)


def digits_program() -> Program:
    (segment,) = (
        s for s in assigned(NETWORKS["digits"](), Z7020).segments if s.place == "array"
    )
    return program_of(segment.graph, Z7020)


def test_a_profile_has_both_sides_and_what_lies_between(built: Built) -> None:
    require("verilator")
    bundle = built("digits", "pynq_z2+z7020")
    found = profile(bundle)
    names = [layer.name for layer in found.layers]
    assert names[0] == "n0.quantize"
    assert names[1] == "hand over: n0.quantize"
    assert names[-3:] == ["hand over: n21.requantize", "n22.matmul", "link: encode"]
    rows = {layer.name: layer.quantities for layer in found.layers}
    cycles = {name: row["cycles"] for name, row in rows.items() if "cycles" in row}
    total = int(sum(own.value for own in cycles.values()))
    assert f"{total} cycles by the RTL's counters (simulated)" in " ".join(found.notes)
    for name, own in cycles.items():
        assert rows[name]["latency"].value == pytest.approx(own.value * 10)  # ns at 100 MHz
        assert own.provenance == "modelled"
    over = rows["hand over: n0.quantize"]
    assert over["handed_over"].value == 8 * 28 * 28  # one channel, in planes of 8
    assert over["instructions"].provenance == "assumed"
    assert found.total()["latency"].provenance == "modelled"
    assert found.total()["latency"].value > sum(own.value for own in cycles.values()) * 10
    assert (
        found.total()["macs"].value
        == profile(bundle, device="fpga-sim,engine=model").total()["macs"].value
    )


def test_a_counter_that_is_not_the_model_s_stops_the_profile(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("verilator")

    class Faster(RtlMachine):
        def run(
            self, program: Program, feeds: Mapping[str, np.ndarray]
        ) -> dict[str, np.ndarray]:
            found = super().run(program, feeds)
            self.counts = replace(self.counts, cycles=self.counts.cycles - 1)
            return found

    monkeypatch.setattr(fpga_sim, "RtlMachine", Faster)
    with pytest.raises(DeviceError, match="counters of the RTL must equal the cycle model's"):
        profile(built("two_inputs"))


# Who should run what


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 7))
def test_the_cheapest_places_are_found(seed: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    units = [
        Unit(
            (f"{i}",),
            float(rng.integers(1, 9)),
            float(rng.integers(1, 9)) if rng.integers(4) else None,
        )
        for i in range(length)
    ]
    crossings = [(float(a), float(b)) for a, b in rng.integers(0, 5, (length + 1, 2))]

    def cost(places: tuple[str, ...]) -> float:
        total, last = 0.0, "processor"
        for unit, place, (there, back) in zip(units, places, crossings, strict=False):
            own = unit.on_processor if place == "processor" else unit.on_array
            if own is None:
                return float("inf")
            switch = {"array": there, "processor": back}[place]
            total, last = total + own + (switch if place != last else 0.0), place
        return total + (crossings[-1][1] if last == "array" else 0.0)

    best = min(
        cost(places) for places in itertools.product(("processor", "array"), repeat=length)
    )
    assert cost(cheapest(units, crossings)) == best


@pytest.mark.parametrize("assign", ["time", "energy"])
def test_layers_that_do_not_pay_stay(assign: Any) -> None:
    need_target("pynq_z2")
    graph = NETWORKS["digits"]()
    edge = partition(graph, cuts(graph)[-1]).edge.graph
    said: list[str] = []
    found = assignment_of(edge, target("pynq_z2+z7020"), assign, said.append)
    unit = {"time": "ms", "energy": "uJ"}[assign]
    priced = [reason for reason in found.reasons.values() if "(modelled)" in reason]
    assert priced
    assert all(f" {unit} here, " in reason for reason in priced)
    assert "n5.requantize" in found.on_array()  # 2.5 M of 6.2 M products
    assert "n17.requantize" in found.reasons  # weights of 128 KiB, read once
    assert said == ["count what the layers cost pynq_z2 and 'z7020'"]
    assert len(found.on_array()) < len(
        assignment_of(edge, target("pynq_z2+z7020"), "all").on_array()
    )


def test_layers_are_priced_for_boards_alone() -> None:
    graph = NETWORKS["digits"]()
    message = "target 'generic_x86_64' must have a clock in its facts to assign layers by time"
    with pytest.raises(ConfigError, match=message):
        assignment_of(graph, target(HERE), "time")


# Names and errors


def test_targets_with_an_accelerator() -> None:
    place = target("armv7+zu")
    assert (place.name, place.accelerator) == ("pynq_z2+zu", CONFIGS["zu"])
    assert place.processor == target("pynq_z2")
    assert target("pynq_z2").processor is target("pynq_z2")
    assert isinstance(device_for(place), FpgaSimDevice)
    with pytest.raises(ConfigError, match=r"'pynq_z2\+7' must be one of z7020, z7020-wide, zu"):
        target("pynq_z2+7")
    with pytest.raises(ConfigError, match="the closest is pynq_z2"):
        target("pynq_z+z7020")


def test_addresses() -> None:
    assert device("fpga-sim").address == "fpga-sim"
    assert device("fpga-sim,engine=model").address == "fpga-sim,engine=model"
    with pytest.raises(
        ConfigError, match=r"engine of fpga-sim must be one of rtl, model, not 'c'"
    ):
        device("fpga-sim,engine=c")
    with pytest.raises(ConfigError, match=r"device must be .*fpga-sim"):
        device("fpga-sim,clock=1")


def test_a_part_without_one_is_refused(built: Built, tmp_path: Path) -> None:
    need_target("x86_64")
    build(middle_plan(NETWORKS["digits"]()), edge="x86_64", out=tmp_path / "b.bundle")
    with pytest.raises(DeviceError, match="must be built for a target with an accelerator"):
        profile(tmp_path / "b.bundle", device="fpga-sim")
    with pytest.raises(
        ConfigError, match="engine 'rtl' must be for a part with an accelerator"
    ):
        verify(tmp_path / "b.bundle", ["rtl"])
    with pytest.raises(DeviceError, match=r"must have the accelerator 'z7020'.*not be local"):
        run_split(built("digits"), samples(NETWORKS["digits"](), 1), "local")
    with pytest.raises(ConfigError, match=r"edge: x86_64\+z7020"):
        verify(built("digits"), ["qemu:aarch64"])


def test_a_missing_simulator_is_named(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verilator.shutil, "which", absent)
    with pytest.raises(DeviceError, match=r"g\+\+ must be installed to simulate"):
        FpgaSimDevice().check()
    with pytest.raises(DeviceError, match=r"g\+\+ must be installed to simulate"):
        verify(built("two_inputs"), ["rtl"])
    FpgaSimDevice("model").check()


@pytest.mark.parametrize(
    ("key", "value"),
    [("place", "cloud"), ("folder", "../.."), ("inputs", None), ("outputs", [{"name": "y"}])],
)
def test_untrusted_segments(key: str, value: Any, built: Built, tmp_path: Path) -> None:
    bundle = built("two_inputs")
    said = json.loads(bundle.open("edge/segments.json"))
    said["segments"][0][key] = value
    files = {name: bundle.open(name) for name in bundle.files}
    files["edge/segments.json"] = json.dumps(said).encode()
    fields = {k: v for k, v in bundle.manifest.items() if k not in ("files", "schema_version")}
    odd = write_bundle(tmp_path / "odd.bundle", fields, files)
    with pytest.raises(UntrustedInputError, match=r"segments\.json|tensor spec"):
        verify(read_bundle(odd.path), ["fpga-sim,engine=model"])


def test_progress_says_what_stays(tmp_path: Path) -> None:
    said: list[str] = []
    graph: Graph = NETWORKS["digits"]()
    plan = partition(graph, cuts(graph)[-1])
    build(plan, edge=HERE, out=tmp_path / "b.bundle", progress=said.append)
    assert "13 layers on the accelerator, 2 not" in said
    assert "  'n0.quantize' stays with the processor: no operation of the accelerator" in said
