"""Tiles on AArch64: the sums of a pool's window fit in registers, in order long batches win."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from nhwc_cases import ConvCase, conv_of

from joulecut.targets.cpu.nhwc import sdot, smull
from joulecut.targets.cpu.nhwc.arm64 import sdot_tile, smull_tile
from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.sdot import SDOT

TILES = {
    "sdot": (sdot_tile, sdot.statements),
    "smull": (partial(smull_tile, in_order=True), partial(smull.statements, safe=False)),
    "smull_ahead": (partial(smull_tile, in_order=False), partial(smull.statements, safe=False)),
}


def work_of(outputs: int, size: tuple[int, int], pool: tuple[int, int]) -> Conv:
    """A layer of 16 channels."""
    case = ConvCase(outputs=outputs, size=size, pool=pool)
    return conv_of(case, SDOT, np.random.default_rng(0))


@pytest.mark.parametrize("name", TILES)
@pytest.mark.parametrize("outputs", [16, 32, 64])
@pytest.mark.parametrize("pool", [(1, 2), (2, 2)])
def test_a_window_is_summed_by_few_statements(
    name: str, outputs: int, pool: tuple[int, int]
) -> None:
    tile_of, statements = TILES[name]
    tile = tile_of(work_of(outputs, (16, 16), pool))
    pixels = tile.rows * tile.columns
    assert pixels % (pool[0] * pool[1]) == 0
    most = 1 if name == "sdot" else pixels // 2  # of smull, two pixels of four vectors
    assert len(list(statements(pixels, tile.blocks))) <= most


@pytest.mark.parametrize(("name", "shape"), [("smull", (4, 2)), ("smull_ahead", (2, 3))])
def test_in_order_few_vectors_go_with_many_pixels(name: str, shape: tuple[int, int]) -> None:
    tile_of, _ = TILES[name]
    tile = tile_of(work_of(24, (1, 64), (1, 2)))
    assert (tile.columns, tile.blocks) == shape


def test_statements_cover_every_pixel_and_vector_once() -> None:
    for statements in (sdot.statements, partial(smull.statements, safe=True)):
        for pixels, blocks in ((1, 1), (7, 3), (5, 14), (9, 25)):
            seen = [
                (p, j)
                for some, vectors in statements(pixels, blocks)
                for p in some
                for j in vectors
            ]
            assert sorted(seen) == [(p, j) for p in range(pixels) for j in range(blocks)]
