"""Bits and decibels are those of the definitions; what is kept is not computed twice."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from joulecut.compiler.errors import ConfigError
from joulecut.repro.distortion import (
    LEARNED,
    PAPER,
    Method,
    crossed,
    distortion,
    entropy_bits,
    huffman_bits,
    quantizer_of,
    sqnr_db,
    symbol_bits,
)
from joulecut.repro.kept import Kept

NUMBERS = np.random.default_rng(0).normal(size=(8, 64, 64)).astype(np.float32)


@pytest.mark.parametrize(
    ("counts", "bits"),
    [
        ([5, 2, 1, 1], (5 * 1 + 2 * 2 + 1 * 3 + 1 * 3) / 9),
        ([4, 0, 4, 4, 0, 4], 2.0),
        ([7], 1.0),
        ([0, 1_000_000, 1], 1.0),
    ],
)
def test_a_huffman_code_has_the_length_worked_by_hand(counts: list[int], bits: float):
    assert huffman_bits(counts) == pytest.approx(bits)


@pytest.mark.parametrize(("counts", "bits"), [([1, 1, 2, 0], 1.5), ([9], 0.0), ([1] * 8, 3.0)])
def test_entropy_is_that_of_the_definition(counts: list[int], bits: float):
    assert entropy_bits(counts) == pytest.approx(bits)


def test_huffman_is_within_one_bit_above_entropy():
    rng = np.random.default_rng(1)
    for size in (2, 3, 17, 256):
        counts = rng.geometric(0.01, size)
        assert entropy_bits(counts) <= huffman_bits(counts) < entropy_bits(counts) + 1


def test_decibels():
    assert sqnr_db(1000, 1) == pytest.approx(30)
    assert sqnr_db(1, 0) == 200
    assert sqnr_db(0, 0) == 200


@pytest.mark.parametrize("method", [*PAPER, *LEARNED])
def test_more_bits_are_nearer_and_cost_more(method: Method):
    found = [distortion([NUMBERS, 2 * NUMBERS], quantizer_of(method, b)) for b in (2, 4, 6)]
    assert found[0].sqnr_db + 6 < found[1].sqnr_db < found[2].sqnr_db - 6
    assert found[0].coded_bits < found[1].coded_bits < found[2].coded_bits
    assert found[0].zeros == 0


def test_a_codebook_of_other_tensors_clips_what_exceeds_it():
    small = quantizer_of("SQ", 8).calibrate([NUMBERS])
    decoded, bits = crossed(2 * NUMBERS, small)
    assert decoded.max() == pytest.approx(NUMBERS.max(), rel=0.01)
    assert 0 < bits < 8.1
    entropy, huffman = symbol_bits(2 * NUMBERS, small)
    assert entropy <= huffman <= entropy + 1


def test_there_must_be_a_tensor():
    with pytest.raises(ConfigError, match="at least one tensor, not none"):
        distortion([], quantizer_of("SQ", 8))


def test_results_are_computed_once_for_a_recipe(tmp_path: Path):
    calls: list[int] = []

    def compute() -> dict[str, Any]:
        calls.append(1)
        return {"x": math.pi}

    kept = Kept(tmp_path / "kept")
    for _ in range(2):
        assert kept.values("v", {"bits": 8}, compute) == {"x": math.pi}
    kept.values("v", {"bits": 7}, compute)
    assert len(calls) == 2
    assert len(list((tmp_path / "kept").iterdir())) == 2  # no partial file stays


def test_arrays_come_back_as_they_were(tmp_path: Path):
    kept = Kept(tmp_path)
    made = {"a": np.arange(6, dtype=np.int64).reshape(2, 3), "b.weight": NUMBERS}
    for _ in range(2):
        found = kept.arrays("a", {}, lambda: made)
        assert set(found) == set(made)
        for name, value in made.items():
            assert found[name].dtype == value.dtype
            np.testing.assert_array_equal(found[name], value)
