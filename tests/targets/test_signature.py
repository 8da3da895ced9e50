"""Signatures of convolutions: one line for equal speed, another for any other shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from nhwc_cases import CASES, ConvCase, conv_of

from joulecut.compiler.errors import ConfigError
from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.kernels import Choice, Kernels
from joulecut.targets.cpu.nhwc.plane import Border
from joulecut.targets.cpu.nhwc.signature import signature
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.nhwc.vnni import VNNI512, tile_of


def work_of(case: ConvCase, seed: int = 0) -> Conv:
    work = conv_of(case, VNNI512, np.random.default_rng(seed))
    work.weights.flat[0] = -127
    return work


@pytest.mark.parametrize(
    ("case", "line"),
    [
        (ConvCase(), "3x3 16>16 to 6x9"),
        (
            ConvCase(
                channels=2, size=(1, 40), kernel=(1, 8), pads=(0, 4), pool=(1, 2), outputs=16
            ),
            "1x8 2>16 to 1x20 pool 1x2",
        ),
        (
            ConvCase(
                channels=8, outputs=40, group=2, dilations=(1, 2), strides=(2, 1), batch=2
            ),
            "3x3 4>20 to 3x7 stride 2x1 dilation 1x2 groups 2 batch 2",
        ),
        (
            ConvCase(residual=True, others=6),
            "3x3 16>16 to 6x9 x-part y-part ends 1+2 of 1",
        ),
        (ConvCase(requantize=False), "3x3 16>16 to 6x9 int32 ends none"),
    ],
)
def test_the_line_says_what_speed_depends_on(case: ConvCase, line: str) -> None:
    work = work_of(case)
    work.weights[work.weights == -128] = -127
    assert signature(work) == line


def test_names_values_and_borders_are_not_part_of_it() -> None:
    one, two = work_of(ConvCase()), work_of(ConvCase(border=Border(1, 2, 3, 1)), seed=1)
    for work in (one, two):
        work.weights[work.weights == -128] = -127
    two = replace(two, x=replace(two.x, name="other", fill=9))
    assert signature(one) == signature(two)


def test_a_weight_of_minus_128_is() -> None:
    work = work_of(ConvCase())
    work.weights.flat[0] = -128
    assert signature(work).endswith(" -128")


def test_every_shape_has_a_line_of_its_own() -> None:
    lines = [signature(work_of(case)).removesuffix(" -128") for case in CASES]
    assert len(set(lines)) == len(CASES)


def test_a_tuned_tile_is_taken_and_named() -> None:
    work = work_of(ConvCase())
    kernels = Kernels((VNNI512,), tile_of)
    plain, said = kernels.convolution(work)
    default = tile_of(work)
    assert said == f"vnni512 {default.rows}x{default.columns} pixels x 16 channels"
    tuned = replace(kernels, tuned={signature(work): Choice("vnni512", Tile(3, 8, 1))})
    other, said = tuned.convolution(work)
    assert said == "vnni512 3x8 pixels x 16 channels, tuned"
    assert other.source != plain.source
    assert tuned.convolution(work_of(ConvCase(channels=8)))[1].endswith("channels")


@pytest.mark.parametrize(
    ("choice", "must"),
    [
        (Choice("sdot", Tile(1, 4, 1)), "must be of vnni512, not 'sdot 1x4x1 rows'"),
        (Choice("vnni512", Tile(1, 3, 1)), "have columns that are multiples of 2, not"),
        (Choice("vnni512", Tile(2, 4, 1)), "have rows that are multiples of 1 up to 1, not"),
        (Choice("vnni512", Tile(1, 4, 0)), "have blocks, not 'vnni512 1x4x0 rows'"),
    ],
)
def test_a_tile_that_does_not_fit_is_named(choice: Choice, must: str) -> None:
    case = ConvCase(channels=2, size=(1, 40), kernel=(1, 8), pads=(0, 4), pool=(1, 2))
    work = work_of(case)
    kernels = Kernels((VNNI512,), tile_of, tuned={signature(work): choice})
    with pytest.raises(ConfigError, match="take it out of the database") as caught:
        kernels.convolution(work)
    assert must in str(caught.value)
