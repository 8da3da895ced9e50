"""Filters of -128 and 127 over the ends of int8 and uint8: no depthwise kernel may overflow.

Products of two such integers fit in 16 bits once or twice, and in uint8 times int8 they do not
fit in what some instructions saturate to: each kernel has its own way around that.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cpu_cases import Cases, samples
from cpu_parts import check_part, require_runnable

from joulecut.compiler.graph import Graph
from joulecut.targets.base import target, targets
from joulecut.targets.cpu.build import build_part

CHANNELS = 18  # more than a vector of 16, and fewer than two
KERNELS = sorted({place.kernels: place.name for place in targets()}.values())


def filters(rng: np.random.Generator, side: int) -> np.ndarray:
    """Of every kind that may overflow, [CHANNELS, 1, side, side]."""
    shape = (side, side)
    signs = np.where(np.indices(shape).sum(axis=0) % 2, -128, 127)
    alone = np.zeros(shape)
    alone[side // 2, side // 2] = -128
    small = rng.integers(-3, 4, shape)
    small[0, 0] = -128
    kinds = [
        np.full(shape, -128),
        np.full(shape, 127),
        signs,
        -1 - signs,
        alone,
        small,
        *(rng.choice([-128, -127, 0, 127], shape) for _ in range(CHANNELS - 6)),
    ]
    return np.stack(kinds)[:, None].astype(np.int8)


def graph_of(dtype: str) -> Graph:
    """Layers of several shapes, padded with the lowest or the highest integer."""
    cases = Cases(5)
    limits = np.iinfo(dtype)
    for side, stride, zero_point in (
        (3, 1, limits.min),
        (3, 2, limits.max),
        (5, 1, limits.max),
    ):
        x = cases.input((1, CHANNELS, 9, 10), dtype)
        attributes = {
            "x_zero_point": int(zero_point),
            "w_zero_point": [0],
            "strides": (stride, stride),
            "pads": (side // 2,) * 4,
            "dilations": (1, 1),
            "group": CHANNELS,
        }
        weights = cases.constant(filters(cases.rng, side))
        sums = cases.node("Conv", [x, weights], attributes)
        cases.requantize(sums, f"y{side}{stride}", dtype=dtype, x_zero_point=0)
    return cases.graph()


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("name", KERNELS)
def test_sums_do_not_overflow(name: str, dtype: str, tmp_path: Path) -> None:
    place = target(name)
    require_runnable(place)
    graph = graph_of(dtype)
    built = build_part(graph, place, tmp_path / "part")
    kernel = "portable" if place.kernels == "portable" else f"{place.kernels} depthwise"
    assert {layer.kernel for layer in built.layers} == {kernel}
    rng = np.random.default_rng(1)
    ends = np.iinfo(dtype).min, np.iinfo(dtype).max
    lowest, highest = samples(graph, 0)
    mixed = {key: rng.choice(ends, x.shape).astype(dtype) for key, x in lowest.items()}
    feeds = [lowest, highest, mixed]
    check_part(built, place, graph, feeds, tmp_path)
