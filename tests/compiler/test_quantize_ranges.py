"""Ranges, codes and sample files: the small parts of quantizing after training."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.post_training.arrays import Held, Streamed, held_arrays, open_arrays
from joulecut.compiler.post_training.ranges import (
    BINS,
    Seen,
    bins_of,
    chosen_range,
    codes_for,
)
from joulecut.compiler.post_training.samples import check_numbers, matched

RNG = np.random.default_rng(0)


def seen(x: np.ndarray) -> Seen:
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    return Seen(low, high, bins_of(x, low, high))


def error(x: np.ndarray, bounds: tuple[float, float]) -> float:
    """Mean squared error of a quantizer that covers `bounds`."""
    codes = codes_for(*bounds, np.dtype(np.uint8))
    integers = codes.encode(x).astype(np.float64)
    return float(np.square((integers - codes.zero_point) * float(codes.scale[0]) - x).mean())


# ---- ranges -----------------------------------------------------------------------------


def test_minmax_is_what_was_met():
    x = RNG.normal(size=1000).astype(np.float32)
    assert chosen_range(seen(x), "minmax", 0) == (float(x.min()), float(x.max()))


@pytest.mark.parametrize("percentile", [90, 99, 99.9])
def test_percentile_leaves_out_the_ends(percentile: float):
    x = RNG.normal(size=200_000).astype(np.float32)
    low, high = chosen_range(seen(x), "percentile", percentile)
    part = float(x.max() - x.min()) / BINS
    assert low == pytest.approx(np.quantile(x, 1 - percentile / 100), abs=2 * part)
    assert high == pytest.approx(np.quantile(x, percentile / 100), abs=2 * part)


def test_percentile_100_is_minmax():
    x = RNG.normal(size=1000).astype(np.float32)
    assert chosen_range(seen(x), "percentile", 100) == pytest.approx((x.min(), x.max()))


def test_least_error_clips_an_outlier_that_many_values_would_pay_for():
    x = np.append(RNG.normal(size=100_000), 30).astype(np.float32)
    part = seen(x)
    counts = bins_of(x[:-1], part.low, part.high) * 1000
    counts[-1] = 1
    low, high = chosen_range(Seen(part.low, part.high, counts), "mse", 0)
    assert 3 < high < 10
    assert error(x[:-1], (low, high)) < error(x[:-1], (part.low, part.high)) / 5


def test_least_error_keeps_a_grid_of_bytes():
    x = (np.arange(256, dtype=np.float32) / np.float32(255)).repeat(10)
    assert chosen_range(seen(x), "mse", 0) == (0.0, 1.0)


@given(
    seed=st.integers(0, 10**6),
    power=st.floats(0.5, 4),
    shift=st.floats(-3, 3),
    one_sided=st.booleans(),
)
def test_least_error_is_no_worse_than_minmax(
    seed: int, power: float, shift: float, one_sided: bool
):
    normal = np.random.default_rng(seed).normal(size=4000)
    x = (np.sign(normal) * np.abs(normal) ** power + shift).astype(np.float32)
    x = np.maximum(x, 0) if one_sided else x
    if not x.any():
        return
    part = seen(x)
    chosen = error(x, chosen_range(part, "mse", 0))
    width = (part.high - part.low) / BINS  # the histogram knows values no finer
    assert chosen <= error(x, (part.low, part.high)) + width**2


def test_nothing_but_zero_has_a_quantizer_all_the_same():
    part = seen(np.zeros(10, np.float32))
    for method in ("minmax", "percentile", "mse"):
        assert chosen_range(part, method, 99) == (0.0, 0.0)
    codes = codes_for(0.0, 0.0, np.dtype(np.uint8))
    assert (float(codes.scale[0]), int(codes.zero_point[0])) == (1.0, 0)


@pytest.mark.parametrize("low", [-1e30, 1e-38, 3e38])
def test_counting_stands_the_ends_of_float32(low: float):
    x = np.array([0, low, -low], np.float32)
    part = seen(x)
    assert part.counts is not None
    assert part.counts.sum() == x.size


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@given(low=st.floats(-1e6, 0), high=st.floats(0, 1e6))
def test_codes_cover_the_range_and_have_an_exact_zero(dtype: str, low: float, high: float):
    codes = codes_for(low, high, np.dtype(dtype))
    limits = codes.low, codes.high
    zero, scale = int(codes.zero_point[0]), float(codes.scale[0])
    assert limits[0] <= zero <= limits[1]
    np.testing.assert_array_equal(codes.encode(np.zeros(1, np.float32)), [zero])
    assert (limits[0] - zero) * scale <= low + scale * 0.501
    assert (limits[1] - zero) * scale >= high - scale * 0.501


# ---- files ------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_is_read_sample_by_sample(tmp_path: Path, save: object):
    x = RNG.normal(size=(10, 3, 4)).astype(np.float32)
    labels = np.arange(10)
    save(tmp_path / "x.npz", x=x, y=labels)  # pyright: ignore[reportCallIssue]
    arrays = open_arrays(tmp_path / "x.npz")
    assert {type(source) for source in arrays.values()} == {Streamed}
    samples = matched(arrays, {"x": (1, 3, 4)}, 4, "calibration")
    assert list(samples.chosen) == [0, 3, 6, 9]
    assert (len(samples), samples.total) == (4, 10)
    for _ in range(2):  # as often as one likes
        found = np.concatenate([feed["x"] for feed in samples.feeds()])
        np.testing.assert_array_equal(found, x[[0, 3, 6, 9]])
    assert samples.labels is not None
    np.testing.assert_array_equal(samples.labels, [0, 3, 6, 9])
    assert samples.first(2).chosen == [0, 3]


def test_an_array_in_fortran_order_is_read_too(tmp_path: Path):
    x = np.asfortranarray(RNG.normal(size=(6, 5)).astype(np.float32))
    np.savez(tmp_path / "x.npz", x)
    arrays = open_arrays(tmp_path / "x.npz")
    assert isinstance(arrays["arr_0"], Held)
    samples = matched(arrays, {"any": (1, 5)}, None, "calibration")
    np.testing.assert_array_equal(np.concatenate([f["any"] for f in samples.feeds()]), x)


def test_a_npy_file_is_one_array(tmp_path: Path):
    x = RNG.normal(size=(6, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    samples = matched(open_arrays(tmp_path / "x.npy"), {"x": (1, 5)}, None, "calibration")
    np.testing.assert_array_equal(np.concatenate([f["x"] for f in samples.feeds()]), x)


def test_labels_may_be_an_input():
    arrays = held_arrays({"y": np.zeros((3, 5), np.float32)})
    samples = matched(arrays, {"y": (1, 5)}, None, "calibration")
    assert samples.labels is None
    assert [*samples.sources] == ["y"]


def test_memory_is_that_of_one_sample(tmp_path: Path):
    import tracemalloc

    x = RNG.normal(size=(64, 1 << 16)).astype(np.float32)  # 16 MiB, 256 KiB a sample
    np.savez(tmp_path / "x.npz", x=x)
    samples = matched(open_arrays(tmp_path / "x.npz"), {"x": (1, 1 << 16)}, None, "calibration")
    tracemalloc.start()
    check_numbers(samples, "calibration", lambda _done, _total: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 8


def test_files_that_are_no_samples(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"must be a \.npz or \.npy file, and '.*' is none"):
        open_arrays(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no array")
    with pytest.raises(
        ConfigError, match=r"must be arrays of numbers in a \.npz or \.npy file"
    ):
        open_arrays(tmp_path / "text.npz")
    np.savez(tmp_path / "objects.npz", x=np.array([{}, {}]))
    with pytest.raises(
        ConfigError, match=r"not '.*objects\.npz': 'x\.npy' holds Python objects"
    ):
        open_arrays(tmp_path / "objects.npz")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("x.txt", "no array")
    with pytest.raises(ConfigError, match=r"must be arrays of numbers"):
        open_arrays(tmp_path / "other.npz")


def test_damaged_files_are_found_when_they_are_read(tmp_path: Path):
    x = np.ones((4, 1000), np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[9000] ^= 1
    (tmp_path / "x.npz").write_bytes(data)
    samples = matched(open_arrays(tmp_path / "x.npz"), {"x": (1, 1000)}, None, "calibration")
    with pytest.raises(ConfigError, match=r"'x\.npy' in '.*' must be readable, and is damaged"):
        check_numbers(samples, "calibration", lambda _done, _total: None)


def test_a_file_that_ends_early(tmp_path: Path):
    x = np.ones((4, 1000), np.float32)
    np.save(tmp_path / "x.npy", x)
    short = (tmp_path / "x.npy").read_bytes()[:-4]
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", short)
    samples = matched(open_arrays(tmp_path / "x.npz"), {"x": (1, 1000)}, None, "calibration")
    with pytest.raises(ConfigError, match=r"must hold \[4, 1000\], and ends early"):
        check_numbers(samples, "calibration", lambda _done, _total: None)


def test_samples_of_python_are_arrays():
    with pytest.raises(ConfigError, match=r"samples 'arr_0' must be an array .* numpy\.stack"):
        held_arrays(object())
    with pytest.raises(
        ConfigError, match=r"samples 'x' must be an array \[N, \.\.\.\], not int"
    ):
        held_arrays({"x": 3})
