"""One filter a channel on x86: kernels equal numpy's, around vectors, rows and columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nhwc_cases import ConvCase, check_kernel, conv_of, filters

from joulecut.targets.base import target
from joulecut.targets.cpu.nhwc.plane import Border
from joulecut.targets.cpu.nhwc.vnni import VNNI512
from joulecut.targets.cpu.nhwc.x86_depthwise import avx2_depthwise, vnni_depthwise

CASES = (
    filters(64, size=(25, 5)),
    filters(16, size=(9, 17), strides=(2, 2)),
    filters(24, size=(7, 31), border=Border(1, 2, 3, 1)),
    filters(144, size=(6, 9), kernel=(5, 5), pads=(2, 2), residual=True),
    filters(32, size=(6, 9), residual=True, others=5),
    filters(8, size=(9, 9), kernel=(5, 5), pads=(2, 2), strides=(2, 2), batch=2),
    filters(5, size=(12, 9), kernel=(10, 4), pads=(4, 1), strides=(2, 1)),
    filters(17, size=(9, 9), dilations=(2, 2), pads=(2, 2), others=3),
    filters(65, size=(9, 9), dilations=(2, 1), pads=(2, 1)),
    filters(3, size=(1, 20), kernel=(1, 8), pads=(0, 4)),
    filters(33, size=(5, 3), kernel=(2, 2), requantize=False),
    filters(128, size=(5, 3), kernel=(2, 2), requantize=False),
    filters(72, size=(1, 1), kernel=(1, 1), pads=(0, 0), batch=3),
    filters(100, size=(40, 16), kernel=(3, 1), pads=(1, 0)),
)
KERNELS = {"x86_64": avx2_depthwise, "x86_64_vnni": vnni_depthwise}


@pytest.mark.parametrize("board", KERNELS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_depthwise(case: ConvCase, board: str, tmp_path: Path) -> None:
    work = conv_of(case, VNNI512, np.random.default_rng(case.channels))
    check_kernel(work, KERNELS[board], target(board), tmp_path)


@pytest.mark.parametrize("board", KERNELS)
@pytest.mark.parametrize("channels", [32, 64])
def test_integers_beyond_16_bits_are_clamped_as_reals(
    channels: int, board: str, tmp_path: Path
) -> None:
    case = filters(channels, residual=True)
    work = conv_of(case, VNNI512, np.random.default_rng(0))
    (first, *others) = work.endings
    steep = replace(first.terms[0], multiplier=100 * first.terms[0].multiplier)
    steeper = replace(work, endings=(replace(first, terms=(steep,)), *others))
    check_kernel(steeper, KERNELS[board], target(board), tmp_path)
    alone = replace(steeper, endings=steeper.endings[:1], operands=())
    check_kernel(alone, KERNELS[board], target(board), tmp_path / "alone")


@pytest.mark.parametrize("board", KERNELS)
@pytest.mark.parametrize("weight", [-128, 127])
def test_largest_sums(weight: int, board: str, tmp_path: Path) -> None:
    work = conv_of(filters(64, kernel=(5, 5), pads=(2, 2)), VNNI512, np.random.default_rng(0))
    work = replace(work, weights=np.full_like(work.weights, weight))
    check_kernel(work, KERNELS[board], target(board), tmp_path)
