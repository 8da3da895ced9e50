"""The fixed-rate trellis in C equals its twin, and no path is better than the one it finds."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pytest
from fixed_trellis_library import (
    JC_BAD_ARGUMENT,
    JC_BAD_VALUE,
    JC_OK,
    UNDEFINED_TRAPS,
    UNTOUCHED,
    FixedTrellis,
    Floats,
    Symbols,
)
from hypothesis import given
from hypothesis import strategies as st

from joulecut.kernels.twin import fixed_trellis as twin

STATES = tuple(twin.CODES)
LANES = (1, 4, 16)
LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).smallest_subnormal)


def book_of(rate: int, seed: int = 0) -> Floats:
    return np.sort(np.random.default_rng(seed).normal(0, 1, 2 << rate)).astype(np.float32)


def samples(n: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(0, 1.5, n).astype(np.float32)


def assert_equals_twin(trellis: FixedTrellis, x: Floats) -> None:
    book = [float(level) for level in trellis.book]
    wanted = twin.quantize(x.tolist(), book, trellis.n_states, trellis.lanes)
    result, symbols = trellis.quantize(x)
    assert (result, symbols.tolist()) == (JC_OK, wanted)
    assert trellis.values(symbols).tolist() == twin.values(
        wanted, book, trellis.n_states, trellis.lanes
    )


def squared_error(x: Floats, levels: list[float]) -> float:
    """The sum in the order of the samples, as the kernel adds it."""
    return sum(((a - b) * (a - b) for a, b in zip(x.tolist(), levels, strict=True)), start=0.0)


@pytest.mark.parametrize("rate", range(1, 9))
@pytest.mark.parametrize("n_states", STATES)
def test_equals_the_twin(n_states: int, rate: int):
    assert_equals_twin(FixedTrellis(book_of(rate), n_states), samples(20))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 12, 13, 15, 16, 17, 31, 33, 63, 64, 65, 257])
def test_lanes_at_corners(n: int, lanes: int):
    assert_equals_twin(FixedTrellis(book_of(2), 8, lanes), samples(n))


@pytest.mark.parametrize("n_states", STATES)
def test_many_lanes_at_all_states(n_states: int):
    assert_equals_twin(FixedTrellis(book_of(3), n_states, 16), samples(16 * 6 + 5))


@given(
    x=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=12),
    levels=st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=8, max_size=8
    ),
    n_states=st.sampled_from(STATES[:4]),
    lanes=st.sampled_from(LANES),
)
def test_equals_the_twin_on_any_numbers(
    x: list[float], levels: list[float], n_states: int, lanes: int
):
    book = np.sort(np.array(levels, np.float32))
    assert_equals_twin(FixedTrellis(book, n_states, lanes), np.array(x, np.float32))


@given(
    x=st.lists(st.integers(-3, 3), max_size=20),
    levels=st.lists(st.integers(-2, 2), min_size=16, max_size=16),
    n_states=st.sampled_from(STATES[:4]),
)
def test_ties_are_decided_as_the_twin_does(x: list[int], levels: list[int], n_states: int):
    book = np.array(sorted(levels), np.float32)
    assert_equals_twin(FixedTrellis(book, n_states), np.array(x, np.float32))


def test_a_tie_takes_the_lower_level_and_z1_of_zero():
    trellis = FixedTrellis(np.zeros(16, np.float32), 8)
    _, symbols = trellis.quantize(np.ones(9, np.float32))
    assert symbols.tolist() == [3] * 9  # the last level of the subset that is not above
    _, symbols = trellis.quantize(np.full(9, -1, np.float32))
    assert symbols.tolist() == [0] * 9  # all are above: the first one


@pytest.mark.parametrize(
    "extreme", [LARGEST, -LARGEST, SMALLEST, -SMALLEST, 0.0, -0.0], ids=repr
)
def test_extremes(extreme: float):
    edges = np.array([-LARGEST, -1, -SMALLEST, 0, 0, SMALLEST, 1, LARGEST], np.float32)
    x = np.array([extreme, 1, extreme, -1, extreme, extreme, 0], np.float32)
    for book in (edges, np.full(8, extreme, np.float32)):
        assert_equals_twin(FixedTrellis(book, 8), x)


@pytest.mark.parametrize(("rate", "n"), [(1, 1), (1, 11), (2, 5), (3, 3)])
@pytest.mark.parametrize("n_states", STATES)
def test_no_path_is_better(n_states: int, rate: int, n: int):
    book, x = book_of(rate), samples(n)
    trellis = FixedTrellis(book, n_states)
    least = min(
        squared_error(x, twin.values(path, book.tolist(), n_states))
        for path in itertools.product(range(1 << rate), repeat=n)
    )
    result, symbols = trellis.quantize(x)
    assert result == JC_OK
    assert squared_error(x, trellis.values(symbols).tolist()) == least


@pytest.mark.parametrize("n_states", STATES)
def test_trellis_joins_states_two_by_two(n_states: int):
    into: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for state in range(n_states):
        successors = {twin.next_state(n_states, state, z1) for z1 in (0, 1)}
        assert len(successors) == 2
        for z1 in (0, 1):
            into[twin.next_state(n_states, state, z1)].append((z1, state & 1))
    assert set(into) == set(range(n_states))
    for state, ways in into.items():  # D0 and D2 merge, or D1 and D3: never neighbours
        z0 = int(state >= n_states / 2)
        assert sorted(ways) == [(0, z0), (1, z0)]


@pytest.mark.parametrize("n_states", STATES)
def test_c_walks_the_same_trellis(n_states: int):
    n, rng = 2000, np.random.default_rng(2)
    symbols = rng.integers(0, 4, n).astype(np.uint16)
    book = np.arange(8, dtype=np.float32)
    for lanes in LANES:
        found = FixedTrellis(book, n_states, lanes).values(symbols).tolist()
        assert found == twin.values(symbols.tolist(), book.tolist(), n_states, lanes)


def test_values_of_any_symbols_stay_in_the_book():
    wild = np.arange(65536, dtype=np.uint16)
    for rate in (1, 8):
        book = np.arange(2 << rate, dtype=np.float32)
        assert np.isin(FixedTrellis(book, 256, 16).values(wild), book).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 16])
def test_a_sample_that_is_not_finite_is_refused(bad: float, at: int):
    x = samples(17)
    x[at] = bad
    result, symbols = FixedTrellis(book_of(2), 8).quantize(x)
    assert result == JC_BAD_VALUE
    assert (symbols == UNTOUCHED).all()


@pytest.mark.parametrize(
    "trellis",
    [
        *(FixedTrellis(book_of(2), n_states) for n_states in (0, 1, 2, 3, 6, 12, 255, 512)),
        *(FixedTrellis(book_of(2), 8, lanes) for lanes in (0, 2, 3, 8, 32)),
        FixedTrellis(book_of(2), 8, width=0),
        FixedTrellis(book_of(2), 8, width=9),
        FixedTrellis(book_of(2)[::-1].copy(), 8),
        FixedTrellis([0, 1, 2, np.inf], 8),
        FixedTrellis([-np.inf, 1, 2, 3], 8),
        FixedTrellis([0, np.nan, 2, 3], 8),
    ],
    ids=lambda trellis: f"{trellis.n_states}-{trellis.lanes}-{trellis.rate}",
)
def test_parameters_outside_their_range_are_refused(trellis: FixedTrellis):
    result, symbols = trellis.quantize(samples(17))
    assert result == JC_BAD_ARGUMENT
    assert (symbols == UNTOUCHED).all()


@pytest.mark.parametrize("n_states", STATES)
def test_undefined_behaviour_sanitizer_is_silent(n_states: int):
    for lanes, rate in ((1, 1), (4, 8), (16, 3)):
        trellis = FixedTrellis(book_of(rate), n_states, lanes, flags=UNDEFINED_TRAPS)
        assert_equals_twin(trellis, samples(40))


def test_compilers_agree():
    x = samples(5000)
    symbols: list[Symbols] = [
        FixedTrellis(book_of(4), 32, 16, flags=flags).quantize(x)[1]
        for flags in ((), ("-O0",), ("-O2", "-fno-tree-vectorize"))
    ]
    assert all((symbols[0] == other).all() for other in symbols[1:])
