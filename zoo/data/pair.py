"""Two classes of Fashion-MNIST as colour images of any size: a stand-in for cats and dogs.

Cats and dogs are not in any package. A pair of classes that look alike is the nearest thing:
balanced, labelled, real, and large enough for a test set that resolves half a percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from joulecut.compiler.errors import ConfigError
from joulecut.zoo.data import fashion_mnist
from joulecut.zoo.data.images import LabelledImages


@dataclass(frozen=True, eq=False)
class Pair:
    """Images of two classes in turn: first, second, first ..

    Attributes:
        pixels: uint8 [N, 28, 28].
        labels: int64 [N], 0 or 1.
    """

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, count: int) -> Pair:
        """The first `count` images."""
        return Pair(self.pixels[:count], self.labels[:count])


def load_pair(
    classes: tuple[str, str],
    n_train: int,
    n_test: int,
    folder: Path = fashion_mnist.DEBIAN_FOLDER,
) -> tuple[Pair, Pair]:
    """Images to train on, of the training set, and to test on, of the test set.

    Args:
        classes: two names of `fashion_mnist.CLASSES`.
        n_train: images of each class, the first ones.
        n_test: likewise.
        folder: of the data set.

    Raises:
        ConfigError: a class that there is not, too many images, or no data set.
    """
    unknown = [name for name in classes if name not in fashion_mnist.CLASSES]
    if unknown or classes[0] == classes[1]:
        raise ConfigError(
            f"classes must be two of {', '.join(fashion_mnist.CLASSES)}, not {classes}"
        )
    split = fashion_mnist.load(folder)
    return _pair(split.train, classes, n_train), _pair(split.held_out, classes, n_test)


def scaled(pixels: np.ndarray, side: int) -> np.ndarray:
    """Grey images enlarged by linear interpolation, with three equal colours.

    Args:
        pixels: uint8 [N, H, H].
        side: of the result.

    Returns:
        uint8 [N, side, side, 3].
    """
    size = pixels.shape[1]
    at = np.clip((np.arange(side) + 0.5) * size / side - 0.5, 0, size - 1)
    before = np.minimum(at.astype(int), size - 2)
    weights = np.zeros((side, size), np.float32)
    weights[np.arange(side), before] = 1 - (at - before)
    weights[np.arange(side), before + 1] = at - before
    large = weights @ pixels.astype(np.float32) @ weights.T
    return np.repeat(np.rint(large).astype(np.uint8)[..., None], 3, axis=3)


def _pair(images: LabelledImages, classes: tuple[str, str], count: int) -> Pair:
    places: list[np.ndarray] = []
    for name in classes:
        found = np.flatnonzero(images.labels == fashion_mnist.CLASSES.index(name))
        if len(found) < count:
            raise ConfigError(f"there must be {count} images of {name}, not {len(found)}")
        places.append(found[:count])
    order = np.stack(places, axis=1).reshape(-1)
    pixels = np.rint(images.images[order, 0] * 255).astype(np.uint8)
    return Pair(pixels, np.tile([0, 1], count).astype(np.int64))
