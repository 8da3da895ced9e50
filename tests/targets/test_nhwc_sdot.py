"""Dot products by element: kernels equal numpy's, around the words and vectors of the family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from built_bundles import need_target
from nhwc_cases import (
    CASES,
    ConvCase,
    check_jobs,
    check_tiles,
    conv_of,
    expected_of,
    inside,
    job_of,
)
from step_runner import run_step

from joulecut.targets.base import target
from joulecut.targets.cpu.nhwc.conv import conv
from joulecut.targets.cpu.nhwc.sdot import SDOT
from joulecut.targets.cpu.nhwc.tile import Tile

BOARD = "cortex_a76"
ONE_TAP = ConvCase(channels=8, kernel=(1, 1), pads=(0, 0), size=(1, 8))
# Sums of 1 to 17 words: four words are loaded at once; outputs around a vector of eight.
LENGTHS = tuple(replace(ONE_TAP, channels=c) for c in (1, 3, 4, 5, 12, 15, 16, 17, 33, 68))
WIDTHS = tuple(replace(ONE_TAP, outputs=o) for o in (1, 7, 8, 9, 15, 17, 31, 33))

# Around the most vectors of channels and the most pixels whose sums the registers hold.
SHAPES = (
    Tile(1, 1, 12),
    Tile(1, 1, 13),
    Tile(1, 2, 7),
    Tile(1, 3, 4),
    Tile(1, 4, 4),
    Tile(1, 6, 2),
    Tile(1, 11, 1),
)


@pytest.mark.tool
@pytest.mark.parametrize("case", CASES, ids=str)
def test_convolutions(case: ConvCase, tmp_path: Path) -> None:
    need_target(BOARD)
    check_tiles(case, SDOT, target(BOARD), tmp_path)


@pytest.mark.tool
def test_around_words_and_vectors(tmp_path: Path) -> None:
    need_target(BOARD)
    jobs = [job_of(case, Tile(1, 8, 1), SDOT) for case in LENGTHS + WIDTHS]
    check_jobs(jobs, target(BOARD), tmp_path)


@pytest.mark.tool
def test_shapes_of_statements(tmp_path: Path) -> None:
    need_target(BOARD)
    case = ConvCase(channels=17, outputs=112, size=(3, 12), strides=(1, 1))
    check_jobs([job_of(case, tile, SDOT) for tile in SHAPES], target(BOARD), tmp_path)


@pytest.mark.tool
@pytest.mark.parametrize("x", [-128, 127])
def test_the_largest_products_fit(x: int, tmp_path: Path) -> None:
    need_target(BOARD)
    work = conv_of(replace(ONE_TAP, channels=64), SDOT, np.random.default_rng(0))
    work = replace(work, weights=np.full_like(work.weights, -128))
    given = {"x": np.full(work.x.size, x, np.int8)}
    before = np.zeros(work.y.size, np.int8)
    step = conv(work, SDOT, Tile(1, 4, 2))
    made = run_step(step, {**given, "y": before}, target(BOARD), tmp_path)
    assert np.array_equal(inside(made["y"], work.y), expected_of(work, given))
