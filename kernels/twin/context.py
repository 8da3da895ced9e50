"""Contexts and tokens of symbols, written from docs/bitstream.md, "Contexts"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

N_CLASSES = 24
N_TOKENS = 64
POLYNOMIALS = {4: (0o5, 0o2), 8: (0o13, 0o04)}

Context = tuple[int, int]  # union, class
Counts = dict[Context, Counter[int]]


@dataclass(frozen=True)
class Layout:
    """How the symbols of a block lie.

    Attributes:
        n: symbols in the block.
        row: distance of the upper neighbour, 0 for none.
        width: bits of a symbol.
        fold: whether magnitudes are those of folded symbols.
        lanes: 1, 4 or 16.
        n_states: of the trellis that selects unions: 4 or 8, or 0 for one union.
    """

    n: int
    row: int
    width: int
    fold: int
    lanes: int
    n_states: int

    @property
    def unions(self) -> int:
        """How many unions of contexts there are."""
        return 2 if self.n_states else 1

    @property
    def segments(self) -> list[range]:
        """Which symbols are in which lane."""
        step = -(-self.n // self.lanes)
        return [
            range(min(lane * step, self.n), min(lane * step + step, self.n))
            for lane in range(self.lanes)
        ]


def next_state(state: int, parity: int, n_states: int) -> int:
    """Ungerboeck's systematic feedback encoder, bit by bit."""
    if n_states == 0:
        return 0
    h0, h1 = POLYNOMIALS[n_states]
    bits = range(1, n_states.bit_length())
    moved = [(state >> i ^ (h0 >> i & state) ^ (h1 >> i & parity)) & 1 for i in bits]
    return sum(bit << i for i, bit in enumerate(moved))


def class_of(t: int) -> int:
    """0, 1, 2, 3, then two for each octave, 23 at most."""
    if t < 2:
        return t
    e = t.bit_length() - 1
    return min(2 * e + (t >> (e - 1) & 1), N_CLASSES - 1)


def token_of(symbol: int) -> tuple[int, int]:
    """The token of a symbol, and how many extra bits follow it."""
    if symbol < 16:
        return symbol, 0
    e = symbol.bit_length() - 1
    return 16 + 4 * (e - 4) + (symbol >> (e - 2) & 3), e - 2


def symbol_of(token: int, extra: int) -> int:
    """What token_of takes apart."""
    if token < 16:
        return token
    e = token // 4
    return (4 + token % 4) << (e - 2) | extra


def extra_of(token: int) -> int:
    """How many extra bits follow a token."""
    return token_of(symbol_of(token, 0))[1]


def last_token(width: int) -> int:
    """The highest token whose symbols fit in the width."""
    return token_of((1 << width) - 1)[0]


@dataclass
class Lane:
    """The symbols of a lane so far, and the context of the next one."""

    layout: Layout
    magnitudes: list[int] = field(default_factory=list[int])
    symbols: list[int] = field(default_factory=list[int])
    state: int = 0

    @property
    def context(self) -> Context:
        """Union and class of the next symbol."""
        done, row = len(self.magnitudes), self.layout.row
        left = self.magnitudes[-1] if done else 0
        upper = self.magnitudes[done - row] if row and done >= row else left
        return self.state & 1, class_of(left + upper)

    def push(self, symbol: int) -> None:
        """Move on."""
        magnitude = (symbol + 1) // 2 if self.layout.fold else symbol
        self.symbols.append(symbol)
        self.magnitudes.append(magnitude)
        self.state = next_state(self.state, magnitude & 1, self.layout.n_states)


def contexts(layout: Layout, symbols: Sequence[int]) -> list[Context]:
    """The context of every symbol."""
    found: list[Context] = []
    for segment in layout.segments:
        lane = Lane(layout)
        for i in segment:
            found.append(lane.context)
            lane.push(symbols[i])
    return found


def count(layout: Layout, symbols: Sequence[int]) -> Counts:
    """How often each token occurs in each context, those without any included."""
    counts: Counts = {(u, c): Counter() for u in range(layout.unions) for c in range(N_CLASSES)}
    for context, symbol in zip(contexts(layout, symbols), symbols, strict=True):
        counts[context][token_of(symbol)[0]] += 1
    return counts


def choose_lanes(symbols: Sequence[int]) -> int:
    """Lanes of a block without a trellis."""
    n_nonzero = sum(symbol != 0 for symbol in symbols)
    return 16 if n_nonzero >= 8192 else 4 if n_nonzero >= 512 else 1
