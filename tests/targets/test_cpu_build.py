"""Whole parts: equal to the reference on every architecture, small, reproducible, documented."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from cpu_cases import Cases
from cpu_parts import Builder, assert_equal, require_tools, run_here, run_program
from integer_graphs import NETWORKS, feeds, random_graph

from joulecut.compiler.errors import DeviceError, UnsupportedError
from joulecut.compiler.graph import Graph
from joulecut.compiler.layers import Layer, layers
from joulecut.targets.base import Target, target
from joulecut.targets.cpu.build import FILES, build_part, tiling_of
from joulecut.targets.cpu.cache import llvm_target
from joulecut.targets.cpu.lower import lower
from joulecut.targets.cpu.script import Step

X86 = target("x86_64")


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("parts"))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_equal_the_reference(name: str, builder: Builder) -> None:
    graph = NETWORKS[name]()
    built = builder(graph, X86)
    for seed in range(3):
        assert_equal(graph, feeds(graph, seed), run_here(built, feeds(graph, seed)))


@pytest.mark.parametrize("seed", [0, 2, 11])
def test_random_networks_equal_the_reference(seed: int, builder: Builder) -> None:
    graph = random_graph(seed, floats=True)
    assert_equal(graph, feeds(graph, seed), run_here(builder(graph, X86), feeds(graph, seed)))


@pytest.mark.tool
@pytest.mark.parametrize("arch", ["aarch64", "raspberry_pi_4", "armv7", "riscv64"])
@pytest.mark.parametrize("name", ["digits", "resnet8", "two_inputs"])
def test_networks_on_other_architectures(
    name: str, arch: str, builder: Builder, tmp_path: Path
) -> None:
    place, graph = target(arch), NETWORKS[name]()
    require_tools(place)
    samples = [feeds(graph, seed) for seed in range(2)]
    found = run_program(builder(graph, place), place, samples, tmp_path)
    for sample, each in zip(samples, found, strict=True):
        assert_equal(graph, sample, each)


def passing_through() -> Graph:
    """Outputs that nothing computes: an input, another name of it, one output twice."""
    cases = Cases()
    x, y = cases.input((1, 6), "int8"), cases.input((1, 2), "int8")
    flat = cases.constant(np.array([1, 3, 2], np.int64))
    view = cases.node("Reshape", [x, flat], {}, name="view", domain="", shape=(1, 3, 2))
    cases.node("Identity", [view], {}, name="again", domain="")
    cases.node("Concat", [x, y], {"axis": 1}, name="both", domain="")
    graph = cases.graph()
    graph.graph.outputs.append(x)
    return graph


def test_outputs_that_nothing_computes(builder: Builder) -> None:
    graph = passing_through()
    built = builder(graph, X86)
    rng = np.random.default_rng(0)
    sample = {
        "in0": rng.integers(-99, 99, (1, 6)).astype(np.int8),
        "in1": rng.integers(-99, 99, (1, 2)).astype(np.int8),
    }
    assert_equal(graph, sample, run_here(built, sample))


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    graph = NETWORKS["two_inputs"]()
    for name in ("one", "two/deeper"):  # caches and places of their own
        build_part(graph, X86, tmp_path / name, cache_dir=tmp_path / name / "cache")
    for file in FILES:
        one, two = (tmp_path / name / file for name in ("one", "two/deeper"))
        assert one.read_bytes() == two.read_bytes(), file
        assert str(tmp_path).encode() not in one.read_bytes()
    left = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert left == sorted([*FILES, "cache"])


def test_a_second_build_compiles_nothing(builder: Builder, tmp_path: Path) -> None:
    graph = NETWORKS["two_inputs"]()
    builder(graph, X86)
    said: list[str] = []
    build_part(graph, X86, tmp_path, cache_dir=builder.cache_dir, progress=said.append)
    assert [line.split()[0] for line in said] == ["link"]


def test_the_library_needs_libc_only(builder: Builder) -> None:
    library = builder(NETWORKS["digits"](), X86).directory / "libmodel.so"
    named = _say("nm", "-D", "--undefined-only", str(library))
    strong = {line.split()[1].split("@")[0] for line in named.splitlines() if " U " in line}
    teams = {name for name in strong if name.startswith(("pthread_", "sched_", "__sched_"))}
    assert strong - teams <= {"memcpy", "memset", "memmove", "aligned_alloc", "free"}
    exported = _say("nm", "-D", "--defined-only", str(library)).split()[2::3]
    assert all(name.startswith("model_") for name in exported)
    assert {"model_run", "model_run_observed", "model_hook", "model_arena_bytes"} <= set(
        exported
    )


def test_weights_are_stored_in_bytes(builder: Builder) -> None:
    weights = 5 * 5 * (1 * 16 + 16 * 32 + 32 * 48 + 48 * 64)
    weights += 256 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 10
    built = builder(NETWORKS["digits"](), target("x86_64_vnni"))
    assert weights <= built.weight_bytes < 1.1 * weights
    wide = builder(NETWORKS["digits"](), X86)  # AVX2 multiplies 16 bits
    assert 2 * weights <= wide.weight_bytes < 2.3 * weights


def last_step(layer: Layer, place: Target) -> Step:
    """The kernel that ends a layer."""
    step = lower(layer, tiling_of(place)).steps[-1]
    assert isinstance(step, Step)
    return step


def test_accumulators_are_integers_of_8_bit_operands() -> None:
    """No kernel of a convolution or a product touches a float before its ending."""
    for name in ("digits", "resnet8", "depthwise_separable"):
        for layer in layers(NETWORKS[name]()):
            if layer.nodes[0].op_type not in ("Conv", "MatMul"):
                continue
            step = last_step(layer, X86)
            sums = [
                line for line in step.source.splitlines() if " + " in line and "acc[" in line
            ]
            (update,) = [line for line in sums if re.match(r"\s*acc\[.*\] = acc\[", line)]
            assert "float" not in update
            assert re.search(r'acc = T.alloc_buffer\(.*, "int32"\)', step.source)
            operands = {arg.name: arg.dtype for arg in step.args}
            used = {read for read in operands if f"{read}[" in update}
            assert {operands[read] for read in used} <= {"int8", "uint8"}
            assert len(used) == 2


WIDENING = {  # integer products in the machine code of each architecture
    "x86_64": r"\bvp(maddwd|mulld|mullw)\b",
    "aarch64": r"\bs(mlal|mull)2?\b",
    "armv7": r"\bv(mlal\.s16|mull\.s(8|16)|mul\.i16|mla\.i(16|32))\b",
}
FLOAT_PRODUCTS = r"\b(v(fn?madd\w*|mul[ps]s)|fml[as]|fmul|fmadd|vm(ul|la)\.f32)\b"


@pytest.mark.parametrize("arch", WIDENING)
def test_machine_code_multiplies_integers(arch: str) -> None:
    """Without its ending a kernel has no float product; with it, it has the rescaling's."""
    from joulecut.targets.cpu.codegen import assembly

    place = target(arch)

    def code(layer: Layer) -> str:
        step = last_step(layer, place)
        return assembly(step.source, step.symbol, llvm_target(place))

    for layer in layers(NETWORKS["digits"]()):
        if layer.nodes[0].op_type not in ("Conv", "MatMul"):
            continue
        sums = code(Layer(layer.nodes[:1]))
        assert re.search(WIDENING[arch], sums), layer.name
        assert not re.search(FLOAT_PRODUCTS, sums), layer.name
        assert re.search(WIDENING[arch], code(layer)), layer.name
        rescales = len(layer.nodes) > 1
        assert bool(re.search(FLOAT_PRODUCTS, code(layer))) == rescales, layer.name


@pytest.mark.parametrize("arch", ["x86_64", "aarch64", "riscv64"])
def test_no_fused_multiply_add_in_sums(arch: str) -> None:
    from joulecut.targets.cpu.codegen import assembly

    place = target(arch)
    (join,) = [layer for layer in layers(NETWORKS["resnet8"]()) if layer.kind == "Conv+Add"][:1]
    step = last_step(join, place)
    text = assembly(step.source, step.symbol, llvm_target(place))
    assert not re.search(r"\b(vfn?m(add|sub)\w*|fn?m(add|sub)(\.s)?|fml[as])\b", text)
    guard = "T.max(T.cast("  # without it LLVM does fuse, so that this test means something
    bare = re.sub(
        r"T\.max\((T\.cast\([^\n]*?\) \* M\d\[[^\]]*\]), T\.float32\(-1e\+30\)\)",
        r"\1",
        step.source,
    )
    assert guard in step.source
    assert bare != step.source
    text = assembly(bare, step.symbol, llvm_target(place))
    assert re.search(r"\b(vfn?m(add|sub)\w*|fn?m(add|sub)(\.s)?|fml[as])\b", text)


def test_the_report_names_float_layers_and_adds_up(builder: Builder) -> None:
    built = builder(random_graph(0, floats=True), X86)
    report = json.loads((built.directory / "layers.json").read_text())
    assert report["arena_bytes"] == built.arena_bytes >= built.arena_bound_bytes
    assert [row["name"] for row in report["layers"]] == [each.name for each in built.layers]
    for row in report["layers"]:
        assert row["integer"] == (row["kind"] not in ("Relu", "Clip"))
    digits = builder(NETWORKS["digits"](), X86)
    assert sum(layer.macs for layer in digits.layers) == 6_236_544


def test_the_header_compiles_as_cpp_and_warns_of_nothing(builder: Builder) -> None:
    built = builder(passing_through(), X86)
    flags = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-fsyntax-only"]
    header = str(built.directory / "model.h")
    subprocess.run(["gcc", "-std=c11", *flags, "-x", "c", header], check=True)
    if shutil.which("g++"):
        subprocess.run(["g++", "-std=c++17", *flags, "-x", "c++", header], check=True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["in", "out"], 2, "usage: model"),
        (["in", "out", "-1"], 2, "COUNT must be an integer from 0 to .*, not '-1'"),
        (["--speed", "1", "in", "out", "1"], 2, "option must be --trace.*, not '--speed'"),
        (["--repeat", "x", "in", "out", "1"], 2, "--repeat must be an integer from 1"),
        (["in", "out", "2"], 3, "'in' must hold 2 samples, and ends in sample 1"),
        (["absent", "out", "1"], 4, "'absent' must be a file to open: No such file"),
        (["in", "no/out", "1"], 4, "'no/out' must be a file to open"),
    ],
)
def test_the_program_says_what_is_wrong(
    arguments: list[str], code: int, message: str, builder: Builder, tmp_path: Path
) -> None:
    built = builder(passing_through(), X86)
    (tmp_path / "in").write_bytes(bytes(8 + 5))
    done = subprocess.run(
        [built.directory.resolve() / "model", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert re.search(message, done.stderr), done.stderr


def test_the_program_profiles_every_layer(builder: Builder, tmp_path: Path) -> None:
    built = builder(NETWORKS["two_inputs"](), X86)
    graph = NETWORKS["two_inputs"]()
    records = [feeds(graph, s)[spec.name].tobytes() for s in (0, 1) for spec in built.inputs]
    (tmp_path / "in").write_bytes(b"".join(records))
    command = ["--repeat", "5", "--profile", "p.json", "--trace", "t", "in", "out", "2"]
    subprocess.run([built.directory.resolve() / "model", *command], cwd=tmp_path, check=True)
    profile = json.loads((tmp_path / "p.json").read_text())
    assert profile["clock"] == "CLOCK_MONOTONIC"
    assert [row["name"] for row in profile["layers"]] == [each.name for each in built.layers]
    assert all(0 <= row["ns_min"] <= row["ns_median"] for row in profile["layers"])
    traced = sum(layer.output.nbytes for layer in built.layers)
    assert (tmp_path / "t").stat().st_size == 2 * traced


def test_a_missing_compiler_comes_with_the_command_that_installs_it(tmp_path: Path) -> None:
    tools = replace(target("aarch64").toolchain, compilers=("no-such-gcc",))
    place = replace(target("aarch64"), toolchain=tools)
    with pytest.raises(DeviceError, match=r"no-such-gcc is not; run: apt-get install gcc-aar"):
        build_part(NETWORKS["two_inputs"](), place, tmp_path)


def refuse_batch(cases: Cases) -> ir.Value:
    return cases.node(
        "MaxPool",
        [cases.input((2, 1, 4, 4))],
        {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4},
        name="pooled",
        domain="",
    )


def refuse_reach(cases: Cases) -> ir.Value:
    w = cases.constant(np.full((70000, 1), 127, np.int8))
    zero_points = {"a_zero_point": 0, "b_zero_point": [0]}
    return cases.node("MatMul", [cases.input((1, 70000)), w], zero_points, name="long")


def refuse_volume(cases: Cases) -> ir.Value:
    attributes = {"kernel_shape": [1] * 3, "strides": [1] * 3, "pads": [0] * 6}
    x = cases.input((1, 1, 2, 2, 2))
    return cases.node("MaxPool", [x], attributes, name="volume", domain="")


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (refuse_batch, "MaxPool 'npooled': batch of 'in0' must be 1, not 2; export the model"),
        (
            refuse_reach,
            "'nlong': partial sums must stay below 2\\*\\*31 in magnitude, not reach",
        ),
        (refuse_volume, "MaxPool 'nvolume': window must have 1 or 2 axes, not 3"),
    ],
)
def test_what_is_beyond_the_kernels_is_named(
    add: Callable[[Cases], ir.Value], message: str, tmp_path: Path
) -> None:
    cases = Cases()
    add(cases)
    with pytest.raises(UnsupportedError, match=message):
        build_part(cases.graph(), X86, tmp_path, cache_dir=tmp_path)


def _say(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
