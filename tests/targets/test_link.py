"""The edge codes by itself: its frames are the host's, byte for byte, wherever it runs."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_bundles import middle_plan, need_target, samples
from integer_graphs import NETWORKS

from joulecut.compiler import codec
from joulecut.compiler.bundle import Bundle, write_bundle
from joulecut.compiler.codec import TableSet, UniformQuantizer
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut import cut_at
from joulecut.compiler.errors import ConfigError, DeviceError, UntrustedInputError
from joulecut.compiler.link_code import LinkCode, block_log2_of, frozen, row_of
from joulecut.compiler.plan import Plan, partition
from joulecut.compiler.quant import TensorSpec
from joulecut.compiler.quantizers.whole_range import whole_range
from joulecut.compiler.reference import trace
from joulecut.targets import layout
from joulecut.targets.base import target
from joulecut.targets.build import build
from joulecut.targets.cpu import coder
from joulecut.targets.cpu.build import build_part
from joulecut.targets.cpu.link import LinkLayout, link_table
from joulecut.targets.cpu.toolchains import compiler
from joulecut.targets.devices.buffers import aligned, pointers
from joulecut.targets.devices.device import device_for
from joulecut.targets.devices.link_coder import LinkCoder
from joulecut.targets.devices.local import LocalDevice
from joulecut.targets.devices.protocol import CODING, Signature
from joulecut.targets.devices.records import from_frames
from joulecut.targets.opened import opened
from joulecut.targets.profile import profile
from joulecut.targets.session import run_split
from joulecut.targets.split import through_codec

pytestmark = pytest.mark.tool

CONFIGS = {
    "lossless": CodecConfig(),
    "sq": CodecConfig(quantizer="sq", bits=3),
    "tcq": CodecConfig(quantizer="tcq", bits=4),
}


def plan_of(name: str) -> Plan:
    """`conv1d`: one tensor of 1,024 integers; `passed`: a float that the edge does not read."""
    if name == "passed":
        graph = NETWORKS["two_inputs"]()
        return partition(graph, cut_at(graph, ["state", "n4.reshape"]))
    return middle_plan(NETWORKS[name]())


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Builds each bundle once."""

    @cache
    def made(name: str, edge: str, config: str) -> Bundle:
        need_target(edge)
        plan = plan_of(name)
        out = tmp_path_factory.mktemp("link") / "m.bundle"
        vectors = samples(plan.whole, 3, first_seed=100)
        return build(plan, edge=edge, out=out, codec=CONFIGS[config], vectors=vectors)

    return made


@pytest.mark.parametrize("edge", ["x86_64", "aarch64", "pynq_z2", "riscv64"])
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", ["conv1d", "passed"])
def test_the_edge_writes_the_frames_of_the_host(
    name: str, config: str, edge: str, bundles: Any
) -> None:
    with opened(bundles(name, edge, config)) as held:
        split = held.split
        assert split.code is not None
        feeds = samples(split.whole, 3)
        known = {**feeds, **trace(split.edge.graph, split.edge.inputs_of(feeds))}
        sent = split.edge.send(feeds, None)
        for i, frame in enumerate(sent.frames):
            arrays = [known[spec.name][i : i + 1] for spec in split.link]
            assert frame == split.code.pack(arrays)
        for spec in split.edge.signature.outputs:
            np.testing.assert_array_equal(sent.outputs[spec.name], known[spec.name])


def test_without_tables_frames_are_those_of_pack(tmp_path: Path) -> None:
    need_target("x86_64")
    plan = plan_of("passed")
    code = LinkCode(plan.link.specs, (None, None), "best")
    build_part(plan.edge.graph, target("x86_64"), tmp_path, link=code)
    signature = Signature.of(plan.edge.graph, plan.link.specs)
    feeds = samples(plan.whole, 2)
    known = {**feeds, **trace(plan.whole, feeds)}
    for i, frame in enumerate(LocalDevice().send(tmp_path, feeds, signature).frames):
        arrays = [known[spec.name][i : i + 1] for spec in plan.link.specs]
        assert frame == codec.pack(arrays, block_log2=10)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_cloud_decodes_what_the_edge_sent(config: str, bundles: Any) -> None:
    bundle = bundles("conv1d", "aarch64", config)
    with opened(bundle) as held:
        split = held.split
        feeds = samples(split.whole, 4)
        sent = split.edge.send(feeds, None)
        received, coded_bytes = through_codec(split, {**feeds, **sent.outputs}, 4)
    result = run_split(bundle, feeds)
    assert result.coded_bytes.tolist() == [len(frame) for frame in sent.frames]
    assert result.coded_bytes.tolist() == coded_bytes.tolist()
    for name, array in received.items():
        np.testing.assert_array_equal(result.link[name], array)
        assert (array == sent.outputs[name]).all() == (config == "lossless")


def test_frames_of_several_samples_are_the_hosts(bundles: Any) -> None:
    bundle = bundles("conv1d", "x86_64", "lossless")
    with opened(bundle) as held:
        feeds = samples(held.split.whole, 7)
        known = held.split.edge.run(feeds, None)
        arrays = [known[spec.name][:5] for spec in held.split.link]
        packed = held.split.pack(arrays)
    result = run_split(bundle, feeds, batch=5)
    assert result.coded_bytes[:5].tolist() == [len(packed) / 5] * 5
    assert result.coded_bytes.sum() < run_split(bundle, feeds).coded_bytes.sum()


def test_tables_are_kept_where_they_make_frames_smaller(bundles: Any) -> None:
    bundle = bundles("conv1d", "x86_64", "lossless")
    with opened(bundle) as held:
        code = held.split.code
        assert code is not None
        assert code.tables is not None
        assert code.tables.to_bytes() == bundle.open(layout.TABLES)
        vectors = layout.read_vectors(bundle, "link", code.specs)
    bare = LinkCode(code.specs, (None,), code.entropy)
    rows = list(zip(*(vectors[spec.name] for spec in code.specs), strict=True))
    coded, without = (
        sum(len(each.pack([sample[np.newaxis] for sample in row])) for row in rows)
        for each in (code, bare)
    )
    assert coded < without
    spec = TensorSpec("x", (1, 64), "int8")
    constant = frozen([spec], {"x": np.zeros((2, 1, 64), np.int8)}, CodecConfig())
    assert constant.tables is None


def test_the_library_needs_libc_only_and_exports_its_coder(bundles: Any) -> None:
    bundle = bundles("conv1d", "x86_64", "tcq")
    library = str(bundle.path / "edge/libmodel.so")
    named = _say("nm", "-D", "--undefined-only", library)
    strong = {line.split()[1].split("@")[0] for line in named.splitlines() if " U " in line}
    teams = {name for name in strong if name.startswith(("pthread_", "sched_", "__sched_"))}
    assert strong - teams <= {"memcpy", "memset", "memmove", "memcmp", "aligned_alloc", "free"}
    exported = set(_say("nm", "-D", "--defined-only", library).split()[2::3])
    assert all(name.startswith("model_") for name in exported)
    assert {"model_encode_link", "model_link_bound", "model_link_workspace"} <= exported
    cloud = _say("nm", "-D", "--defined-only", str(bundle.path / "cloud/libmodel.so"))
    assert "model_encode_link" not in cloud
    symbols = _say("nm", str(bundle.path / "edge/libmodel.so"))
    assert "jc_encode_tensor" in symbols
    assert "jc_decode_tensor" not in symbols  # what is not called is left out


@pytest.mark.parametrize("standard", [["gcc", "-std=c11"], ["g++", "-std=c++17"]])
def test_the_header_with_a_link_compiles(standard: list[str], bundles: Any) -> None:
    if shutil.which(standard[0]) is None:
        pytest.skip(f"{standard[0]} is not installed")
    header = bundles("passed", "x86_64", "sq").path / "edge/model.h"
    language = "c" if standard[0] == "gcc" else "c++"
    flags = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-fsyntax-only"]
    subprocess.run([*standard, *flags, "-x", language, str(header)], check=True)
    text = header.read_text()
    assert "#define MODEL_NUM_LINK 2 " in text
    assert "#define MODEL_NUM_PASSED 1 " in text


def test_equal_plans_give_equal_bytes(tmp_path: Path, bundles: Any) -> None:
    first = bundles("passed", "x86_64", "tcq")
    plan = plan_of("passed")
    vectors = samples(plan.whole, 3, first_seed=100)
    out = tmp_path / "again"
    again = build(plan, edge="x86_64", out=out, codec=CONFIGS["tcq"], vectors=vectors)
    assert first.digest == again.digest
    other = build(plan, edge="x86_64", out=tmp_path / "c", codec=CONFIGS["sq"], vectors=vectors)
    assert other.files["edge/libmodel.so"] != again.files["edge/libmodel.so"]
    assert other.files["cloud/libmodel.so"] == again.files["cloud/libmodel.so"]


def test_the_coder_is_compiled_once_for_its_sources_and_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = target("x86_64")
    text = {
        "codec.h": b"int f(void);\n",
        "f.c": b'#include "codec.h"\nint f(void) { return 1; }\n',
    }
    monkeypatch.setattr(coder, "sources", lambda: text)
    said: list[str] = []

    def made(folder: str) -> Path:
        return coder.coder_object(compiler(place), place, tmp_path / folder, said.append)

    first, again, elsewhere = made("one"), made("one"), made("two")
    assert first == again
    assert first.name == elsewhere.name
    assert first.read_bytes() == elsewhere.read_bytes()
    assert said == ["compile the codec for generic_x86_64"] * 2
    text["codec.h"] += b"/* another */\n"
    assert made("one") != first


def test_a_bundle_without_a_code_is_coded_by_the_host(tmp_path: Path, bundles: Any) -> None:
    bundle = bundles("conv1d", "x86_64", "sq")
    fields = _fields(bundle)
    del fields["link"]["code"]
    files = {name: bundle.open(name) for name in bundle.files if name != layout.TABLES}
    old = write_bundle(tmp_path / "old.bundle", fields, files)
    with opened(old) as held:
        assert held.split.code is None
        feeds = samples(held.split.whole, 2)
        known = held.split.edge.run(feeds, None)
    result = run_split(old, feeds)
    sent = [known[name][:1] for name in result.link]
    assert result.coded_bytes[0] == len(
        codec.pack(sent, quantizer="sq", bits=3, entropy=CONFIGS["sq"].entropy)
    )


def test_a_manifest_that_does_not_say_how_is_refused(tmp_path: Path, bundles: Any) -> None:
    bundle = bundles("conv1d", "x86_64", "sq")
    files = {name: bundle.open(name) for name in bundle.files}

    def refused(match: str, **changes: Any) -> None:
        fields = _fields(bundle)
        fields["link"]["code"] |= changes
        forged = write_bundle(tmp_path / "forged.bundle", fields, files)
        with pytest.raises(UntrustedInputError, match=match), opened(forged):
            pass

    (grid,) = bundle.manifest["link"]["code"]["grids"]
    refused("must have entropy, tables_sum and grids", entropy="magic")
    refused("must have entropy, tables_sum and grids", more=1)
    refused("static tables of the link must have the sum 0x1,", tables_sum=1)
    refused("grids must be as many as tensors, 1, not 0", grids=[])
    for field, value in {
        "width": 17,
        "kind": "other",
        "step": 1e39,
        "book": [0.0] * 513,
    }.items():
        forged = {**grid, "quantizer": {**grid["quantizer"], field: value}}
        refused("quantizer of a manifest must have the fields of one", grids=[forged])


def test_frames_of_other_tensors_are_refused() -> None:
    spec = TensorSpec("x", (1, 4), "int8")
    code = LinkCode((spec,), (None,), "best")
    assert code.unpack(code.pack([np.ones((3, 4), np.int8)]))[0].shape == (3, 4)
    for arrays in (
        [np.ones((1, 5), np.int8)],
        [np.ones((1, 4), np.uint8)],
        [np.ones((1, 4), np.int8)] * 2,
    ):
        with pytest.raises(UntrustedInputError, match="frame must hold tensors of"):
            code.unpack(codec.pack(arrays))


def test_codes_survive_a_manifest() -> None:
    rng = np.random.default_rng(0)
    specs = (TensorSpec("a", (1, 64, 64), "int8"), TensorSpec("b", (3, 5), "float32"))
    tensors = {
        "a": rng.integers(-99, 99, (2, 64, 64)).astype(np.int8),
        "b": rng.standard_normal((2, 3, 5)).astype(np.float32),
    }
    configs = [CodecConfig(quantizer=name, bits=3) for name in ("none", "sq", "lloyd", "tcq")]
    for config in (*configs, CodecConfig(quantizer="rdo", rate=2.5, entropy="fast")):
        code = frozen(specs, tensors, config)
        fields = json.loads(json.dumps(code.to_fields()))
        assert LinkCode.from_fields(fields, specs, code.tables) == code


def test_a_type_without_a_code_is_named() -> None:
    spec = TensorSpec("ids", (1, 4), "int64")
    with pytest.raises(ConfigError, match=r"tensor 'ids' must be one of int8, .*, not int64"):
        LinkCode((spec,), (None,), "best")
    with pytest.raises(ConfigError, match="grids must be as many as tensors, 0, not 1"):
        LinkCode((), (None,), "best")


def test_tables_need_a_common_width() -> None:
    spec = TensorSpec("x", (1, 4), "int8")
    x = np.arange(4, dtype=np.int8)
    tables = TableSet.train([x], block_log2=10)
    with pytest.raises(ConfigError, match="tensor 'x' must have a grid to share tables"):
        LinkCode((spec,), (None,), "best", tables)


@pytest.mark.parametrize(
    ("low", "high", "zero", "width", "fold", "offset"),
    [
        (0, 15, 0, 4, False, 0),
        (-128, 127, 0, 8, True, 0),
        (-8, 7, 0, 4, True, 0),
        (0, 255, 128, 8, True, 128),
        (0, 255, 10, 8, False, 0),
        (-7, 7, 3, 5, True, 3),
        (5, 5, 5, 1, False, 5),
    ],
)
def test_whole_ranges_are_lossless(
    low: int, high: int, zero: int, width: int, fold: bool, offset: int
) -> None:
    grid = whole_range(low, high, zero)
    assert (grid.header.width, grid.header.fold, grid.header.offset) == (width, fold, offset)
    x = np.arange(low, high + 1).astype(np.uint8 if low >= 0 else np.int8)
    np.testing.assert_array_equal(grid.dequantize(grid.quantize(x), x.dtype.name), x)


def test_blocks_are_as_small_as_tensors_allow() -> None:
    assert [block_log2_of((n,)) for n in (0, 1, 1024, 1025, 2**17, 2**17 + 1)] == [
        10, 10, 10, 11, 17, 17,
    ]  # fmt: skip
    assert [row_of(dims) for dims in ((7,), (1, 7), (1, 2, 2**24))] == [0, 7, 0]


def test_numbers_of_the_table_are_exact() -> None:
    spec = TensorSpec("x", (1, 4), "float32")
    grid = UniformQuantizer(3, -0.1, 0.7).fit(np.zeros(1, np.float32))
    text = link_table(LinkLayout.of([spec], [], [spec]), LinkCode((spec,), (grid,), "fast"))
    for number in (grid.header.step, grid.header.offset):
        assert f"{number.hex()}f" in text
    assert "JC_MODES_FAST" in text


def test_coding_has_a_row_of_its_own(bundles: Any) -> None:
    local = profile(bundles("passed", "x86_64", "sq"), repeats=2)
    counted = profile(bundles("conv1d", "aarch64", "sq"))
    for found, quantity in ((local, "time_median"), (counted, "instructions")):
        row = found.layers[-1]
        assert (row.name, row.kind) == CODING
        assert row.quantities[quantity].value > 0
        assert found.total()["energy"].provenance == "assumed"
        assert any("no table prices its instructions" in note for note in found.notes)
    cloud = profile(bundles("conv1d", "aarch64", "sq"), part="cloud", repeats=1)
    assert CODING[0] not in [layer.name for layer in cloud.layers]


def test_numbers_that_are_not_finite_are_refused(bundles: Any) -> None:
    bundle = bundles("passed", "x86_64", "sq")
    path = bundle.path / "edge/libmodel.so"
    link = LinkCoder(ctypes.CDLL(str(path)), path)
    tensors = [aligned(spec.nbytes) for spec in plan_of("passed").link.specs]
    before = link.frame(pointers(tensors))
    tensors[0].view(np.float32)[1] = np.nan
    with pytest.raises(DeviceError, match="what crosses must be finite numbers to be coded by"):
        link.frame(pointers(tensors))
    tensors[0][:] = 0
    assert link.frame(pointers(tensors)) == before


def test_a_part_without_a_link_says_so(tmp_path: Path, bundles: Any) -> None:
    folder = bundles("conv1d", "x86_64", "sq").path / "cloud"
    command = [str(folder / "model"), "--link", str(tmp_path / "f"), "in", "out", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the part must have a link for --link" in done.stderr
    with pytest.raises(DeviceError, match="must code its link, and does not"):
        LinkCoder(ctypes.CDLL(str(folder / "libmodel.so")), folder)


def test_frames_are_counted() -> None:
    assert from_frames(b"\1\0\0\0x\0\0\0\0", 2) == (b"x", b"")
    for raw in (b"", b"\2\0\0\0x", b"\1\0\0\0x\0", b"\0\0\0\0\0\0\0\0"):
        with pytest.raises(DeviceError, match="frames must be 1 in"):
            from_frames(raw, 1)


def test_devices_want_what_is_passed(bundles: Any) -> None:
    with opened(bundles("passed", "x86_64", "sq")) as held:
        edge = held.split.edge
        feeds = samples(held.split.whole, 1)
        with pytest.raises(ConfigError, match="feeds must be 'image', 'state', not 'image'"):
            device_for(edge.target).send(
                edge.directory, {"image": feeds["image"]}, edge.signature
            )


def _fields(bundle: Bundle) -> dict[str, Any]:
    fields = json.loads(json.dumps(dict(bundle.manifest)))
    return {
        key: value for key, value in fields.items() if key not in ("files", "schema_version")
    }


def _say(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
