"""Pareto fronts, against the definition written out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecut.compiler.errors import ConfigError
from joulecut.sweep.front import front

POINTS = st.lists(st.tuples(*[st.integers(0, 4)] * 3), max_size=12)
WAYS = st.tuples(*[st.booleans()] * 3)


def test_ties_are_kept_and_the_beaten_are_not():
    points = [(1.0, 5.0), (2.0, 4.0), (1.0, 5.0), (2.0, 5.0), (1.0, 6.0)]
    assert front(points, [False, False]) == [0, 1, 2]
    assert front(points, [False, True]) == [4]


def test_nothing_has_an_empty_front():
    assert front([], [True]) == []


@given(POINTS, WAYS)
def test_whatever_is_left_out_is_beaten_and_whatever_is_in_is_not(
    points: list[tuple[int, int, int]], maximize: tuple[bool, bool, bool]
):
    signed = [tuple(-v if up else v for v, up in zip(p, maximize, strict=True)) for p in points]
    kept = set(front(points, maximize))
    for number, point in enumerate(signed):
        beaten = any(
            other != point and not any(o > p for o, p in zip(other, point, strict=True))
            for other in signed
        )
        assert (number in kept) != beaten


def test_a_point_of_another_length_is_refused():
    with pytest.raises(ConfigError, match="point 1 must have 2 values, not 1"):
        front([(1.0, 2.0), (1.0,)], [True, True])
