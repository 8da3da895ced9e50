"""Verification finds what is wrong and names it; a report that is fine was earned."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from built_bundles import build_bundle, middle_plan, samples
from graph_builder import GraphBuilder
from qdq_models import network, write

from joulecut.compiler import onnxrt
from joulecut.compiler.bundle import Bundle, write_bundle
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut import cuts
from joulecut.compiler.errors import ConfigError, UntrustedInputError, VerificationError
from joulecut.compiler.graph import Graph, constant_of
from joulecut.compiler.graph_file import graph_from_bytes, graph_to_bytes
from joulecut.compiler.layers import ACCUMULATING, layers, op_key
from joulecut.compiler.load import load
from joulecut.compiler.pipeline import pipeline
from joulecut.compiler.plan import partition
from joulecut.compiler.profile import Profile
from joulecut.compiler.reference import run_reference
from joulecut.targets import layout
from joulecut.targets.build import build
from joulecut.targets.cpu.build import build_part
from joulecut.targets.devices.device import device_for
from joulecut.targets.devices.records import read_layers
from joulecut.targets.opened import opened
from joulecut.targets.session import InferenceSession
from joulecut.targets.verify import by_device, expected_of, verify

pytestmark = pytest.mark.tool


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Both parts for this machine; two inputs and two outputs."""
    return build_bundle("two_inputs", tmp_path_factory.mktemp("native") / "m.bundle")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The edge for aarch64."""
    out = tmp_path_factory.mktemp("foreign") / "m.bundle"
    return build_bundle("conv1d", out, edge="aarch64")


def verdicts(rows: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(row["engine"], row["part"], row["verdict"]) for row in rows]


def test_every_engine_agrees_on_what_was_built_right(foreign: Bundle):
    report = verify(foreign, against=["reference", "tvm", "qemu:aarch64", "local"])
    report.require()
    assert verdicts(report.rows()) == [
        ("golden", "whole", "equal"),
        ("reference", "edge", "equal"),
        ("reference", "cloud", "equal"),
        ("tvm", "edge", "equal"),
        ("tvm", "cloud", "equal"),
        ("tvm", "split", "equal"),
        ("qemu:aarch64", "edge", "equal"),
        ("qemu:aarch64", "split", "equal"),
        ("local", "cloud", "equal"),
        ("local", "split", "equal"),
    ]
    assert {result.samples for result in report.results} == {3}
    with opened(foreign) as held:
        compared = {r.part: r.layers for r in report.results if r.engine == "tvm"}
        for side in held.split.sides:
            built = read_layers(side.directory)
            assert compared[side.name] == len(built)
            fused = [name for layer in built for name in layer.layers]
            assert sorted(fused) == sorted(layer.name for layer in layers(side.graph))


def test_given_samples_take_the_place_of_the_vectors(native: Bundle):
    with opened(native) as held:
        feeds = samples(held.split.whole, 5)
    seen: list[tuple[int, int]] = []
    report = verify(
        native, feeds=feeds, progress=lambda done, total: seen.append((done, total))
    )
    report.require()
    assert {result.samples for result in report.results} == {5}
    assert "golden" not in {result.engine for result in report.results}
    assert seen[-1] == (10, 10)


def with_one_weight_changed(graph: Graph, layer_name: str) -> Graph:
    """A copy in which one weight of a layer is another number."""
    copy = graph_from_bytes(graph_to_bytes(graph), "copy")
    layer = next(layer for layer in layers(copy) if layer.name == layer_name)
    weight = layer.nodes[0].inputs[1]
    array = constant_of(weight)
    assert weight is not None
    assert array is not None
    changed = array.copy()
    changed.flat[:: max(1, array.size // 8)] ^= 0x11  # several, so that clamping hides not all
    weight.const_value = ir.tensor(changed, name=weight.name)
    return copy


def accumulating_layers(graph: Graph) -> list[str]:
    """Layers that hold weights."""
    return [
        layer.name
        for layer in layers(graph)
        if op_key(layer.nodes[0]) in ACCUMULATING
        and constant_of(layer.nodes[0].inputs[1]) is not None
    ]


@pytest.mark.parametrize("position", [0, -1])
def test_the_first_wrong_layer_is_named(native: Bundle, tmp_path: Path, position: int):
    with opened(native) as held:
        split = held.split
        side = split.cloud
        wrong = accumulating_layers(side.graph)[position]
        build_part(with_one_weight_changed(side.graph, wrong), side.target, tmp_path)
        broken = dataclasses.replace(split, cloud=dataclasses.replace(side, directory=tmp_path))
        edge, cloud, whole = by_device(expected_of(broken, held.inputs()), "tvm")
    assert edge.divergence is None
    assert cloud.divergence is not None
    assert cloud.divergence.layer == wrong
    assert cloud.divergence.differing > 0
    assert not whole.ok


def rewritten(bundle: Bundle, out: Path, **changes: bytes) -> Bundle:
    """The bundle with some files replaced and sound hashes."""
    files = {name: bundle.open(name) for name in bundle.files} | changes
    fields = {
        key: value
        for key, value in bundle.manifest.items()
        if key not in ("files", "schema_version")
    }
    return write_bundle(out, fields, files)


def test_a_stored_answer_that_is_wrong_is_found(native: Bundle, tmp_path: Path):
    name = layout.vector_path("outputs", 1)
    data = bytearray(native.open(name))
    data[-1] ^= 0x40  # an exponent of the last float
    forged = rewritten(native, tmp_path / "forged.bundle", **{name: bytes(data)})
    report = verify(forged, against=["reference"])
    assert verdicts(report.rows())[0] == ("golden", "whole", "DIFFERS")
    assert not report.ok
    with pytest.raises(VerificationError, match=r"golden must equal the reference on whole of"):
        report.require()


def test_parts_of_another_network_are_found(native: Bundle, tmp_path: Path):
    with opened(native) as held:
        graph = held.split.cloud.graph
        name = accumulating_layers(graph)[0]
        other = graph_to_bytes(with_one_weight_changed(graph, name))
    forged = rewritten(
        native, tmp_path / "forged.bundle", **{layout.graph_path("cloud"): other}
    )
    report = verify(forged)
    assert not report.ok
    assert report.first_divergence is not None
    assert report.first_divergence.layer == name
    assert {(r.engine, r.part) for r in report.results if not r.ok} >= {
        ("reference", "cloud"),  # the parts no longer compose to the whole
        ("tvm", "cloud"),  # the program no longer computes the part
    }


def test_a_lossy_codec_is_a_price_not_a_fault(tmp_path: Path):
    codec = CodecConfig(quantizer="sq", bits=2)
    bundle = build_bundle("conv1d", tmp_path / "m.bundle", codec=codec)
    report = verify(bundle)
    report.require()
    by_part = {(r.engine, r.part): r for r in report.results}
    cloud = by_part["reference", "cloud"]
    assert cloud.divergence is not None
    assert not cloud.obeyed
    assert "its price" in cloud.note
    assert by_part["tvm", "cloud"].divergence is None
    assert by_part["tvm", "split"].divergence is None


def test_engines_that_cannot_say_anything_are_refused(native: Bundle):
    with pytest.raises(ConfigError, match=r"against must name an engine \(reference, tvm"):
        verify(native, against=[])
    with pytest.raises(ConfigError, match=r"engine must be reference, .*, not 'torch'"):
        verify(native, against=["torch"])
    with pytest.raises(ConfigError, match=r"not aarch64 \(edge: x86_64, cloud: x86_64\)"):
        verify(native, against=["qemu:aarch64"])
    with pytest.raises(ConfigError, match=r"bundle must hold the original model to be comp"):
        verify(native, against=["onnxrt"])


@pytest.mark.parametrize("power_of_two", [True, False])
def test_onnxruntime_is_compared_but_not_obeyed(tmp_path: Path, power_of_two: bool):
    path = write(network("convnet", power_of_two=power_of_two), tmp_path)
    plan = middle_plan(pipeline(load(path)))
    vectors = samples(plan.whole, 4)
    bundle = build(
        plan,
        edge="x86_64",
        cloud="x86_64",
        out=tmp_path / "m.bundle",
        vectors=vectors,
        source=path.read_bytes(),
    )
    report = verify(bundle, against=["reference", "tvm", "onnxrt"])
    report.require()
    result = report.results[-1]
    assert (result.engine, result.part, result.obeyed) == ("onnxrt", "whole", False)
    expected = onnxruntime_answers(path, vectors)
    with opened(bundle) as held:
        ours = run_reference(held.split.whole, vectors)[0]
    assert result.fraction_differing == np.mean(
        ours.view(np.uint32) != expected.view(np.uint32)
    )
    if power_of_two:  # float arithmetic is exact, so that both must agree
        assert result.divergence is None


def onnxruntime_answers(path: Path, feeds: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxrt.session(path, optimize=False)
    count = len(next(iter(feeds.values())))
    rows = [
        session.run({name: array[i : i + 1] for name, array in feeds.items()})[0]
        for i in range(count)
    ]
    return np.concatenate(rows)


def test_a_manifest_without_a_link_is_refused(native: Bundle, tmp_path: Path):
    files = {name: native.open(name) for name in native.files}
    fields = {"name": "m", "parts": native.manifest["parts"]}
    with (
        pytest.raises(UntrustedInputError, match=r"manifest must describe its link .*'link'"),
        opened(write_bundle(tmp_path / "m.bundle", fields, files)),
    ):
        pass
    with (
        pytest.raises(
            UntrustedInputError, match=r"must name the target of the edge; .*'parts'"
        ),
        opened(write_bundle(tmp_path / "n.bundle", {"name": "m"}, files)),
    ):
        pass


# --- the devices' profiles of built parts -------------------------------------------------


def side_profile(bundle: Bundle, name: str) -> Profile:
    """A part's profile where it can run."""
    with opened(bundle) as held:
        case = expected_of(held.split, held.inputs())
        side = next(side for side in held.split.sides if side.name == name)
        inputs = side.inputs_of({**case.feeds, **case.sides[name]})
        found = device_for(side.target).profile(side.directory, inputs, side.signature, 2)
        coding = ["link: encode"] if name == "edge" else []
        assert [row.name for row in found.layers] == [
            *(layer.name for layer in read_layers(side.directory)),
            *coding,
        ]
        return found


def test_a_foreign_part_is_counted_and_a_native_one_timed(foreign: Bundle):
    edge, cloud = side_profile(foreign, "edge"), side_profile(foreign, "cloud")
    assert {q.provenance for q in edge.total().values()} == {"simulated"}
    assert {q.provenance for q in cloud.total().values()} == {"measured"}
    counts = {row.kind: row.quantities for row in edge.layers}
    assert counts["Conv+Requantize+MaxPool"]["instructions"].value > 1000
    assert side_profile(foreign, "edge").layers == edge.layers


def without_a_batch() -> Graph:
    """A network whose tensors lose their batch of 1 in the middle: 1x2x4, then 4x2, then 4x3."""
    b = GraphBuilder("without_a_batch", 1)
    x = b.reshape(b.quantize(b.input("x", (1, 2, 4))), (4, 2))
    x = b.requantize(b.matmul(x, 3), relu=True)
    b.output(b.dequantize(b.matmul(x, 2)))
    return b.graph()


@pytest.mark.parametrize("position", [1, 2])
def test_samples_stay_apart_where_a_tensor_has_no_batch(tmp_path: Path, position: int):
    graph = without_a_batch()
    cut = cuts(graph)[position]
    assert [spec.shape[0] for spec in cut.specs] == [4]
    feeds = samples(graph, 3)
    bundle = build(
        partition(graph, cut),
        edge="x86_64",
        cloud="x86_64",
        out=tmp_path / "m.bundle",
        vectors=feeds,
    )
    report = verify(bundle)
    report.require()
    assert [result.samples for result in report.results] == [3] * 6
    with InferenceSession(bundle) as session:
        (several,) = session.run(None, feeds)
        assert several.shape == (3, 4, 2)
        for i in range(3):
            (single,) = session.run(None, {"x": feeds["x"][i : i + 1]})
            np.testing.assert_array_equal(single, several[i])
            (expected,) = run_reference(graph, {"x": feeds["x"][i : i + 1]})
            np.testing.assert_array_equal(single, expected)
