"""The paper's VGG16 in small: split anywhere it is itself; counts are exact at full size."""

# torch annotates only in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from joulecut.compiler.errors import ConfigError  # noqa: E402
from joulecut.zoo import alexnet, vgg19  # noqa: E402
from joulecut.zoo.counted import counted  # noqa: E402
from joulecut.zoo.data import fashion_mnist, pair  # noqa: E402
from joulecut.zoo.split_vgg16 import (  # noqa: E402
    PARAMETERS,
    HeadRecipe,
    after_split,
    at_split,
    float_head,
    head_of,
    layers,
    logits,
    split_names,
    trained_head,
    whole,
)
from joulecut.zoo.tapped import arrays_of, replaced, tapped, with_weights  # noqa: E402
from joulecut.zoo.vgg16 import MACS, Blocks, float_vgg16  # noqa: E402
from joulecut.zoo.vgg16 import PARAMETERS as CONVOLUTION_PARAMETERS  # noqa: E402

SMALL: Blocks = ((4, 2), (6, 2), (8, 3), (8, 3), (8, 3))
IMAGES = np.random.default_rng(0).normal(size=(9, 3, 32, 32)).astype(np.float32)


@pytest.fixture(scope="module")
def trunk() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = float_vgg16(SMALL)
    module.eval()
    return module


def test_the_papers_network_is_counted_exactly():
    found = layers()
    assert len(found) == 23
    assert sum(layer.parameters for layer in found) == PARAMETERS == 122_200_386
    convolutions = [layer for layer in found if layer.kind == "Conv2d"]
    assert sum(layer.macs for layer in convolutions) == MACS
    assert sum(layer.parameters for layer in convolutions) == CONVOLUTION_PARAMETERS
    assert sum(layer.macs for layer in found) == MACS + 107_480_064
    assert [layer.outputs for layer in found[:4]] == [150528, 3211264, 3211264, 802816]


def test_alexnet_and_vgg19_have_the_published_sizes():
    with torch.device("meta"):
        alex = counted(alexnet.float_alexnet(), alexnet.INPUT_SHAPE)
        deep = counted(float_vgg16(vgg19.BLOCKS), (1, 3, 224, 224))
    assert sum(layer.parameters for layer in alex) == alexnet.PARAMETERS == 60_965_224
    assert sum(layer.parameters for layer in deep) == vgg19.CONVOLUTION_PARAMETERS
    assert sum(layer.kind == "Conv2d" for layer in deep) == 16


def test_the_parts_of_every_split_make_the_whole(trunk: Any):
    features = after_split(trunk, IMAGES, "input")
    assert features.shape == (9, 8)
    names = split_names(trunk)
    assert len(names) == 1 + 13 + 5
    for name in names:
        crossing = at_split(trunk, IMAGES, name)
        np.testing.assert_array_equal(after_split(trunk, crossing, name), features)
        assert name == "input" or crossing.min() >= 0  # the ReLU is at the edge


def test_an_unknown_split_is_refused(trunk: Any):
    with pytest.raises(
        ConfigError, match=r"split must be one of input, block1_conv1.* not 'x'"
    ):
        at_split(trunk, IMAGES, "x")


def test_the_whole_network_has_the_papers_layers(trunk: Any):
    module = whole(trunk, float_head(8, (5, 4, 3, 2)))
    names = [name for name, _ in module.named_children() if name.startswith("dense")]
    assert names[0] == "dense1"
    assert names[-1] == "dense4"
    assert counted(module, (1, 3, 32, 32))[-1].parameters == 3 * 2 + 2


def test_a_head_learns_the_same_each_time():
    rng = np.random.default_rng(3)
    labels = np.tile([0, 1], 30).astype(np.int64)
    features = (rng.normal(size=(60, 12)) + 3 * labels[:, None]).astype(np.float32)
    recipe = HeadRecipe(widths=(16, 8, 2), rate=1e-2, epochs=40)
    head, in_training, in_validation = trained_head(features, labels, recipe)
    again, _, _ = trained_head(features, labels, recipe)
    assert in_training > 0.9
    assert in_validation > 0.9
    found = logits(head, features)
    np.testing.assert_array_equal(found, logits(again, features))
    np.testing.assert_array_equal(found, logits(head_of(arrays_of(head)), features))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"epochs": 0}, "epochs must be at least 1, not 0"), ({"validation": 1.0}, "below 1")],
)
def test_a_recipe_that_cannot_be_is_refused(options: dict[str, float], said: str):
    with pytest.raises(ConfigError, match=said):
        HeadRecipe(**options)  # pyright: ignore[reportArgumentType]


def test_vgg19_grown_out_of_vgg16_computes_the_same(trunk: Any):
    blocks = tuple((width, count + (count == 3)) for width, count in SMALL)
    deep = vgg19.deepened(trunk, blocks)
    assert len(list(deep)) == len(list(trunk)) + 2 * 3
    for name in ("block3_pool", "block5_pool"):
        expected, found = (tapped(net, IMAGES, [name])[1][name] for net in (trunk, deep))
        np.testing.assert_array_equal(found, expected)


def test_a_replaced_output_is_what_the_rest_gets(trunk: Any):
    output, seen = tapped(trunk, IMAGES, ["block1_pool", "block2_conv1"])
    np.testing.assert_array_equal(replaced(trunk, IMAGES, seen), output)
    other = {"block1_pool": seen["block1_pool"][::-1].copy()}
    np.testing.assert_array_equal(replaced(trunk, IMAGES, other), output[::-1])
    np.testing.assert_array_equal(tapped(trunk, IMAGES, [])[0], output)  # no hook is left
    with pytest.raises(ConfigError, match="which has no nowhere"):
        tapped(trunk, IMAGES, ["nowhere"])


def test_weights_are_changed_in_place():
    module = torch.nn.Linear(2, 1)
    with_weights(module, lambda name, value: value * 0 + (3 if name == "weight" else 1))
    assert tapped(module, np.ones((1, 2), np.float32), [])[0].tolist() == [[7.0]]


def test_alexnet_learns_light_from_dark():
    labels = np.tile([0, 1], 16).astype(np.int64)
    noise = np.random.default_rng(0).normal(size=(32, 3, 227, 227)) / 4
    images = (noise + (labels - 0.5)[:, None, None, None]).astype(np.float32)
    widths = (4, 4, 4, 4, 4, 8, 8)
    module = alexnet.trained_alexnet(images, labels, epochs=4, rate=1e-2, widths=widths)
    found = tapped(module, images, [])[0]
    assert np.mean(found.argmax(1) == labels) > 0.9
    again = alexnet.alexnet_of(arrays_of(module), widths)
    np.testing.assert_array_equal(tapped(again, images, [])[0], found)


def test_images_are_enlarged_by_interpolation():
    pixels = np.array([[[0, 100], [200, 100]]], np.uint8)
    large = pair.scaled(pixels, 4)
    assert large.shape == (1, 4, 4, 3)
    assert large[0, :, :, 0].tolist() == [
        [0, 25, 75, 100],
        [50, 62, 88, 100],
        [150, 138, 112, 100],
        [200, 175, 125, 100],
    ]
    assert (large[..., 1:] == large[..., :1]).all()


@pytest.mark.tool
@pytest.mark.skipif(
    not fashion_mnist.DEBIAN_FOLDER.is_dir(),
    reason="needs Fashion-MNIST: apt-get install dataset-fashion-mnist",
)
class TestPair:
    def test_two_classes_take_turns(self):
        train, test = pair.load_pair(("sneaker", "ankle boot"), 5, 3)
        assert train.labels.tolist() == [0, 1] * 5
        assert (len(test), len(test.take(4))) == (6, 4)
        everything = fashion_mnist.load().train
        first = np.flatnonzero(everything.labels == 7)[0]
        expected = np.rint(everything.images[first, 0] * 255)
        np.testing.assert_array_equal(train.pixels[0], expected)

    @pytest.mark.parametrize("classes", [("cat", "coat"), ("coat", "coat")])
    def test_there_must_be_two_known_classes(self, classes: tuple[str, str]):
        with pytest.raises(ConfigError, match="classes must be two of T-shirt"):
            pair.load_pair(classes, 1, 1)

    def test_there_must_be_enough(self):
        with pytest.raises(ConfigError, match="must be 1001 images of coat, not 1000"):
            pair.load_pair(("coat", "dress"), 1, 1001)
