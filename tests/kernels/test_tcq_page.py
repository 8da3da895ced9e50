"""What docs/tcq.md prints is what the code does."""

from __future__ import annotations

import ctypes
import heapq
import re
from pathlib import Path

import pytest
from c_library import c_library

from joulecut.kernels.twin import fixed_trellis as twin

PAGE = (Path(__file__).resolve().parents[2] / "docs/tcq.md").read_text()
SQUARED_DISTANCE = {0: 0, 1: 1, 2: 4, 3: 1}  # of two subsets, by the xor of their numbers


def rows_of(header: str) -> list[list[str]]:
    """Cells of the table under this header."""
    table = PAGE.split(header, 1)[1].split("\n\n", 1)[0]
    return [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in table.split("\n")[2:]
    ]


def free_distance(n_states: int) -> int:
    """The least sum of squares on the way from the first difference of two paths to the last."""
    ways = [(SQUARED_DISTANCE[2], twin.next_state(n_states, 0, 1))]
    done: set[int] = set()
    while True:
        total, state = heapq.heappop(ways)
        if state == 0:
            return total
        if state not in done:
            done.add(state)
            for z1 in (0, 1):
                further = total + SQUARED_DISTANCE[2 * z1 + (state & 1)]
                heapq.heappush(ways, (further, twin.next_state(n_states, state, z1)))


def test_polynomials_and_free_distances():
    rows = rows_of("| states | h0, h1 (octal) | free squared distance")
    assert len(rows) == len(twin.CODES)
    for states, polynomials, distance in rows:
        h0, h1 = (int(octal, 8) for octal in polynomials.split(","))
        assert (h0, h1) == twin.CODES[int(states)]
        assert free_distance(int(states)) == int(distance)
        assert h0 & 1
        assert h0 >> (int(states).bit_length() - 1) == 1
        assert not h1 & 1
        assert h1 < int(states)


def test_next_states_of_eight():
    rows = [[int(cell) for cell in row[:3]] + row[3:] for row in rows_of("| state | z1 = 0 |")]
    table = (ctypes.c_uint8 * 16).in_dll(c_library("trellis_tables.c"), "jc_trellis_next8")
    for state, row in enumerate(rows):
        into = [twin.next_state(8, state, z1) for z1 in (0, 1)]
        assert row == [state, *into, f"D{state & 1} D{2 + (state & 1)}"]
        assert list(table[2 * state : 2 * state + 2]) == into
    assert len(rows) == 8


def test_next_states_of_four():
    printed = re.search(r"4 states have two: `next` = (.*)\.", PAGE)
    assert printed
    numbers = [int(digit) for digit in re.findall(r"\d", printed[1])]
    assert numbers == [twin.next_state(4, state, z1) for state in range(4) for z1 in (0, 1)]
    table = (ctypes.c_uint8 * 8).in_dll(c_library("trellis_tables.c"), "jc_trellis_next4")
    assert list(table) == numbers


@pytest.mark.parametrize("wing", range(4))
def test_drawing_of_eight_states(wing: int):
    drawing = PAGE.split("It is four butterflies", 1)[1].split("```")[1].strip("\n").split("\n")
    straight = re.compile(r"(\d) --D(\d)-- (\d)")
    upper, lower = (straight.findall(drawing[line])[wing] for line in (0, -1))
    crossed = re.findall(r"D(\d)\\/D(\d)", drawing[2])[wing]
    ways = {
        (int(upper[0]), int(upper[1]), int(upper[2])),
        (int(lower[0]), int(lower[1]), int(lower[2])),
        (int(upper[0]), int(crossed[0]), int(lower[2])),
        (int(lower[0]), int(crossed[1]), int(upper[2])),
    }
    assert ways == {
        (state, 2 * z1 + (state & 1), twin.next_state(8, state, z1))
        for state in (int(upper[0]), int(lower[0]))
        for z1 in (0, 1)
    }
