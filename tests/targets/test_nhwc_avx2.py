"""AVX2 without VNNI: kernels equal numpy's, and no sum of theirs leaves 16 bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nhwc_cases import CASES, ConvCase, check_jobs, check_tiles, conv_of, job_of

from joulecut.targets.base import target
from joulecut.targets.cpu.nhwc.avx2 import AVX2, tile_of
from joulecut.targets.cpu.nhwc.narrow import HEADER, LANES, STEPS, program
from joulecut.targets.cpu.nhwc.tile import Tile

ONE_TAP = ConvCase(channels=8, kernel=(1, 1), pads=(0, 0), size=(1, 8))
# Sums of 1 to 17 granules, outputs around a block, pixels around what ends together.
AROUND = (
    *(replace(ONE_TAP, channels=c) for c in (1, 3, 4, 5, 8, 9, 12, 68)),
    *(replace(ONE_TAP, outputs=o) for o in (1, 7, 8, 9, 17)),
    *(replace(ONE_TAP, size=(1, c), outputs=8) for c in (3, 5, 6, 7, 12, 13, 14, 15)),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_convolutions(case: ConvCase, tmp_path: Path) -> None:
    check_tiles(case, AVX2, target("x86_64"), tmp_path)


def test_around_granules_blocks_and_units(tmp_path: Path) -> None:
    jobs = [job_of(case, Tile(1, 8, 1), AVX2) for case in AROUND]
    check_jobs(jobs, target("x86_64"), tmp_path)


def test_largest_sums(tmp_path: Path) -> None:
    work = conv_of(ConvCase(channels=64), AVX2, np.random.default_rng(0))
    alike = [np.full_like(work.weights, weight) for weight in (-128, -127, 0, 127)]
    jobs = [(replace(work, weights=each), Tile(1, 4, 1), AVX2) for each in alike]
    check_jobs(jobs, target("x86_64"), tmp_path)


def test_integers_beyond_16_bits_are_clamped_as_reals(tmp_path: Path) -> None:
    work = conv_of(ConvCase(residual=True), AVX2, np.random.default_rng(0))
    (first, *others) = work.endings
    steep = replace(first.terms[0], multiplier=100 * first.terms[0].multiplier)
    steeper = replace(work, endings=(replace(first, terms=(steep,)), *others))
    alone = replace(steeper, endings=steeper.endings[:1], operands=())
    jobs = [(each, Tile(1, 4, 1), AVX2) for each in (steeper, alone)]
    check_jobs(jobs, target("x86_64"), tmp_path)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 40), st.floats(1, 300))
def test_a_program_is_the_weights_in_an_order_that_stays_in_16_bits(
    seed: int, outputs: int, length: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    drawn = rng.normal(0, spread, (outputs, 3, length))
    weights = np.clip(np.rint(drawn), -128, 127).astype(np.int8)
    turns, spots, parts = parts_of(program(weights, 0, np.arange(3) * 1000))

    room = -(-length // 4) * 4  # x is read no further
    total = np.zeros((LANES, 3, room), np.int64)
    for spot, part in zip(spots.tolist(), parts, strict=True):
        segment, first = divmod(spot, 1000)
        assert first + 4 <= room
        total[:, segment, first : first + 4] += part
    kept = min(outputs, LANES)
    assert np.array_equal(total[:kept, :, :length], weights[:kept])
    assert not total[kept:].any()
    assert not total[..., length:].any()

    pairs = parts.reshape(-1, 2 * LANES, 2)
    for sign in (1, -1):  # x is 0 where a weight has the other sign, else 255
        largest = 255 * np.maximum(sign * pairs, 0).sum(axis=2)
        first = 0
        for times, granules in zip(turns, STEPS, strict=True):
            end = first + times * granules
            together = largest[first:end].reshape(times, granules, 2 * LANES).sum(axis=1)
            assert together.max(initial=0) <= 2**15 - 1
            first = end


@pytest.mark.parametrize(
    ("weight", "turns"),
    [(7, [25, 0, 0, 0]), (20, [0, 33, 0, 1]), (30, [0, 0, 50, 0]), (60, [0, 0, 0, 100])],
)
def test_small_weights_are_widened_seldom(weight: int, turns: list[int]) -> None:
    weights = np.full((8, 1, 400), weight, np.int8)
    assert parts_of(program(weights, 0, np.zeros(1, np.int64)))[0] == turns


def test_zeros_are_left_out() -> None:
    weights = np.zeros((8, 1, 400), np.int8)
    weights[3, 0, 17] = 1
    assert parts_of(program(weights, 0, np.zeros(1, np.int64)))[0] == [0, 0, 0, 1]
    turns, spots, parts = parts_of(program(0 * weights, 0, np.zeros(1, np.int64)))
    assert (turns, spots.size, parts.size) == ([0, 0, 0, 0], 0, 0)


@pytest.mark.parametrize(
    ("length", "at", "spots"),
    [
        (8, 4, [3]),  # a granule that begins a byte early has them in two sums
        (8, 0, [0, 1]),  # nothing is before the first
        (8, 6, [4, 4]),  # nothing is read beyond the last four
    ],
)
def test_large_neighbours_do_not_meet(length: int, at: int, spots: list[int]) -> None:
    weights = np.zeros((8, 1, length), np.int8)
    weights[5, 0, at : at + 2] = 100
    assert sorted(parts_of(program(weights, 0, np.zeros(1, np.int64)))[1]) == spots


def parts_of(made: np.ndarray) -> tuple[list[int], np.ndarray, np.ndarray]:
    """How often each of the steps runs; where its granules lie; their weights [n, 8, 4]."""
    numbers = made[: made.size // 4 * 4].view(np.int32)
    *turns, at = numbers[:HEADER].tolist()
    count = int(np.dot(turns, STEPS))
    parts = made[at:].reshape(count, LANES, 4).astype(np.int64)
    return turns, numbers[HEADER : HEADER + count], parts


@pytest.mark.parametrize(
    ("case", "tile"),
    [
        (ConvCase(channels=64, outputs=64, size=(28, 28)), Tile(1, 14, 1)),
        (ConvCase(channels=64, outputs=64, size=(8, 8)), Tile(4, 3, 1, "channels")),
        (ConvCase(channels=512, outputs=512, size=(14, 14)), Tile(1, 14, 1, "channels")),
        (replace(ONE_TAP, channels=64, outputs=40, size=(1, 1)), Tile(1, 1, 1, "channels")),
    ],
    ids=str,
)
def test_tiles_fit_rows_and_streams(case: ConvCase, tile: Tile) -> None:
    assert tile_of(conv_of(case, AVX2, np.random.default_rng(0))) == tile
