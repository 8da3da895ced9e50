"""The CPU bench times what it says, in blocks that alternate, and divides the right numbers."""

from __future__ import annotations

import ctypes
import importlib
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_bundles import need_target
from cross_tools import tool
from joined_network import SHAPE, qdq_model
from rich.console import Console

import joulecut as jc
from joulecut.compiler.errors import ConfigError, DeviceError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    return importlib.import_module


class Clock:
    """A clock that calls move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log = ""

    def __call__(self) -> float:
        return self.now

    def call(self, name: str, *seconds: float) -> Callable[[], None]:
        turns = iter(seconds)
        last = seconds[-1]

        def move() -> None:
            self.now += next(turns, last)
            self.log += name

        return move


def test_blocks_alternate_and_last_alike(script: Any):
    clock = Clock()
    calls = {"a": clock.call("a", 1.0), "b": clock.call("b", 0.25)}
    found = script("interleaved").interleaved(calls, 12.0, block_s=0.5, clock=clock)
    assert clock.log == "aaabbb" + "abb" * 8
    assert (found["a"].calls, found["b"].calls) == (1, 2)
    assert found["a"].blocks == (1.0,) * 8
    assert found["b"].blocks == (0.25,) * 8


@pytest.mark.parametrize(("budget_s", "rounds"), [(0.0, 5), (1e9, 80)])
def test_rounds_have_bounds(script: Any, budget_s: float, rounds: int):
    clock = Clock()
    found = script("interleaved").interleaved(
        {"a": clock.call("a", 1.0)}, budget_s, clock=clock
    )
    assert len(found["a"].blocks) == rounds


def test_a_rest_is_followed_by_a_call_that_does_not_count(script: Any):
    clock = Clock()
    calls = {"a": clock.call("a", 1.0), "b": clock.call("b", 2.0)}
    found = script("interleaved").interleaved(calls, 0.0, clock=clock, rest_s=1e-6)
    assert clock.log == "aaabbb" + "aabb" * 5
    assert (found["a"].blocks, found["b"].blocks) == ((1.0,) * 5, (2.0,) * 5)


def test_a_timing_has_minimum_and_median(script: Any):
    timing = script("interleaved").Timing((3.0, 1.0, 9.0), 4)
    assert (timing.minimum, timing.median) == (1.0, 3.0)


def row(script: Any, *, built: bool) -> Any:
    """Times in microseconds: theirs 20 to 40 at least, ours 10."""
    timing = script("interleaved").Timing
    networks, bench = script("bench_networks"), script("bench_row")
    times = {
        "qdq": timing((40e-6, 60e-6), 1),
        "qlinear": timing((20e-6, 90e-6), 1),
        "channels_last": timing((30e-6, 50e-6), 1),
        "identity": timing((2e-6, 3e-6), 1),
    }
    if built:
        times["joulecut"] = timing((10e-6, 20e-6), 1)
    two = {key: timing((each.minimum / 2,), 1) for key, each in times.items()}
    two |= {bench.OURS_ON_ONE: timing((8e-6,), 1), bench.THEIRS_ON_ONE: timing((15e-6,), 1)}
    network = networks.BenchNetwork(
        "net", Path("net.onnx"), "x", (1, 4), "uint8", 3_000_000, "seeded"
    )
    build: dict[str, Any] = {"seconds": 1.5, "arena_bytes": 64, "arena_bound_bytes": 32}
    build |= {"text_bytes": 1000, "constant_bytes": 2000, "library_bytes": 5000}
    layer = {"name": "conv", "kind": "Conv", "macs": 9000, "ns_min": 90.0, "ns_median": 99.0}
    wide = {**layer, "name": "wide", "channels": 16, "macs": 300_000, "ns_min": 1000.0}
    wider = {**wide, "name": "wider", "macs": 540_000}
    layer["channels"] = 15
    return bench.Row(
        network=network,
        times=times,
        times2=two if built else {},
        peak=600e9 if built else None,
        clock_hz=3e9 if built else None,
        build=build if built else None,
        model_bytes=7000,
        layers=[layer, wide, wider] if built else [],
    )


def test_ratios_are_to_the_best_form(script: Any):
    found = script("bench_row").document(row(script, built=True))
    assert found["best_form"] == "qlinear"
    assert found["ratio"]["min"] == pytest.approx(10 / 20)
    # The least of the forms' medians is 40, that of channels_last; ours is 15.
    assert found["ratio"]["median"] == pytest.approx(15 / 40)
    two = found["two_threads"]
    assert two["best_form"] == "qlinear"
    assert two["speedup"]["joulecut"]["min"] == pytest.approx(8 / 5)
    assert two["speedup"]["onnxruntime"]["median"] == pytest.approx(15 / 10)
    assert found["times"]["identity"]["us_min"] == pytest.approx(2)


def shown(script: Any, *, built: bool) -> str:
    tables = script("bench_tables")
    console = Console(width=170, file=io.StringIO())
    documents = [script("bench_row").document(row(script, built=built))]
    tables.show_speed(console, documents)
    tables.show_peak(console, documents)
    tables.show_threads(console, documents)
    tables.show_sizes(console, documents, 60_000_000)
    tables.show_layers(console, documents)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_tables_show_what_was_measured(script: Any):
    text = shown(script, built=True)
    for cell in (
        "10.0 / 15.0", "20.0 / 55.0", "qlinear", "0.500 / 0.375", "300 / 150", "50% / 25%",
        "2.0 / 2.5", "1,000", "60,000,000", "100", "70%", "50% to 90%", "64%",
    ):  # fmt: skip
        assert cell in text
    assert text.count("(measured") >= 5


def test_tables_without_ours_have_dashes(script: Any):
    text = shown(script, built=False)
    assert "- / 150" in text
    assert "skipped two threads" in text
    assert "peak of vpdpbusd" not in text


def _never(_place: object) -> bool:
    return False


def test_the_best_target_that_runs_here_is_taken(script: Any, monkeypatch: pytest.MonkeyPatch):
    module = script("built_network")
    with pytest.raises(ConfigError, match="target must be one of"):
        module.best_target(frozenset(), "z80")
    monkeypatch.setattr(module, "runs_here", bool)  # a Target is true
    assert module.best_target(frozenset(["avx2"])).name == "generic_x86_64"
    every = frozenset(flag for flags in module.PREFERENCE.values() for flag in flags)
    assert module.best_target(every).name == "x86_64_v4_vnni"
    assert module.best_target(every, "x86_64").name == "generic_x86_64"
    with pytest.raises(ConfigError, match="this processor runs, not 'x86_64_v4_vnni'"):
        module.best_target(frozenset(["avx2"]), "x86_64_v4_vnni")
    monkeypatch.setattr(module, "runs_here", _never)
    with pytest.raises(ConfigError, match="must run code for x86_64_v4_vnni or x86_64, and"):
        module.best_target(every)


def test_a_built_network_gives_the_references_codes(script: Any, tmp_path: Path):
    need_target("x86_64")
    strip = script("integer_ends").with_integer_ends
    path = tmp_path / "net.onnx"
    path.write_bytes(strip(qdq_model(tmp_path, "one pixel")).SerializeToString())
    network = script("bench_networks").BenchNetwork("net", path, "x", SHAPE, "uint8", 0, "")
    built = script("built_network").built(network, jc.target("x86_64"), tmp_path)
    for seed in range(3):
        x = network.sample(seed)
        (expected,) = jc.run_reference(network.graph(), {"x": x})
        np.testing.assert_array_equal(built.outputs(x), expected)
    assert 0 < built.text_bytes < built.library_bytes
    assert built.part.weight_bytes < built.library_bytes
    names = [layer.name for layer in built.profile(2).layers]
    assert names == [layer.name for layer in built.part.layers]
    x = network.sample(9)
    expected = built.outputs(x)
    with script("built_network").team_call(built.library, built.x, built.y, 2) as call:
        if call is not None:  # one processor has no team of two
            built.y[...] = 0
            for _ in range(20):
                call()
            np.testing.assert_array_equal(built.y, expected)


def test_a_library_without_threads_has_no_team(script: Any, tmp_path: Path):
    (tmp_path / "a.c").write_text("int model_run(void) { return 0; }")
    command = [tool("gcc"), "-shared", "-fPIC", "-o", "a.so", "a.c"]
    subprocess.run(command, check=True, cwd=tmp_path)
    library = ctypes.CDLL(str(tmp_path / "a.so"))
    x = np.zeros(4, np.uint8)
    with script("built_network").team_call(library, x, x.copy(), 2) as call:
        assert call is None


def test_text_is_machine_code_without_constants(script: Any, tmp_path: Path):
    gcc, _ = tool("gcc"), tool("size", "binutils")
    source = tmp_path / "a.c"
    source.write_text("const char table[100000] = {1}; int f(int x) { return x * table[x]; }")
    library = tmp_path / "a.so"
    subprocess.run([gcc, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    assert 0 < script("built_network").text_bytes(library) < 5000
    with pytest.raises(DeviceError, match=r"size must list the sections of .*none\.so"):
        script("built_network").text_bytes(tmp_path / "none.so")


def test_the_peak_needs_vnni(script: Any, tmp_path: Path):
    module = script("vnni_peak")
    with pytest.raises(DeviceError, match="processor must have avx512_vnni for the peak"):
        module.vnni_peak(tmp_path, frozenset(["avx512f", "avx512vl"]))


def test_the_peaks_loops_run_as_often_as_they_say(script: Any, tmp_path: Path):
    flags = script("bench_cpu").cpu_flags()
    if not flags.issuperset(script("vnni_peak").NEEDED):
        pytest.skip("the processor has no AVX-512 VNNI")
    tool("gcc")
    tool("objdump", "binutils")
    peak = script("vnni_peak").vnni_peak(tmp_path, flags)
    peak.multiply()
    peak.count()
    command = ["objdump", "-d", str(tmp_path / "vnni_peak.so")]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rounds = script("vnni_peak").ROUNDS
    assert peak.products == rounds * 64 * listing.count("vpdpbusd")
    assert peak.cycles == rounds * 3 * listing.count("imul")
