"""The experiments of Brito et al. (SBrT 2020): VGG16 split after any of its first nine layers.

What crosses is quantized with a codebook made from other images, coded, decoded, and the rest
of the network goes on from there. All results are kept, so that a run which stopped goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from joulecut.compiler.quantizers import Quantizer
from joulecut.repro.distortion import (
    Distortion,
    Floats,
    Method,
    crossed,
    distortion,
    quantizer_of,
    symbol_bits,
)
from joulecut.repro.kept import Kept
from joulecut.zoo.data import caffe, pair, photos
from joulecut.zoo.split_vgg16 import (
    HeadRecipe,
    after_split,
    at_split,
    head_of,
    logits,
    multiplies_bfloat16,
    split_names,
    trained_head,
)
from joulecut.zoo.tapped import arrays_of

N_SPLITS = 9
BITS = (2, 3, 4, 5, 6, 7, 8)
HISTOGRAM_BITS = 8
_AT_ONCE = 8  # images; what crosses the first layer takes 13 MB each


@dataclass(frozen=True)
class Plan:
    """How much is run.

    Attributes:
        classes: of Fashion-MNIST, taken for cats and dogs.
        side: of the enlarged images, pixels.
        n_train: images of each class to train and to validate the head.
        n_test: images of each class to test, as many as in the paper.
        n_larger: images of each class for the accuracy in float: more, so that one image
            weighs less; the first are those of n_test.
        recipe: of the head.
        bits: of the quantizers.
        n_codebook: images or photos, other ones, from which codebooks are made.
        n_photos: photos on which distance and entropy are measured.
        accuracy_splits: beyond the first convolution's: where SQ's and TCQ's accuracy is
            measured, too.
    """

    classes: tuple[str, str] = ("sneaker", "ankle boot")
    side: int = 224
    n_train: int = 100
    n_test: int = 20
    n_larger: int = 50
    recipe: HeadRecipe = field(default_factory=HeadRecipe)
    bits: tuple[int, ...] = BITS
    n_codebook: int = 3
    n_photos: int = 4
    accuracy_splits: tuple[str, ...] = ("block1_pool", "block2_pool")


QUICK = Plan(
    n_train=20,
    n_test=5,
    n_larger=5,
    recipe=HeadRecipe(epochs=4),
    bits=(2, 4, 8),
    n_photos=1,
    accuracy_splits=(),
)


@dataclass(frozen=True)
class Point:
    """Of a curve of accuracy against bits.

    Attributes:
        split: the last layer at the edge.
        method: of quantizing.
        bits: of an index, before entropy coding.
        right: 1 for each test image that is classified correctly, else 0; in the data's order.
        entropy_bits: order-0, bits a number, mean over the first eight images.
        huffman_bits: of a Huffman code for each of them, without its table.
        coded_bits: of the real coded tensors, headers included.
    """

    split: str
    method: Method
    bits: int
    right: tuple[int, ...]
    entropy_bits: float
    huffman_bits: float
    coded_bits: float

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(np.mean(self.right))


@dataclass
class Study:
    """A network, its images, and what has been computed of it.

    Attributes:
        plan: how much.
        trunk: the convolutions and pools of `zoo.vgg16`, or a smaller relative of it.
        weights: names the trunk's weights in what is kept.
        kept: where results stay.
        progress: told what is done now.
    """

    plan: Plan
    trunk: Any
    weights: str
    kept: Kept
    progress: Callable[[str], None]
    _crossing: dict[str, Floats] = field(default_factory=dict[str, Floats])

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the nine splits: the last layer at the edge."""
        return split_names(self.trunk)[:N_SPLITS]

    @property
    def n_test(self) -> int:
        """Test images in the paper's number, of both classes."""
        return 2 * self.plan.n_test

    @cached_property
    def images(self) -> tuple[pair.Pair, pair.Pair]:
        """To train on, and to test on."""
        plan = self.plan
        return pair.load_pair(plan.classes, plan.n_train, max(plan.n_larger, plan.n_test))

    @cached_property
    def photos(self) -> Floats:
        """Prepared photos, [N, 3, side, side]: the codebooks' first, then those measured."""
        count = self.plan.n_codebook + self.plan.n_photos
        step = photos.SIDE // self.plan.side
        return caffe.preprocessed(photos.load().pixels[:count, ::step, ::step])

    @cached_property
    def head(self) -> tuple[Any, float, float]:
        """The trained dense layers, their accuracy in training and validation."""
        train = self.images[0]

        def compute() -> dict[str, NDArray[Any]]:
            features = self.features(train, "train")
            self.progress(f"training the dense layers on {len(train)} images")
            head, *accuracies = trained_head(features, train.labels, self.plan.recipe)
            return {**arrays_of(head), "accuracies": np.array(accuracies)}

        arrays = self.kept.arrays("head", self._recipe(), compute)
        in_training, in_validation = map(float, arrays.pop("accuracies"))
        return head_of(arrays), in_training, in_validation

    def features(self, images: pair.Pair, what: str) -> Floats:
        """What the whole trunk makes of images: float32 [N, 25088]."""

        def compute() -> dict[str, Floats]:
            self.progress(f"convolutions of {len(images)} images ({what})")
            parts = [after_split(self.trunk, part, "input") for part in self._prepared(images)]
            return {"features": np.concatenate(parts)}

        recipe = self._recipe(only=("classes", "side")) | {"count": len(images), "of": what}
        return self.kept.arrays(f"features-{what}", recipe, compute)["features"]

    def float_right(self) -> NDArray[np.bool_]:
        """Which test images are classified correctly when nothing is quantized."""
        test = self.images[1]
        return logits(self.head[0], self.features(test, "test")).argmax(1) == test.labels

    def split_accuracy(self, split: str, method: Method, bits: int) -> Point:
        """Accuracy on test images after what crossed was quantized, coded and decoded."""

        def compute() -> dict[str, Any]:
            count = self.n_test
            self.progress(f"accuracy at {split}: {method}, {bits} bits")
            quantizer = self._codebook(split, method, bits)
            test = self.images[1].take(count)
            right: list[int] = []
            coded: list[float] = []
            for start in range(0, count, _AT_ONCE):
                part = self._test_crossing(split)[start : min(start + _AT_ONCE, count)]
                decoded, found = _crossed_each(part, quantizer)
                coded += found
                scores = logits(self.head[0], after_split(self.trunk, decoded, split))
                labels = test.labels[start : start + len(part)]
                right += (scores.argmax(1) == labels).astype(int).tolist()
            first = self._test_crossing(split)[:_AT_ONCE]
            symbols = [symbol_bits(tensor, quantizer) for tensor in first]
            entropy, huffman = np.mean(symbols, axis=0).tolist()
            return {
                "right": right,
                "entropy_bits": entropy,
                "huffman_bits": huffman,
                "coded_bits": float(np.mean(coded)),
            }

        recipe = self._recipe() | {"split": split, "method": method, "bits": bits}
        found = self.kept.values("accuracy", recipe | {"count": self.n_test}, compute)
        right = tuple(found.pop("right"))
        return Point(split, method, bits, right, **found)

    def photo_distortion(self, split: str, method: Method, bits: int) -> Distortion:
        """Of what crosses at a split, on photos, with a codebook of other photos."""

        def compute() -> dict[str, Any]:
            crossing = self._photo_crossing(split)
            quantizer = quantizer_of(method, bits).calibrate(list(crossing[: self._first]))
            return distortion(list(crossing[self._first :]), quantizer).to_dict()

        recipe = self._recipe(only=("side", "n_photos", "n_codebook"))
        recipe |= {"split": split, "method": method, "bits": bits}
        return Distortion(**self.kept.values("distortion", recipe, compute))

    def histogram(self, split: str) -> dict[str, Any]:
        """Of the symbols of an 8-bit scalar quantizer on photos.

        Returns:
            `counts` of each symbol, and the numbers that the first and the last stand for.
        """

        def compute() -> dict[str, Any]:
            crossing = self._photo_crossing(split)
            codebook = quantizer_of("SQ", HISTOGRAM_BITS).calibrate(
                list(crossing[: self._first])
            )
            measured = crossing[self._first :]
            symbols = codebook.grid.quantize(measured).reshape(-1)
            low, high = codebook.grid.dequantize(np.array([0, 255], np.uint16)).tolist()
            counts = np.bincount(symbols, minlength=256).tolist()
            return {"counts": counts, "low": low, "high": high}

        recipe = self._recipe(only=("side", "n_photos", "n_codebook")) | {"split": split}
        return self.kept.values("histogram", recipe, compute)

    @property
    def _first(self) -> int:
        return self.plan.n_codebook

    def _codebook(self, split: str, method: Method, bits: int) -> Quantizer:
        """Made from the first training images."""
        images = self.images[0].take(self.plan.n_codebook)
        tensors = [at_split(self.trunk, part, split) for part in self._prepared(images)]
        return quantizer_of(method, bits).calibrate([each for part in tensors for each in part])

    def _test_crossing(self, split: str) -> Floats:
        """What crosses for the first test images; of one split at a time, for its size."""
        if split not in self._crossing:
            self._crossing.clear()
            parts = self._prepared(self.images[1].take(self.n_test))
            self._crossing[split] = np.concatenate(
                [at_split(self.trunk, part, split) for part in parts]
            )
        return self._crossing[split]

    def _photo_crossing(self, split: str) -> Floats:
        name = f"photos {split}"
        if name not in self._crossing:
            self._crossing.clear()
            self._crossing[name] = at_split(self.trunk, self.photos, split)
        return self._crossing[name]

    def _prepared(self, images: pair.Pair) -> list[Floats]:
        """Enlarged images in parts of a few: float32 [n, 3, side, side]."""
        return [
            caffe.preprocessed(
                pair.scaled(images.pixels[start : start + _AT_ONCE], self.plan.side)
            )
            for start in range(0, len(images), _AT_ONCE)
        ]

    def _recipe(
        self, only: tuple[str, ...] = ("classes", "side", "n_train", "recipe", "n_codebook")
    ) -> dict[str, Any]:
        """What decides a result, of the plan and of how the trunk is computed."""
        plan = asdict(self.plan)
        return {name: plan[name] for name in only} | {
            "weights": self.weights,
            "bfloat16": multiplies_bfloat16(),
        }


def _crossed_each(tensors: Floats, quantizer: Quantizer) -> tuple[Floats, list[float]]:
    """Each image's tensor is a coded tensor of its own; the coder lets go of Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(partial(crossed, quantizer=quantizer), list(tensors)))
    return np.stack([decoded for decoded, _ in found]), [coded for _, coded in found]
