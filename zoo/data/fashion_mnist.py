"""Fashion-MNIST, complete (60,000 + 10,000 images), as Debian packages it.

It has MNIST's shape and four times its difficulty, so a network that loses accuracy shows it.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.zoo.data.images import ImageSplit, LabelledImages, from_bytes

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    *("T-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)

_UINT8 = 0x08  # the only element type that the idx files of (Fashion-)MNIST use
_MAX_ITEMS = 1 << 31


def load(folder: Path = DEBIAN_FOLDER) -> ImageSplit:
    """All images in their published order and split.

    Args:
        folder: holds the four `*-ubyte.gz` files.

    Raises:
        ConfigError: a file is missing; names the Debian package.
        UntrustedInputError: a file is not a well-formed idx file of the right shape.
    """
    return ImageSplit(_part(folder, "train"), _part(folder, "t10k"))


def _part(folder: Path, prefix: str) -> LabelledImages:
    pixels_path = folder / f"{prefix}-images-idx3-ubyte.gz"
    labels_path = folder / f"{prefix}-labels-idx1-ubyte.gz"
    for path in (pixels_path, labels_path):
        if not path.is_file():
            raise ConfigError(
                f"Fashion-MNIST must be in {folder}, which has no {path.name}; "
                "run: apt-get install dataset-fashion-mnist"
            )
    pixels = read_idx(pixels_path, dimensions=3)
    labels = read_idx(labels_path, dimensions=1)
    if len(pixels) != len(labels):
        raise UntrustedInputError(
            f"{labels_path} must have a label for each of {len(pixels)} images, "
            f"not {len(labels)}"
        )
    if labels.size and labels.max() >= len(CLASSES):
        raise UntrustedInputError(
            f"{labels_path} must hold labels of 0 to {len(CLASSES) - 1}, not {labels.max()}"
        )
    return from_bytes(pixels, labels)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read a gzip-compressed idx file of bytes.

    The format: two zero bytes, the element type, the number of dimensions, each dimension
    as a big-endian uint32, then the elements (source: the MNIST database's description).

    Args:
        path: the file.
        dimensions: how many the array must have.

    Returns:
        uint8, read-only, of the shape that the file states.

    Raises:
        UntrustedInputError: the file is not what its header says; names file and offset.
    """
    try:
        with gzip.open(path) as file:
            header = file.read(4 + 4 * dimensions)
            shape = _idx_shape(header, dimensions, path)
            count = int(np.prod(shape, dtype=object))
            # One byte more than promised, so that a longer file is seen without reading it all.
            body = file.read(count + 1)
    except (gzip.BadGzipFile, EOFError) as error:
        raise UntrustedInputError(f"{path} must be a complete gzip file: {error}") from error
    if len(body) != count:
        has = "more" if len(body) > count else f"{len(body)}"
        raise UntrustedInputError(
            f"{path} must have {count} bytes after offset {len(header)}, not {has}"
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def _idx_shape(header: bytes, dimensions: int, path: Path) -> tuple[int, ...]:
    magic = bytes([0, 0, _UINT8, dimensions])
    if header[:4] != magic:
        raise UntrustedInputError(
            f"{path} must start with {magic.hex(' ')} (idx, bytes, {dimensions} dimensions), "
            f"not {header[:4].hex(' ') or 'nothing'}"
        )
    if len(header) < 4 + 4 * dimensions:
        raise UntrustedInputError(
            f"{path} must state {dimensions} dimensions, but ends at offset {len(header)}"
        )
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if np.prod(shape, dtype=object) > _MAX_ITEMS:
        raise UntrustedInputError(
            f"{path} must hold at most {_MAX_ITEMS} bytes, not the {shape} of its header"
        )
    return shape
