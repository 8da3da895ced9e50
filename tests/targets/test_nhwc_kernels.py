"""Which family computes a convolution, and what the build report says of the choice."""

from __future__ import annotations

import numpy as np
import pytest
from nhwc_cases import ConvCase, conv_of

from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.family import Family
from joulecut.targets.cpu.nhwc.kernels import Kernels
from joulecut.targets.cpu.nhwc.smull import SMULL, SMULL_AHEAD, SMULL_AHEAD_SAFE, SMULL_SAFE
from joulecut.targets.cpu.nhwc.tile import Tile


def work_of(family: Family, lowest: int) -> Conv:
    """A convolution whose lowest weight is this one."""
    work = conv_of(ConvCase(), family, np.random.default_rng(0))
    np.maximum(work.weights, -100, out=work.weights)
    work.weights.flat[7] = lowest
    return work


@pytest.mark.parametrize("families", [(SMULL, SMULL_SAFE), (SMULL_AHEAD, SMULL_AHEAD_SAFE)])
def test_a_weight_of_minus_128_names_the_other_family(families: tuple[Family, Family]) -> None:
    fast, safe = families
    kernels = Kernels(families, lambda _: Tile(1, 2, 1))
    _, said = kernels.convolution(work_of(fast, -127))
    assert said == f"{fast.name} 1x2 pixels x {fast.lanes} channels"
    _, said = kernels.convolution(work_of(fast, -128))
    assert said == (
        f"{safe.name} 1x2 pixels x {safe.lanes} channels, not {fast.name}: a weight is -128"
    )
