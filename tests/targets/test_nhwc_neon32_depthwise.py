"""One filter a channel on armv7: kernels equal numpy's, around vectors, pixels and taps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from built_bundles import need_target
from nhwc_cases import ConvCase, check_kernel, conv_of, filters

from joulecut.targets.base import target
from joulecut.targets.cpu.nhwc.neon32 import KERNELS, NEON32
from joulecut.targets.cpu.nhwc.neon32_depthwise import neon32_depthwise
from joulecut.targets.cpu.nhwc.plane import Border

BOARD = "pynq_z2"


CASES = (
    filters(64, size=(5, 5)),
    filters(16, size=(6, 7), strides=(2, 2)),
    filters(8, size=(6, 7), kernel=(5, 5), pads=(2, 2)),
    filters(24, size=(5, 9), kernel=(5, 5), pads=(2, 2), strides=(2, 2)),
    filters(20, size=(6, 5), residual=True, border=Border(1, 2, 3, 1)),
    filters(20, size=(6, 5), batch=2, others=5),
    filters(33, size=(4, 7), dilations=(2, 2), pads=(2, 2)),
    filters(96, size=(3, 5), kernel=(3, 2), strides=(1, 2), dilations=(1, 2)),
    filters(5, size=(12, 9), kernel=(10, 4), pads=(4, 1), strides=(2, 1)),
    filters(40, size=(1, 9), kernel=(1, 4), pads=(0, 2)),
    filters(1, size=(4, 4)),
    filters(15, size=(4, 1), kernel=(3, 1), pads=(1, 0), requantize=False),
    filters(100, size=(7, 7), kernel=(1, 1), pads=(0, 0)),
)


@pytest.mark.tool
@pytest.mark.parametrize("case", CASES, ids=str)
def test_depthwise(case: ConvCase, tmp_path: Path) -> None:
    need_target(BOARD)
    rng = np.random.default_rng(case.channels)
    work = conv_of(case, NEON32, rng)
    if case.channels % 2:  # of these some must be added alone and some many at once
        some = rng.random(work.weights.shape) < 0.2
        work = replace(work, weights=np.where(some, -128, work.weights // 9).astype(np.int8))
    check_kernel(
        work, neon32_depthwise, target(BOARD), tmp_path, rng.integers(-128, 128, work.x.size)
    )


@pytest.mark.tool
@pytest.mark.parametrize(
    ("weight", "widened"), [(-128, 9), (-127, 5), (85, 3), (28, 1)], ids=str
)
@pytest.mark.parametrize("x", [-128, 127])
def test_as_many_taps_are_added_in_16_bits_as_fit(
    weight: int, widened: int, x: int, tmp_path: Path
) -> None:
    need_target(BOARD)
    work = conv_of(filters(8, size=(3, 3)), NEON32, np.random.default_rng(0))
    work = replace(work, weights=np.full_like(work.weights, weight))
    both = 2 + 1  # statements for two pixels and for one, two adds for a pixel
    assert neon32_depthwise(work).source.count("vaddw.s16") == 2 * both * widened
    check_kernel(work, neon32_depthwise, target(BOARD), tmp_path, np.full(work.x.size, x))


def test_depthwise_convolutions_take_this_kernel() -> None:
    work = conv_of(filters(16), NEON32, np.random.default_rng(0))
    step, report = KERNELS.convolution(work)
    assert (step.op, report) == ("depthwise", "neon32 depthwise")
