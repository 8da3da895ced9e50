"""Arena plans: nothing that lives together overlaps, and plans are near what is possible."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecut.targets.cpu.memory import ALIGNMENT_BYTES, Arena, Life, aligned, plan_arena


@st.composite
def lives(draw: st.DrawFn) -> list[Life]:
    count = draw(st.integers(0, 12))
    spans = [
        sorted(draw(st.tuples(st.integers(0, 9), st.integers(0, 9)))) for _ in range(count)
    ]
    sizes = [draw(st.integers(1, 1000)) for _ in range(count)]
    return [Life(f"b{i}", sizes[i], first, last) for i, (first, last) in enumerate(spans)]


@given(lives())
def test_no_two_live_buffers_overlap(buffers: list[Life]) -> None:
    arena = plan_arena(buffers)
    assert sorted(arena.offsets) == sorted(life.name for life in buffers)
    for life in buffers:
        assert arena.offsets[life.name] % ALIGNMENT_BYTES == 0
        assert 0 <= arena.offsets[life.name] <= arena.nbytes - life.nbytes
    for a, b in itertools.combinations(buffers, 2):
        if a.first <= b.last and b.first <= a.last:
            low, high = sorted((a, b), key=lambda life: arena.offsets[life.name])
            assert arena.offsets[low.name] + low.nbytes <= arena.offsets[high.name]


@given(lives())
def test_the_bound_is_the_fullest_moment(buffers: list[Life]) -> None:
    arena = plan_arena(buffers)
    fullest = max(
        sum(aligned(b.nbytes) for b in buffers if b.first <= moment <= b.last)
        for moment in range(10)
    )
    assert arena.bound_bytes == fullest <= arena.nbytes


@given(lives())
def test_a_plan_does_not_depend_on_the_order_of_the_buffers(buffers: list[Life]) -> None:
    assert plan_arena(buffers[::-1]) == plan_arena(buffers)
    assert plan_arena(sorted(buffers, key=lambda life: life.nbytes)) == plan_arena(buffers)


def test_a_chain_needs_two_neighbours() -> None:
    chain = [Life(f"b{i}", size, i, i + 1) for i, size in enumerate((640, 64, 512, 128))]
    assert plan_arena(chain) == Arena({"b0": 0, "b2": 0, "b1": 640, "b3": 512}, 704, 704)


def test_buffers_at_either_end_make_room_between_them() -> None:
    """Padded and plain tensors in turn, as DS-CNN has them: pushed down they leave a gap."""
    sizes = (640, 8000, 12096, 8000, 8000, 12096, 8000, 8000, 12096, 8000, 8000, 64)
    arena = plan_arena([Life(f"b{i}", size, i, i + 1) for i, size in enumerate(sizes)])
    assert arena.nbytes == arena.bound_bytes == 20096


@pytest.mark.parametrize("reach", [2, 5, 20])
@pytest.mark.parametrize("seed", range(3))
def test_plans_of_many_buffers_are_near_the_bound(seed: int, reach: int) -> None:
    draws = random.Random(seed)
    firsts = [draws.randint(0, 60) for _ in range(60)]
    buffers = [
        Life(f"b{i}", draws.randint(1, 100_000), first, first + draws.randint(0, reach))
        for i, first in enumerate(firsts)
    ]
    arena = plan_arena(buffers)
    assert arena.bound_bytes <= arena.nbytes <= 1.05 * arena.bound_bytes
    assert plan_arena(buffers[::-1]) == arena


def test_nothing_needs_nothing() -> None:
    assert plan_arena([]) == Arena({}, 0, 0)
