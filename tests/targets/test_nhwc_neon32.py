"""Convolutions for armv7 NEON equal numpy's under qemu, around what their loops and lanes hold."""

from __future__ import annotations

import operator
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
    check_conv,
    check_jobs,
    conv_of,
    expected_of,
    inside,
    job_of,
)
from step_runner import Arrays, run_step, run_steps

from joulecut.targets.base import Target, target
from joulecut.targets.cpu.epilogue import Integers
from joulecut.targets.cpu.nhwc.arm32 import walk
from joulecut.targets.cpu.nhwc.conv import Conv, conv
from joulecut.targets.cpu.nhwc.ending import Ending
from joulecut.targets.cpu.nhwc.family import Family
from joulecut.targets.cpu.nhwc.neon32 import (
    KERNELS,
    NEON32,
    NEON32_HALF,
    NEON32_HALF_SAFE,
    NEON32_SAFE,
    family_of,
)
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.script import Step

FEW = Tile(1, 4, 1)
BOTH, SAFE = [NEON32, NEON32_HALF], [NEON32_SAFE, NEON32_HALF_SAFE]
NAME = operator.attrgetter("name")
DENSE = ConvCase(size=(1, 1), kernel=(1, 1), pads=(0, 0))
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 79, 80, 81, 82, 83, 161, 577, 593, 1187)
OUTPUTS = (1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 33)


@pytest.fixture
def board() -> Target:
    need_target("pynq_z2")
    return target("pynq_z2")


@pytest.mark.tool
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("family", BOTH, ids=NAME)
def test_convolutions(case: ConvCase, family: Family, board: Target, tmp_path: Path) -> None:
    """Each family with every second tile: the first where the other one has the second."""
    first = (CASES.index(case) + BOTH.index(family)) % 2
    check_jobs([job_of(case, tile, family) for tile in TILES[first::2]], board, tmp_path)


@pytest.mark.tool
@pytest.mark.parametrize("family", BOTH, ids=NAME)
def test_lengths(family: Family, board: Target, tmp_path: Path) -> None:
    cases = [replace(DENSE, channels=count, outputs=5, size=(1, 3)) for count in LENGTHS]
    check_jobs([job_of(case, FEW, family) for case in cases], board, tmp_path)


@pytest.mark.tool
@pytest.mark.parametrize("family", BOTH, ids=NAME)
def test_outputs(family: Family, board: Target, tmp_path: Path) -> None:
    cases = [replace(DENSE, channels=19, outputs=count) for count in OUTPUTS]
    check_jobs([job_of(case, FEW, family) for case in cases], board, tmp_path)


@pytest.mark.tool
@pytest.mark.parametrize("family", BOTH, ids=NAME)
def test_loops_over_kernels(family: Family, board: Target, tmp_path: Path) -> None:
    """Two loops and parts of a row of the kernel; a kernel of one column; rows apart."""
    cases = (
        ConvCase(channels=90, outputs=9, kernel=(2, 3), pads=(1, 1), others=3, size=(3, 5)),
        ConvCase(channels=593, outputs=4, kernel=(2, 2), pads=(1, 0), others=1, size=(2, 3)),
        ConvCase(channels=100, outputs=6, kernel=(7, 1), pads=(3, 0), size=(4, 3)),
        ConvCase(channels=250, outputs=6, kernel=(3, 3), dilations=(2, 1), pads=(2, 1)),
    )
    check_jobs([job_of(case, FEW, family) for case in cases], board, tmp_path)


@pytest.mark.tool
@pytest.mark.parametrize("family", [*BOTH, *SAFE], ids=NAME)
def test_largest_sums(family: Family, board: Target, tmp_path: Path) -> None:
    """Every product is the largest in magnitude that the family allows, of either sign."""
    case = ConvCase(channels=37, outputs=17, kernel=(3, 3), requantize=False)
    for i, value in enumerate((family.lowest_weight, 127)):
        work = conv_of(case, family, np.random.default_rng(0))
        work = replace(work, weights=np.full_like(work.weights, value))
        buffers: Arrays = {"x": np.full(work.x.size, -128, np.int8)}
        expected = expected_of(work, buffers)
        step = conv(work, family, FEW)
        buffers["y"] = np.zeros(work.y.size, np.int32)
        made = run_step(step, buffers, board, tmp_path / str(i))["y"]
        np.testing.assert_array_equal(inside(made, work.y), expected)


@pytest.mark.tool
@pytest.mark.parametrize("family", BOTH, ids=NAME)
def test_saturation(family: Family, board: Target, tmp_path: Path) -> None:
    """Reals inside and outside 16 bits; zero points and bounds of every kind."""
    case = ConvCase(channels=8, outputs=20, size=(3, 4))
    targets = [(0, -128, 127), (-3, -100, 90), (-128, -128, 127), (127, -128, 127)]
    works, jobs = list[Conv](), list[tuple[Step, Arrays]]()
    for i, (scale, (zero_point, low, high)) in enumerate(product((1, 900), targets)):
        work = conv_of(case, family, np.random.default_rng(i))
        (term,) = work.endings[0].terms
        term = replace(term, multiplier=term.multiplier * np.float32(scale))
        ending = Ending((term,), Integers(zero_point, low, high, "int8"))
        work = replace(work, endings=(ending,))
        rng = np.random.default_rng(i)
        x = rng.integers(-128, 127, work.x.size, endpoint=True).astype(np.int8)
        step = conv(work, family, FEW)
        assert ("jc_int8" in step.source) == (scale == 1)
        works.append(work)
        jobs.append((step, {"x": x, "y": np.zeros(work.y.size, np.int8)}))
    found = run_steps(jobs, board, tmp_path)
    for work, (_, buffers), made in zip(works, jobs, found, strict=True):
        np.testing.assert_array_equal(inside(made["y"], work.y), expected_of(work, buffers))


@pytest.mark.tool
@pytest.mark.parametrize("family", SAFE, ids=NAME)
def test_safe_families(family: Family, board: Target, tmp_path: Path) -> None:
    cases = (CASES[0], CASES[1], CASES[4], CASES[9])
    jobs = [job_of(case, tile, family) for case, tile in product(cases, TILES[:2])]
    check_jobs(jobs, board, tmp_path)


CHOICES = (
    (ConvCase(channels=3, outputs=16, size=(32, 32)), "neon32 1x2x1 rows"),
    (ConvCase(channels=64, outputs=64, size=(8, 8)), "neon32 1x2x1 channels"),
    (ConvCase(channels=96, outputs=24, size=(5, 56)), "neon32_half 1x4x1 rows"),
    (ConvCase(channels=16, outputs=8, size=(6, 6)), "neon32_half 2x2x1 rows"),
    (
        ConvCase(channels=16, outputs=16, size=(6, 1), kernel=(3, 1), pads=(1, 0)),
        "neon32 2x1x1 rows",
    ),
    (ConvCase(channels=16, outputs=24, size=(8, 8), pool=(2, 2)), "neon32_half 2x2x1 rows"),
    (replace(DENSE, channels=64, outputs=12), "neon32 1x1x1 channels"),
)


@pytest.mark.tool
@pytest.mark.parametrize(("case", "choice"), CHOICES)
def test_choices(case: ConvCase, choice: str, board: Target, tmp_path: Path) -> None:
    work = conv_of(case, NEON32, np.random.default_rng(0))
    assert str(KERNELS.default_of(work)) == choice
    check_conv(case, KERNELS.tile_of(work), family_of(work), board, tmp_path)
    low = replace(work, weights=np.where(work.weights == 127, -128, work.weights).astype("i1"))
    assert str(KERNELS.default_of(low)).split() == [
        f"{choice.split()[0]}_safe",
        *choice.split()[1:],
    ]


@pytest.mark.parametrize(
    "segments", [((3, 100),), ((2, 1000), (3, 70)), ((1, 5),), ((4, 9), (1, 3))]
)
@pytest.mark.parametrize("steps", [1, 4, 5, 7, 23])
@pytest.mark.parametrize("limit", [1, 5, 10, 1000])
def test_walks(segments: tuple[tuple[int, int], ...], steps: int, limit: int) -> None:
    """A pointer that follows the walk sees every step of every segment, in order."""
    seen, position = list[int](), 0
    way = walk(segments, steps, 2, limit)

    def follow(depth: int) -> None:
        nonlocal position
        if depth < len(way.loops):
            for _ in range(way.loops[depth][0]):
                follow(depth + 1)
                position += way.loops[depth][1]
            return
        for part in way.parts:
            assert len(part.offsets) <= limit
            for _ in range(part.count):
                seen.extend(position + offset for offset in part.offsets)
                position += part.after

    follow(0)
    starts = [0]
    for count, jump in segments:
        starts = [start + i * jump for start in starts for i in range(count)]
    assert seen == [start + 2 * i for start in starts for i in range(steps)]
    assert sum(way.runs) == len(seen)
