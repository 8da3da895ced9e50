"""One filter a channel on AArch64: kernels equal numpy's, around vectors, rows and columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from built_bundles import need_target
from nhwc_cases import ConvCase, check_kernel, conv_of, filters

from joulecut.targets.base import target
from joulecut.targets.cpu.nhwc.arm64_depthwise import sdot_depthwise, smull_depthwise
from joulecut.targets.cpu.nhwc.plane import Border
from joulecut.targets.cpu.nhwc.sdot import SDOT

CASES = (
    filters(64, size=(25, 5)),
    filters(16, size=(9, 17), strides=(2, 2)),
    filters(24, size=(7, 31), border=Border(1, 2, 3, 1)),
    filters(40, size=(6, 9), kernel=(5, 5), pads=(2, 2), residual=True),
    filters(8, size=(9, 9), kernel=(5, 5), pads=(2, 2), strides=(2, 2), batch=2),
    filters(5, size=(12, 9), kernel=(10, 4), pads=(4, 1), strides=(2, 1)),
    filters(17, size=(9, 9), dilations=(2, 2), pads=(2, 2), others=3),
    filters(3, size=(1, 20), kernel=(1, 8), pads=(0, 4)),
    filters(33, size=(5, 3), kernel=(2, 2), requantize=False),
    filters(72, size=(1, 1), kernel=(1, 1), pads=(0, 0), batch=3),
    filters(100, size=(40, 16), kernel=(3, 1), pads=(1, 0)),
)
KERNELS = {"cortex_a76": sdot_depthwise, "cortex_a53": smull_depthwise}


@pytest.mark.tool
@pytest.mark.parametrize("board", KERNELS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_depthwise(case: ConvCase, board: str, tmp_path: Path) -> None:
    need_target(board)
    work = conv_of(case, SDOT, np.random.default_rng(case.channels))
    check_kernel(work, KERNELS[board], target(board), tmp_path)


@pytest.mark.tool
@pytest.mark.parametrize("weight", [-128, -127, 20], ids=["one", "two", "twelve"])
def test_as_many_taps_are_added_in_16_bits_as_fit(weight: int, tmp_path: Path) -> None:
    need_target("cortex_a53")
    work = conv_of(filters(16, size=(5, 5)), SDOT, np.random.default_rng(0))
    work = replace(work, weights=np.full_like(work.weights, weight))
    taps = smull_depthwise(work).source.count("%s8 = add")
    assert taps == (1 if weight == 20 else 0)
    least = np.full(work.x.size, -128)
    check_kernel(work, smull_depthwise, target("cortex_a53"), tmp_path, least)
