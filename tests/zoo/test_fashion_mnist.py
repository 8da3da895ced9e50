"""The idx parser believes nothing, and the packaged Fashion-MNIST is complete."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.zoo.data import fashion_mnist
from joulecut.zoo.data.fashion_mnist import read_idx


def idx(array: np.ndarray) -> bytes:
    """The slow twin: an idx file, written from the format's description."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(
        struct.pack(">I", side) for side in array.shape
    )
    return header + array.astype(np.uint8).tobytes()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1)
)
def test_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], seed: int
):
    array = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    path = write(tmp_path_factory.mktemp("idx") / "a.gz", idx(array))
    np.testing.assert_array_equal(read_idx(path, len(shape)), array)


WHOLE = idx(np.arange(24).reshape(4, 3, 2))


def test_every_truncation_is_refused(tmp_path: Path):
    for length in range(len(WHOLE)):
        path = write(tmp_path / "a.gz", WHOLE[:length])
        with pytest.raises(UntrustedInputError, match=r"a\.gz must"):
            read_idx(path, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE + b"\0", "must have 24 bytes after offset 16, not more"),
        (WHOLE[:-1], "must have 24 bytes after offset 16, not 23"),
        (b"\1" + WHOLE[1:], "must start with 00 00 08 03 .*, not 01 00 08 03"),
        (b"\0\0\x0d" + WHOLE[3:], "must start with 00 00 08 03 .*, not 00 00 0d 03"),
        (idx(np.arange(3)), "must start with 00 00 08 03 .*, not 00 00 08 01"),
        (b"", "must start with 00 00 08 03 .*, not nothing"),
        (WHOLE[:10], "must state 3 dimensions, but ends at offset 10"),
        (WHOLE[:4] + b"\xff" * 12, "must hold at most 2147483648 bytes"),
    ],
)
def test_malformed_content_is_refused(tmp_path: Path, content: bytes, message: str):
    with pytest.raises(UntrustedInputError, match=message):
        read_idx(write(tmp_path / "a.gz", content), 3)


def test_truncated_gzip_is_refused(tmp_path: Path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(WHOLE)[:-6])
    with pytest.raises(UntrustedInputError, match="must be a complete gzip file"):
        read_idx(path, 3)


def folder_of(path: Path, images: int, labels: list[int]) -> Path:
    for prefix in ("train", "t10k"):
        write(path / f"{prefix}-images-idx3-ubyte.gz", idx(np.zeros((images, 28, 28))))
        write(path / f"{prefix}-labels-idx1-ubyte.gz", idx(np.array(labels)))
    return path


def test_own_folder(tmp_path: Path):
    split = fashion_mnist.load(folder_of(tmp_path, 3, [9, 0, 4]))
    assert split.train.images.shape == (3, 1, 28, 28)
    assert split.held_out.labels.tolist() == [9, 0, 4]


def test_labels_must_match(tmp_path: Path):
    with pytest.raises(UntrustedInputError, match="a label for each of 3 images, not 2"):
        fashion_mnist.load(folder_of(tmp_path, 3, [1, 2]))
    with pytest.raises(UntrustedInputError, match="labels of 0 to 9, not 10"):
        fashion_mnist.load(folder_of(tmp_path, 1, [10]))


def test_missing_files_name_the_debian_package(tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"no train-images.*; run: apt-get install dataset-fashion-mnist"
    ):
        fashion_mnist.load(tmp_path)


@pytest.mark.tool
@pytest.mark.skipif(
    not fashion_mnist.DEBIAN_FOLDER.is_dir(),
    reason="needs Fashion-MNIST: apt-get install dataset-fashion-mnist",
)
def test_debian_package_is_complete():
    split = fashion_mnist.load()
    assert (len(split.train), len(split.held_out)) == (60_000, 10_000)
    np.testing.assert_array_equal(np.bincount(split.train.labels), np.full(10, 6000))
    np.testing.assert_array_equal(np.bincount(split.held_out.labels), np.full(10, 1000))
    # Published mean of the training pixels: 0.2860.
    assert round(float(split.train.images.mean(dtype=np.float64)), 4) == 0.286
