"""AVX-512 VNNI: kernels equal numpy's around their vectors, and tiles suit the registers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nhwc_cases import ConvCase, check_jobs, conv_of, job_of

from joulecut.targets.base import target
from joulecut.targets.cpu.epilogue import Integers
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.nhwc.vnni import VNNI512, tile_of

ONE_TAP = ConvCase(channels=8, kernel=(1, 1), pads=(0, 0), size=(1, 8))
AROUND = (
    *(replace(ONE_TAP, channels=c) for c in (1, 3, 4, 5, 68)),
    *(replace(ONE_TAP, outputs=o) for o in (1, 15, 17, 31, 33)),
    *(replace(ONE_TAP, size=(1, c)) for c in (1, 3, 5, 6, 7, 12, 13, 14)),
)


def test_around_granules_blocks_and_units(tmp_path: Path) -> None:
    jobs = [job_of(case, Tile(1, 7, 2), VNNI512) for case in AROUND]
    check_jobs(jobs, target("x86_64_vnni"), tmp_path)


def test_tiles_that_fill_the_registers(tmp_path: Path) -> None:
    case = ConvCase(channels=32, outputs=64, size=(4, 44))
    tiles = (Tile(1, 30, 1), Tile(2, 7, 2), Tile(1, 6, 4))
    jobs = [job_of(case, tile, VNNI512) for tile in tiles]
    check_jobs(jobs, target("x86_64_vnni"), tmp_path)


@pytest.mark.parametrize("columns", [9, 16], ids=str)
def test_integers_beyond_16_bits_are_clamped_as_reals(columns: int, tmp_path: Path) -> None:
    case = ConvCase(residual=True, size=(6, columns))
    work = conv_of(case, VNNI512, np.random.default_rng(0))
    (first, *others) = work.endings
    steep = replace(first.terms[0], multiplier=100 * first.terms[0].multiplier)
    steeper = replace(work, endings=(replace(first, terms=(steep,)), *others))
    tiles = (Tile(1, 8, 1), Tile(1, 2, 1))
    alone = replace(steeper, endings=steeper.endings[:1], operands=())
    jobs = [(steeper, tile, VNNI512) for tile in tiles] + [(alone, tiles[0], VNNI512)]
    check_jobs(jobs, target("x86_64_vnni"), tmp_path)


def test_four_bits_of_eight_pooled_channels_compile(tmp_path: Path) -> None:
    """LLVM 22 did not end where the bytes that are stored were in sight of the packs."""
    case = ConvCase(
        channels=1, outputs=8, size=(14, 14), kernel=(3, 3), pads=(0, 0), pool=(2, 2)
    )
    work = conv_of(case, VNNI512, np.random.default_rng(0))
    (first,) = work.endings
    four_bits = replace(work, endings=(replace(first, target=Integers(0, 0, 15, "uint8")),))
    check_jobs([(four_bits, Tile(2, 12, 1), VNNI512)], target("x86_64_vnni"), tmp_path)


@pytest.mark.parametrize(
    ("case", "tile"),
    [
        (ConvCase(channels=512, outputs=512, size=(14, 14)), Tile(1, 14, 2, "channels")),
        (ConvCase(channels=16, outputs=16, size=(32, 32)), Tile(4, 7, 1)),
        (ConvCase(channels=16, outputs=24, size=(1, 512), kernel=(1, 8), pool=(1, 2)), None),
        (replace(ONE_TAP, channels=64, outputs=96, size=(1, 1)), Tile(1, 1, 6, "channels")),
    ],
    ids=str,
)
def test_tiles_fill_the_registers(case: ConvCase, tile: Tile | None) -> None:
    found = tile_of(conv_of(case, VNNI512, np.random.default_rng(0)))
    assert tile in (None, found)
    sums = found.rows * found.columns * found.blocks
    assert sums + found.blocks + 1 <= 32
    assert found.columns % case.pool[1] == 0
