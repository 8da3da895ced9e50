"""Fixed-rate trellis the slow and obvious way: every state's whole best path, one sample at a time.

Written from docs/bitstream.md, "Fixed-rate trellis". Python's floats are the binary64 numbers
that the C kernel adds, in the same order, so both find the same path.
"""

from __future__ import annotations

from collections.abc import Sequence

CODES = {
    4: (0o5, 0o2),
    8: (0o13, 0o4),
    16: (0o23, 0o4),
    32: (0o45, 0o10),
    64: (0o103, 0o24),
    128: (0o235, 0o126),
    256: (0o515, 0o362),
}
"""States -> parity-check polynomials (h0, h1) of the encoder."""

Path = tuple[float, tuple[int, ...]]


def next_state(n_states: int, state: int, z1: int) -> int:
    """Where the encoder goes from a state, bit by bit."""
    v, (h0, h1) = n_states.bit_length() - 1, CODES[n_states]
    z0 = state & 1
    bits = [
        (state >> i & 1 if i < v else 0) ^ (h0 >> i & z0) ^ (h1 >> i & z1)
        for i in range(1, v + 1)
    ]
    return sum(bit << i for i, bit in enumerate(bits))


def lane_bounds(n: int, lanes: int) -> list[tuple[int, int]]:
    """Start and end of each lane of n symbols."""
    segment = -(-n // lanes)
    return [(min(n, lane * segment), min(n, (lane + 1) * segment)) for lane in range(lanes)]


def nearest(book: Sequence[float], subset: int, x: float) -> int:
    """The level of a subset nearest to x: the last one not above, or the first one above.

    The one below wins a tie.
    """
    members = range(subset, len(book), 4)
    below = [j for j in members if book[j] <= x]
    above = [j for j in members if book[j] > x]
    return min(below[-1:] + above[:1], key=lambda j: (x - book[j]) * (x - book[j]))


def _lane_symbols(x: Sequence[float], book: Sequence[float], n_states: int) -> tuple[int, ...]:
    places = len(book) // 4
    paths: dict[int, Path] = {0: (0.0, ())}
    for value in x:
        levels = [nearest(book, subset, value) for subset in range(4)]
        found: dict[int, Path] = {}
        for z1 in (0, 1):  # z1 = 0 first: it keeps a tie
            for state, (cost, symbols) in paths.items():
                level = levels[2 * z1 + (state & 1)]
                total = cost + (value - book[level]) * (value - book[level])
                target = next_state(n_states, state, z1)
                if target not in found or total < found[target][0]:
                    found[target] = total, (*symbols, z1 * places + level // 4)
        paths = found
    return min(sorted(paths.items()), key=lambda item: item[1][0])[1][1]


def quantize(
    x: Sequence[float], book: Sequence[float], n_states: int, lanes: int = 1
) -> list[int]:
    """The symbols of the best path of each lane; len(book) is 2^(R + 1)."""
    return [
        symbol
        for start, end in lane_bounds(len(x), lanes)
        for symbol in _lane_symbols(x[start:end], book, n_states)
    ]


def values(
    symbols: Sequence[int], book: Sequence[float], n_states: int, lanes: int = 1
) -> list[float]:
    """The value of each symbol."""
    places = len(book) // 4
    found: list[float] = []
    for start, end in lane_bounds(len(symbols), lanes):
        state = 0
        for symbol in symbols[start:end]:
            z1, place = divmod(symbol, places)
            found.append(book[4 * place + 2 * z1 + (state & 1)])
            state = next_state(n_states, state, z1)
    return found
