"""Products in 16 bits: kernels equal numpy's, around the pairs and vectors of the families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from built_bundles import need_target
from nhwc_cases import (
    CASES,
    TILES,
    ConvCase,
    Job,
    check_jobs,
    conv_of,
    expected_of,
    inside,
    job_of,
)
from step_runner import run_step

from joulecut.targets.base import target
from joulecut.targets.cpu.nhwc.conv import conv
from joulecut.targets.cpu.nhwc.family import Family
from joulecut.targets.cpu.nhwc.smull import SMULL, SMULL_AHEAD, SMULL_AHEAD_SAFE, SMULL_SAFE
from joulecut.targets.cpu.nhwc.tile import Tile

FAMILIES = (SMULL, SMULL_AHEAD_SAFE, SMULL_AHEAD, SMULL_SAFE)
ONE_TAP = ConvCase(channels=8, kernel=(1, 1), pads=(0, 0), size=(1, 8))
# Sums of 1 to 9 pairs, and around the most that stand in a straight line and in a loop's body.
LENGTHS = tuple(
    replace(ONE_TAP, channels=c)
    for c in (1, 2, 3, 4, 5, 7, 8, 17, 94, 95, 96, 97, 98, 128, 129, 194)
)
WIDTHS = tuple(replace(ONE_TAP, outputs=o) for o in (1, 7, 8, 9, 15, 17, 31, 33, 80))
LOOPS = (  # rows of taps, then rows and columns of taps
    ConvCase(channels=18, kernel=(3, 3), size=(5, 6)),
    ConvCase(channels=11, kernel=(3, 3), size=(5, 6), dilations=(2, 2), pads=(2, 2)),
    ConvCase(channels=33, kernel=(2, 2), size=(4, 6), others=3, pads=(0, 0)),
)
SHAPES = (
    Tile(1, 1, 1),
    Tile(1, 1, 8),
    Tile(1, 2, 4),
    Tile(1, 3, 3),
    Tile(1, 5, 2),
    Tile(1, 8, 1),
)


def check(jobs: Sequence[Job], folder: Path) -> None:
    """Every kernel for the core that its order is meant for."""
    for board, ahead in (("cortex_a53", False), ("cortex_a72", True)):
        need_target(board)
        here = [job for job in jobs if ("ahead" in job[2].name) == ahead]
        if here:
            check_jobs(here, target(board), folder / board)


@pytest.mark.tool
@pytest.mark.parametrize("case", CASES, ids=str)
def test_convolutions(case: ConvCase, tmp_path: Path) -> None:
    check([job_of(case, *pair) for pair in zip(TILES, FAMILIES, strict=True)], tmp_path)


@pytest.mark.tool
@pytest.mark.parametrize("cases", [LENGTHS, WIDTHS + LOOPS], ids=["lengths", "widths, loops"])
def test_around_pairs_and_vectors(cases: Sequence[ConvCase], tmp_path: Path) -> None:
    families = [FAMILIES[(case.channels + case.outputs) % 2 * 2 :][:2] for case in cases]
    jobs = [
        job_of(case, Tile(1, 4, 2), family)
        for case, both in zip(cases, families, strict=True)
        for family in both
    ]
    check(jobs, tmp_path)


@pytest.mark.tool
def test_shapes_of_blocks(tmp_path: Path) -> None:
    case = ConvCase(channels=6, outputs=64, size=(3, 9))
    check([job_of(case, *pair) for pair in product(SHAPES, (SMULL, SMULL_SAFE))], tmp_path)


@pytest.mark.tool
@pytest.mark.parametrize(("family", "lowest"), [(SMULL, -127), (SMULL_SAFE, -128)])
def test_the_largest_products_fit(family: Family, lowest: int, tmp_path: Path) -> None:
    need_target("cortex_a53")
    work = conv_of(replace(ONE_TAP, channels=64), family, np.random.default_rng(0))
    work = replace(work, weights=np.full_like(work.weights, lowest))
    x = np.full(work.x.size, -128, np.int8)
    before = np.zeros(work.y.size, np.int8)
    step = conv(work, family, Tile(1, 4, 2))
    made = run_step(step, {"x": x, "y": before}, target("cortex_a53"), tmp_path)
    assert np.array_equal(inside(made["y"], work.y), expected_of(work, {"x": x}))
