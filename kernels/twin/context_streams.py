"""Modes context prefix and context ANS, written from docs/bitstream.md, "Contexts"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from joulecut.kernels.twin.bits import (
    BitReader,
    Bits,
    StreamError,
    number_bits,
    padded,
    to_bytes,
    varint,
)
from joulecut.kernels.twin.context import (
    N_CLASSES,
    Context,
    Lane,
    Layout,
    contexts,
    extra_of,
    last_token,
    symbol_of,
    token_of,
)
from joulecut.kernels.twin.context_model import ANS_SUM, MAX_CLUSTERS, Model, Table, is_writable
from joulecut.kernels.twin.huffman import canonical_codes, read_table, table_bits

REST, ZEROS = 15, 12
LOW = 1 << 16


def map_bits(model: Model, unions: int) -> Bits:
    """Whether two unions share their clusters, and which classes start a new one."""
    k = model.cluster_of
    if unions > 1:
        shared = k[0, 0] == k[1, 0]
        return [int(shared), *separate_map_bits(k, 1 if shared else unions)]
    return separate_map_bits(k, unions)


def separate_map_bits(k: Mapping[Context, int], unions: int) -> Bits:
    """Which classes start a new cluster."""
    return [int(k[u, c] != k[u, c - 1]) for u in range(unions) for c in range(1, N_CLASSES)]


def read_map(reader: BitReader, unions: int) -> dict[Context, int]:
    """The cluster of every context."""
    cluster_of: dict[Context, int] = {}
    n = 0
    shared = unions > 1 and reader.take(1)
    for union in range(1 if shared else unions):
        for c in range(N_CLASSES):
            n += 1 if c == 0 else reader.take(1)
            cluster_of[union, c] = n - 1
    if n > MAX_CLUSTERS:
        raise StreamError("clusters must be at most 16")
    if shared:
        cluster_of |= {(1, c): cluster_of[0, c] for c in range(N_CLASSES)}
    return cluster_of


def frequency_bits(table: Table) -> Bits:
    """The last token, and the frequencies up to it."""
    row = [table.get(token, 0) for token in range(max(table) + 1)]
    odd = [token for token, f in enumerate(row) if f == ANS_SUM or not is_writable(f)]
    rest = odd[0] if odd else row.index(max(row))
    bits = number_bits(len(row) - 1, 6)
    at = 0
    while at < len(row):
        run = next(i for i, f in enumerate([*row[at : at + 9], 1]) if f or i == 9)
        length = row[at].bit_length()
        if run >= 2:
            bits += number_bits(ZEROS, 4) + number_bits(run - 2, 3)
        elif at == rest:
            bits += number_bits(REST, 4)
        else:
            kept = min(max(length - 1, 0), 3)
            bits += number_bits(length, 4)
            bits += number_bits(row[at] >> max(length - 4, 0), kept)
        at += max(run, 1)
    return bits


def read_frequencies(reader: BitReader, width: int) -> Table:
    """The frequencies of a cluster; they add up to 2048."""
    last = reader.take(6)
    if last > last_token(width):
        raise StreamError("token must fit in the width")
    row: list[int] = []
    while len(row) <= last:
        kind = reader.take(4)
        if kind == ZEROS:
            row += [0] * (2 + reader.take(3))
        elif kind == REST:
            row.append(ANS_SUM)
        elif kind <= 11:
            kept = min(max(kind - 1, 0), 3)
            row.append(((1 << kept | reader.take(kept)) << (kind - 1 - kept)) if kind else 0)
        else:
            raise StreamError("kind of frequency must not be reserved")
    left = 2 * ANS_SUM - sum(row)
    if len(row) != last + 1 or not row[last] or row.count(ANS_SUM) != 1 or left < 1:
        raise StreamError("frequencies must add up to 2048")
    row[row.index(ANS_SUM)] = left
    return {token: f for token, f in enumerate(row) if f}


def length_bits(table: Table) -> Bits:
    """The only token, or a table of code lengths."""
    if len(table) == 1:
        return [1, *number_bits(next(iter(table)), 6)]
    return [0, *table_bits(table)]


def read_lengths(reader: BitReader, width: int) -> Table:
    """The code lengths of a cluster."""
    if not reader.take(1):
        return read_table(reader, last_token(width) + 1)
    token = reader.take(6)
    if token > last_token(width):
        raise StreamError("token must fit in the width")
    return {token: 0}


def model_bits(model: Model, unions: int, of_table: Callable[[Table], Bits]) -> Bits:
    """The map and the tables."""
    return map_bits(model, unions) + [bit for t in model.tables for bit in of_table(t)]


def read_model(
    reader: BitReader, layout: Layout, read: Callable[[BitReader, int], Table]
) -> Model:
    """The map and the tables, to the padding."""
    cluster_of = read_map(reader, layout.unions)
    tables = [read(reader, layout.width) for _ in range(max(cluster_of.values()) + 1)]
    reader.skip_padding()
    return Model(cluster_of, tables)


def encode_prefix(layout: Layout, symbols: Sequence[int], model: Model) -> bytes:
    """The lanes: what follows the padded tables."""
    codes = [canonical_codes(table) for table in model.tables]  # no bits for an only token
    where = contexts(layout, symbols)
    lanes: list[bytes] = []
    for segment in layout.segments:
        bits: Bits = []
        for i in segment:
            token, extra = token_of(symbols[i])
            bits += codes[model.cluster_of[where[i]]][token] + number_bits(symbols[i], extra)
        lanes.append(to_bytes(padded(bits)))
    return b"".join([varint(len(lane)) for lane in lanes[:-1]] + lanes)


def decode_prefix(layout: Layout, payload: bytes, model: Model) -> list[int]:
    """The symbols of what encode_prefix writes."""
    tokens_of = [
        {tuple(code): token for token, code in canonical_codes(table).items()}
        for table in model.tables
    ]
    reader = BitReader(payload)
    sizes = [reader.take_varint() for _ in range(layout.lanes - 1)]
    sizes.append(len(payload) - reader.at // 8 - sum(sizes))
    if sizes[-1] < 0:
        raise StreamError("lanes must fit in the payload")
    symbols: list[int] = []
    for segment, size in zip(layout.segments, sizes, strict=True):
        bits, lane = BitReader(reader.take_bytes(size)), Lane(layout)
        for _ in segment:
            tokens = tokens_of[model.cluster_of[lane.context]]
            code: tuple[int, ...] = ()
            while code not in tokens:
                code = (*code, bits.take(1))
            token = tokens[code]
            lane.push(symbol_of(token, bits.take(extra_of(token))))
        bits.finish()
        symbols += lane.symbols
    return symbols


def pieces(token: int) -> tuple[int, int]:
    """How many extra bits are taken at once, and how many then."""
    extra = extra_of(token)
    return min(extra, 5), extra - min(extra, 5)


def undo(x: int, push: Callable[[int], int], words: list[int]) -> int:
    """The state before a renormalization whose word, if it read one, becomes the first of words."""
    if push(x) < 1 << 32:
        return push(x)
    words.insert(0, x % LOW)
    return push(x // LOW)


def append(x: int, symbol: int, table: Table, words: list[int]) -> int:
    """The state before a symbol was decoded."""
    token = token_of(symbol)[0]
    first, more = pieces(token)
    low, high = symbol & ((1 << first) - 1), symbol >> first & ((1 << more) - 1)
    f, start = table[token], sum(f for t, f in table.items() if t < token)

    def push(x: int) -> int:
        y = x << first | low
        return y // f * ANS_SUM + start + y % f

    if more:
        x = undo(x, lambda x: x << more | high, words)
    return undo(x, push, words)


def encode_ans(layout: Layout, symbols: Sequence[int], model: Model) -> bytes:
    """States and words: what follows the padded tables."""
    where = contexts(layout, symbols)
    states = [LOW] * layout.lanes
    words: list[int] = []
    for t in reversed(range(len(layout.segments[0]))):
        for lane, segment in reversed(list(enumerate(layout.segments))):
            if t < len(segment):
                i = segment[t]
                table = model.tables[model.cluster_of[where[i]]]
                states[lane] = append(states[lane], symbols[i], table, words)
    return b"".join(
        [x.to_bytes(4, "little") for x in states] + [w.to_bytes(2, "little") for w in words]
    )


class States:
    """The states of all lanes, and the words they read."""

    def __init__(self, payload: bytes, n: int):
        self.reader = BitReader(payload)
        self.x = [self.reader.take(32) for _ in range(n)]
        if min(self.x) < LOW:
            raise StreamError("states must be at least 2^16")

    def take_bits(self, lane: int, n_bits: int) -> int:
        """The lowest bits of a state, which is renormalized then."""
        self.x[lane], bits = divmod(self.x[lane], 1 << n_bits)
        if self.x[lane] < LOW:
            self.x[lane] = LOW * self.x[lane] + self.reader.take(16)
        return bits

    def take_symbol(self, lane: int, table: Table) -> int:
        """The next symbol of a lane."""
        high, slot = divmod(self.x[lane], ANS_SUM)
        start, token = max(
            (start, token)
            for token in table
            if (start := sum(f for t, f in table.items() if t < token)) <= slot
        )
        self.x[lane] = table[token] * high + slot - start
        first, more = pieces(token)
        low = self.take_bits(lane, first)
        return symbol_of(token, low | (self.take_bits(lane, more) << first if more else 0))


def decode_ans(layout: Layout, payload: bytes, model: Model) -> list[int]:
    """The symbols of what encode_ans writes."""
    states = States(payload, layout.lanes)
    lanes = [Lane(layout) for _ in layout.segments]
    for t in range(len(layout.segments[0])):
        for lane, (walk, segment) in enumerate(zip(lanes, layout.segments, strict=True)):
            if t < len(segment):
                table = model.tables[model.cluster_of[walk.context]]
                walk.push(states.take_symbol(lane, table))
    states.reader.finish()
    if any(x != LOW for x in states.x):
        raise StreamError("states must end at 2^16")
    return [symbol for walk in lanes for symbol in walk.symbols]
