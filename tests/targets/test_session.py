"""A split network behind onnxruntime's interface: real parts, real bytes between them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from built_bundles import build_bundle, samples

from joulecut.compiler.bundle import Bundle
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.graph import output_specs
from joulecut.compiler.reference import run_reference
from joulecut.targets.opened import opened
from joulecut.targets.session import InferenceSession, NodeArg, run_split
from joulecut.targets.split import entropy_bytes, through_codec

pytestmark = pytest.mark.tool


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Both parts for this machine; two inputs and two outputs."""
    return build_bundle("two_inputs", tmp_path_factory.mktemp("native") / "m.zip")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The edge for aarch64."""
    out = tmp_path_factory.mktemp("foreign") / "m.bundle"
    return build_bundle("conv1d", out, edge="aarch64")


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Three bits for each element that crosses."""
    out = tmp_path_factory.mktemp("lossy") / "m.bundle"
    return build_bundle("conv1d", out, codec=CodecConfig(quantizer="sq", bits=3))


def reference(bundle: Bundle, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with opened(bundle) as held:
        names = [spec.name for spec in output_specs(held.split.whole)]
        return dict(zip(names, run_reference(held.split.whole, feeds), strict=True))


def inputs_of(bundle: Bundle, count: int) -> dict[str, np.ndarray]:
    with opened(bundle) as held:
        return samples(held.split.whole, count)


def assert_arrays(got: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    assert len(got) == len(expected)
    for have, want in zip(got, expected, strict=True):
        assert have.dtype == want.dtype
        np.testing.assert_array_equal(have, want)


def test_session_describes_inputs_and_outputs_as_onnxruntime_does(native: Bundle):
    with InferenceSession(native) as session:
        assert session.get_inputs() == [
            NodeArg("image", [1, 1, 12, 12], "tensor(float)"),
            NodeArg("state", [1, 5], "tensor(float)"),
        ]
        assert [(o.shape, o.type) for o in session.get_outputs()] == [
            ([1, 16], "tensor(float)"),
            ([1, 4], "tensor(float)"),
        ]


@pytest.mark.parametrize("count", [1, 5])
def test_session_computes_what_the_whole_computes(native: Bundle, count: int):
    feeds = inputs_of(native, count)
    expected = reference(native, feeds)
    with InferenceSession(native.path) as session:
        assert_arrays(session.run(None, feeds), list(expected.values()))
        last, first = reversed(expected), next(iter(expected))
        names = [next(last), first]
        assert_arrays(session.run(names, feeds), [expected[name] for name in names])


def test_one_session_serves_threads_side_by_side(native: Bundle):
    with opened(native) as held:
        feeds = [samples(held.split.whole, 20, first_seed=20 * i) for i in range(4)]
    expected = [list(reference(native, each).values()) for each in feeds]
    with InferenceSession(native) as session, ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            made = [pool.submit(session.run, None, each) for each in feeds]
            for got, want in zip(made, expected, strict=True):
                assert_arrays(got.result(), want)


def test_session_emulates_an_edge_that_cannot_run_here(foreign: Bundle):
    feeds = inputs_of(foreign, 2)
    with InferenceSession(foreign) as session:
        assert_arrays(session.run(None, feeds), list(reference(foreign, feeds).values()))


def test_session_takes_device_addresses(foreign: Bundle):
    feeds = inputs_of(foreign, 2)
    with InferenceSession(
        foreign, edge_device="qemu:aarch64,cpu=cortex-a72", cloud_device="local"
    ) as session:
        assert_arrays(session.run(None, feeds), list(reference(foreign, feeds).values()))
    with pytest.raises(ConfigError, match=r"device must be `local` or .*, not 'moon'"):
        InferenceSession(foreign, edge_device="moon")


def test_session_refuses_what_it_does_not_know(native: Bundle):
    feeds = inputs_of(native, 1)
    with InferenceSession(native) as session:
        with pytest.raises(ConfigError, match=r"outputs must be among .*, not \['y'\]"):
            session.run(["y"], feeds)
        with pytest.raises(ConfigError, match=r"feeds must be 'image', 'state', not 'image'"):
            session.run(None, {"image": feeds["image"]})
        with pytest.raises(ConfigError, match=r"'state' must be float32, not float64"):
            session.run(None, feeds | {"state": feeds["state"].astype(np.float64)})
        with pytest.raises(ConfigError, match=r"'state' must be \[N, 5\], not \[5\]"):
            session.run(None, feeds | {"state": feeds["state"][0]})
        feeds["image"][0, 0, 3, 4] = np.inf
        with pytest.raises(
            ConfigError, match=r"'image' must be finite, not inf at \[0, 0, 3, 4\]"
        ):
            session.run(None, feeds)


def test_session_refuses_a_bundle_that_was_changed(tmp_path: Path):
    bundle = build_bundle("conv1d", tmp_path / "m.bundle")
    program = bundle.path / "edge/libmodel.so"
    data = bytearray(program.read_bytes())
    data[len(data) // 2] ^= 1
    program.write_bytes(data)
    with pytest.raises(UntrustedInputError, match=r"edge/libmodel\.so"):
        InferenceSession(bundle.path)
    with pytest.raises(UntrustedInputError, match=r"edge/libmodel\.so"):
        InferenceSession(bundle)  # read before it was changed


def test_what_was_unpacked_is_removed(native: Bundle):
    with opened(native) as held:
        folder = held.split.edge.directory
        assert (folder / "model").is_file()
    assert not folder.exists()


def test_run_split_counts_the_bytes_of_each_sample(native: Bundle):
    feeds = inputs_of(native, 7)
    seen: list[tuple[int, int]] = []
    result = run_split(native, feeds, progress=lambda done, total: seen.append((done, total)))
    expected = reference(native, feeds)
    assert list(result.outputs) == list(expected)
    assert_arrays(list(result.outputs.values()), list(expected.values()))
    assert result.raw_bytes * 7 == sum(array.nbytes for array in result.link.values())
    with opened(native) as held:
        pack = held.split.pack
    for i in range(7):
        frame = pack([array[i : i + 1] for array in result.link.values()])
        assert result.coded_bytes[i] == len(frame)
    assert 0 < result.entropy_bytes <= result.raw_bytes
    assert seen == [(i + 1, 14) for i in range(14)]


def test_samples_coded_together_share_their_frame(native: Bundle):
    feeds = inputs_of(native, 7)
    result = run_split(native, feeds, batch=3)
    with opened(native) as held:
        pack = held.split.pack
    frames = [
        len(pack([array[i : i + 3] for array in result.link.values()])) for i in range(0, 7, 3)
    ]
    assert result.coded_bytes.tolist() == [
        *[frames[0] / 3] * 3,
        *[frames[1] / 3] * 3,
        frames[2],
    ]
    assert_arrays(list(result.outputs.values()), list(reference(native, feeds).values()))
    with pytest.raises(ConfigError, match="batch must be at least 1, not 0"):
        run_split(native, feeds, batch=0)


def test_the_cloud_sees_only_what_a_lossy_codec_gives_back(lossy: Bundle):
    feeds = inputs_of(lossy, 4)
    result = run_split(lossy, feeds)
    with opened(lossy) as held:
        split = held.split
        edge = run_reference(split.edge.graph, split.edge.inputs_of(feeds))
        sent = {
            spec.name: array
            for spec, array in zip(split.edge.signature.outputs, edge, strict=True)
        }
        received, _ = through_codec(split, sent, 4)
        expected = run_reference(split.cloud.graph, received)
    assert_arrays(list(result.outputs.values()), expected)
    assert any((received[name] != sent[name]).any() for name in sent)
    for name, array in received.items():
        assert all(len(np.unique(sample)) <= 8 for sample in array)  # three bits
        assert_arrays([result.link[name]], [array])


def test_entropy_is_that_of_the_pooled_symbols():
    half = np.repeat(np.array([0, 1], np.int8), 8).reshape(2, 8)  # one bit each
    assert entropy_bytes({"a": half}, 2) == 1.0
    wide = np.repeat(np.array([0, 256], np.int32), 8).reshape(2, 8)  # three planes are constant
    assert entropy_bytes({"a": wide, "b": half}, 2) == 2.0
