"""Trained codebooks: known ones are found, and what cannot be trained on is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fixed_trellis_library import assign_by_ctypes
from hypothesis import given
from hypothesis import strategies as st

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quantizers.training import (
    Floats,
    TrainingPlan,
    lloyd_max,
    train_fixed_trellis,
)

MAX_1960 = {
    1: [0.7980],
    2: [0.4528, 1.510],
    3: [0.2451, 0.7560, 1.344, 2.152],
}
"""J. Max, "Quantizing for minimum distortion", IRE Transactions on Information Theory 6, 1960:
the positive half of the levels for a Gaussian of variance 1."""


def gaussian(n: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 1, n).astype(np.float32)


def lost(x: Floats, levels: Floats) -> float:
    return float(np.mean(np.square(x - levels, dtype=np.float64)))


@pytest.mark.parametrize("bits", MAX_1960)
def test_lloyd_max_finds_the_levels_of_max(bits: int):
    book = lloyd_max(gaussian(400_000), bits)
    half = np.array(MAX_1960[bits])
    assert np.abs(book - np.concatenate([-half[::-1], half])).max() < 0.02


def test_lloyd_max_on_a_uniform_density_is_uniform():
    x = np.linspace(0, 1, 100_001, dtype=np.float32)
    assert np.abs(lloyd_max(x, 4) - (np.arange(16) + 0.5) / 16).max() < 1e-3


@given(
    samples=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40),
    bits=st.integers(1, 5),
)
def test_lloyd_max_levels_ascend_within_the_samples(samples: list[float], bits: int):
    x = np.array(samples, np.float32)
    book = lloyd_max(x, bits)
    assert book.shape == (2**bits,)
    assert book.dtype == np.float32
    assert (np.diff(book) >= 0).all()
    slack = 1e-6 * np.abs(x).max()
    assert x.min() - slack <= book.min() <= book.max() <= x.max() + slack or np.ptp(x) == 0


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_training_beats_the_start_and_is_the_same_each_time(bits: int):
    x, assign = gaussian(40_000), assign_by_ctypes(8)
    start = train_fixed_trellis(x, bits, assign, TrainingPlan(max_rounds=1))
    book = train_fixed_trellis(x, bits, assign)
    assert book.shape == (2 << bits,)
    assert (np.diff(book) >= 0).all()
    assert lost(x, book[assign(x, book)[1]]) < lost(x, start[assign(x, start)[1]])
    assert (train_fixed_trellis(x, bits, assign) == book).all()


def test_training_ends_where_levels_are_means():
    x, assign = gaussian(40_000), assign_by_ctypes(4)
    book = train_fixed_trellis(x, 2, assign, TrainingPlan(max_rounds=200, min_gain=1e-9))
    levels = assign(x, book)[1]
    means = [float(x[levels == place].mean(dtype=np.float64)) for place in range(8)]
    assert np.abs(book - means).max() < 0.01


def test_training_on_few_different_samples_keeps_every_level():
    x = np.array([0, 0, 0, 0, 1, 1, 1], np.float32)
    book = train_fixed_trellis(x, 3, assign_by_ctypes(8, lanes=1))
    assert np.isfinite(book).all()
    assert (np.diff(book) >= 0).all()


@pytest.mark.parametrize(
    ("samples", "bits", "message"),
    [
        (gaussian(9), 0, "bits must be 1 to 8, not 0; choose another rate"),
        (gaussian(9), 9, "bits must be 1 to 8, not 9; choose another rate"),
        (
            np.zeros((2, 2), np.float64),
            2,
            "samples must be a vector of float32, not float64 of shape (2, 2); pass x.astype('float32').ravel()",
        ),
        (np.zeros(0, np.float32), 2, "samples must be a vector of float32, not float32"),
        (
            np.array([1, np.nan], np.float32),
            2,
            "samples must be finite, not NaN or infinity; remove those",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_refused(samples: Floats, bits: int, message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        train_fixed_trellis(samples, bits, assign_by_ctypes(8))
