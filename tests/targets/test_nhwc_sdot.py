"""Dot products by element: kernels equal numpy's, around the words and vectors of the family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from built_bundles import need_target
from nhwc_cases import CASES, ConvCase, check_jobs, check_tiles, job_of

from joulecut.targets.base import target
from joulecut.targets.cpu.nhwc.sdot import SDOT
from joulecut.targets.cpu.nhwc.tile import Tile

BOARD = "cortex_a76"
ONE_TAP = ConvCase(channels=8, kernel=(1, 1), pads=(0, 0), size=(1, 8))
# Sums of 1 to 17 words: four words are loaded at once; outputs around a vector of eight.
LENGTHS = tuple(replace(ONE_TAP, channels=c) for c in (1, 3, 4, 5, 12, 15, 16, 17, 33, 68))
WIDTHS = tuple(replace(ONE_TAP, outputs=o) for o in (1, 7, 8, 9, 15, 17, 31, 33))


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
