"""Readers who lack red or green cones still see a chart's colours apart."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from joulecut.compiler.report.palette import STYLES

COLOURS = tuple(style.colour for style in STYLES)
# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color
# vision deficiency", IEEE TVCG 15 (2009), severity 1.0; they act on linear RGB.
VISION = {
    "full": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
# IEC 61966-2-1 (sRGB), D65: linear RGB to CIE XYZ.
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def linear(colour: str) -> Any:
    values = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(seen: Any) -> Any:
    """CIE 1976 L*a*b* of linear RGB, against white."""
    ratios = [float(value) for value in (XYZ @ seen) / XYZ.sum(axis=1)]
    x, y, z = (
        ratio ** (1 / 3) if ratio > 216 / 24389 else (24389 / 27 * ratio + 16) / 116
        for ratio in ratios
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def nearest(colours: tuple[str, ...], vision: str) -> float:
    """The least distance (CIE 1976) of two of the colours, as this vision has them."""
    seen = [lab(np.clip(VISION[vision] @ linear(colour), 0, 1)) for colour in colours]
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))


def test_the_yardstick_knows_what_is_hard():
    assert lab(linear("#FF0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    assert nearest(("#C00000", "#007000"), "full") > 100
    assert nearest(("#C00000", "#007000"), "deuteranopia") < 30


@pytest.mark.parametrize("vision", VISION)
def test_no_two_colours_look_alike(vision: str):
    # 2.3 is just noticeable side by side; 15 is plain across a chart.
    assert nearest(COLOURS, vision) >= 15
