"""Context prefix and context ANS in C equal their twin, and refuse what is not theirs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from c_library import pointer
from context_library import (
    JC_BAD_LENGTH,
    JC_BAD_PADDING,
    JC_BAD_TABLE,
    JC_OK,
    MODES,
    UNDEFINED_TRAPS,
    CModel,
    ContextCoder,
    Symbols,
    library,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from joulecut.kernels.twin import context as twin
from joulecut.kernels.twin import context_model, context_streams
from joulecut.kernels.twin.bits import BitReader, Bits, StreamError, padded, to_bytes
from joulecut.kernels.twin.context import Layout
from joulecut.kernels.twin.context_model import Model, Table

OF_TABLE: dict[str, Callable[[Table], Bits]] = {
    "prefix": context_streams.length_bits,
    "ans": context_streams.frequency_bits,
}
READ_TABLE: dict[str, Callable[[BitReader, int], Table]] = {
    "prefix": context_streams.read_lengths,
    "ans": context_streams.read_frequencies,
}
ENCODE: dict[str, Callable[[Layout, Sequence[int], Model], bytes]] = {
    "prefix": context_streams.encode_prefix,
    "ans": context_streams.encode_ans,
}
DECODE: dict[str, Callable[[Layout, bytes, Model], list[int]]] = {
    "prefix": context_streams.decode_prefix,
    "ans": context_streams.decode_ans,
}
REFUSALS = {JC_BAD_TABLE, JC_BAD_LENGTH, JC_BAD_PADDING}
CORNERS = (1, 2, 15, 16, 17, 63, 64, 65, 511, 512, 513)


def activations(n: int, width: int, seed: int = 0, density: float = 0.5) -> list[int]:
    """Smooth, with zeros, and all magnitudes from small to large."""
    rng = np.random.default_rng(seed)
    smooth = np.convolve(rng.normal(0, 1, n + 30), np.hanning(32)[1:-1], "valid")[:n]
    top = (1 << width) - 1
    scale = np.abs(smooth).max() / max(top, 1) or 1
    return np.clip((smooth / scale - (1 - 2 * density) * top), 0, top).astype(int).tolist()


def twin_table(mode: str, model: Model, layout: Layout) -> bytes:
    return to_bytes(padded(context_streams.model_bits(model, layout.unions, OF_TABLE[mode])))


def twin_models(layout: Layout, symbols: Sequence[int]) -> dict[str, Model]:
    return dict(zip(MODES, context_model.models(twin.count(layout, symbols)), strict=True))


def assert_equals_twin(layout: Layout, symbols: Sequence[int]) -> None:
    coder = ContextCoder(layout)
    ws = coder.add(symbols)
    wanted = twin_models(layout, symbols)
    for mode, model in coder.models(ws).items():
        table = coder.write_table(mode, model)
        assert table == twin_table(mode, wanted[mode], layout)
        payload = ENCODE[mode](layout, symbols, wanted[mode])
        assert coder.encode(mode, ws, model) == payload
        assert coder.encode(mode, ws, model, len(payload)) == payload
        assert not payload or coder.encode(mode, ws, model, len(payload) - 1) is None
        result, read, n_bits = coder.read_table(mode, table)
        assert (result, -(-n_bits // 8)) == (JC_OK, len(table))
        assert bytes(read) == bytes(model)
        result, decoded = coder.decode(mode, payload, read)
        assert (result, decoded.tolist()) == (JC_OK, list(symbols))
        assert DECODE[mode](layout, payload, wanted[mode]) == list(symbols)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Layout, list[int]]:
    n = draw(st.integers(1, 90))
    width = draw(st.integers(1, 16))
    top = draw(st.integers(0, (1 << width) - 1))
    layout = Layout(
        n,
        draw(st.integers(0, 20)),
        width,
        draw(st.integers(0, 1)),
        draw(st.sampled_from((1, 4, 16))),
        draw(st.sampled_from((0, 4, 8))),
    )
    return layout, draw(st.lists(st.integers(0, top), min_size=n, max_size=n))


@settings(deadline=None, max_examples=40)
@given(blocks())
def test_equals_the_twin(block: tuple[Layout, list[int]]):
    assert_equals_twin(*block)


@pytest.mark.parametrize("n", CORNERS)
@pytest.mark.parametrize("lanes", [1, 4, 16])
def test_equals_the_twin_in_corners(lanes: int, n: int):
    for width, fold, n_states in ((8, 0, 0), (4, 1, 8), (13, 1, 4)):
        layout = Layout(n, 7, width, fold, lanes, n_states)
        assert_equals_twin(layout, activations(n, width, seed=n))


@pytest.mark.parametrize("n_states", [0, 4, 8])
@pytest.mark.parametrize("width", [1, 2, 4, 5, 8, 9, 16])
def test_equals_the_twin_where_all_tokens_occur(width: int, n_states: int):
    symbols = activations(1500, width, seed=width, density=0.9)
    assert_equals_twin(Layout(1500, 30, width, 1, 16, n_states), symbols)


@pytest.mark.parametrize(
    "counts", [range(1, 65), [1] * 64, [1, 1 << 19], [35] * 60, [9, 0, 0, 7]]
)
def test_frequencies_where_rounding_has_to_be_repaired(counts: Sequence[int]):
    symbols = [
        twin.symbol_of(token, 0) for token, count in enumerate(counts) for _ in range(count)
    ]
    layout = Layout(len(symbols), 0, 16, 0, 1, 0)
    coder = ContextCoder(layout)
    ws = coder.add(np.array(symbols, np.uint16))
    model = coder.models(ws)["ans"]
    if len(symbols) < 5000:
        assert_equals_twin(layout, symbols)
    for k in range(model.n_clusters):
        assert sum(model.freqs[k]) == context_model.ANS_SUM


@pytest.mark.parametrize("flags", [UNDEFINED_TRAPS, ("-DJC_SCALAR",)], ids=["", "scalar"])
@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("n_states", [0, 4, 8])
@pytest.mark.parametrize("lanes", [1, 4, 16])
def test_what_is_encoded_comes_back(
    lanes: int, n_states: int, fold: int, flags: tuple[str, ...]
):
    for width, n, row in ((8, 40_000, 56), (3, 1 << 15, 0), (8, 9001, 600), (12, 20_011, 14)):
        layout = Layout(n, row, width, fold, lanes, n_states)
        coder = ContextCoder(layout, flags)
        symbols = np.array(activations(n, width), np.uint16)
        ws = coder.add(symbols)
        for mode, model in coder.models(ws).items():
            payload = coder.encode(mode, ws, model)
            assert payload is not None
            result, decoded = coder.decode(mode, payload, model)
            assert result == JC_OK
            assert np.array_equal(decoded, symbols)


def entropy_bits(counts: twin.Counts) -> float:
    """Of the tokens, each in its class, and the extra bits."""
    bits = 0.0
    for inside in counts.values():
        c = np.array([v for v in inside.values() if v], float)
        bits -= float((c * np.log2(c / c.sum())).sum())
        bits += sum(n * twin.extra_of(token) for token, n in inside.items())
    return bits


@pytest.mark.parametrize("width", [2, 4, 6, 8])
def test_ans_needs_little_more_than_the_entropy(width: int):
    layout = Layout(40_000, 200, width, 0, 16, 0)
    symbols = activations(layout.n, width)
    coder = ContextCoder(layout)
    ws = coder.add(symbols)
    model = coder.models(ws)["ans"]
    payload = coder.encode("ans", ws, model)
    assert payload is not None
    assert 8 * len(payload) < 1.02 * entropy_bits(twin.count(layout, symbols)) + 16 * 48


@pytest.mark.parametrize("n_states", [0, 8])
@pytest.mark.parametrize("width", [3, 8, 11])
def test_static_tables_code_every_block(width: int, n_states: int):
    layout = Layout(300, 20, width, 1, 4, n_states)
    symbols = activations(300, width)
    coder = ContextCoder(layout)
    models = coder.static_models(coder.add(symbols, times=3))
    counts = {
        k: type(c)({t: 3 * v for t, v in c.items()})
        for k, c in twin.count(layout, symbols).items()
    }
    wanted = dict(zip(MODES, context_model.static_models(counts, width), strict=True))
    others = np.random.default_rng(1).integers(0, 1 << width, 300).tolist()
    ws = coder.add(others)
    for mode, model in models.items():
        assert coder.write_table(mode, model) == twin_table(mode, wanted[mode], layout)
        payload = ENCODE[mode](layout, others, wanted[mode])
        assert coder.encode(mode, ws, model) == payload
        assert coder.decode(mode, payload, model)[1].tolist() == others


def test_counts_of_many_blocks_are_halved():
    layout = Layout(1 << 16, 0, 4, 0, 1, 0)
    symbols = np.resize(np.array([0, 0, 0, 3, 1, 0, 0], np.uint16), layout.n)
    coder = ContextCoder(layout)
    models = coder.static_models(coder.add(symbols, times=257))
    once = twin.count(layout, symbols.tolist())
    counts = {k: type(c)({t: 257 * v for t, v in c.items()}) for k, c in once.items()}
    wanted = dict(zip(MODES, context_model.static_models(counts, 4), strict=True))
    for mode, model in models.items():
        assert coder.write_table(mode, model) == twin_table(mode, wanted[mode], layout)


@pytest.mark.parametrize("mode", MODES)
def test_a_token_without_a_code_is_not_encoded(mode: str):
    coder = ContextCoder(Layout(40, 0, 8, 0, 1, 0))
    model = coder.models(coder.add([1, 2] * 20))[mode]
    assert coder.encode(mode, coder.add([1, 3] * 20), model) is None


def twin_or_refusal(read: Callable[[], list[int]]) -> list[int] | None:
    try:
        return read()
    except StreamError:
        return None


def assert_decodes_as_the_twin(layout: Layout, mode: str, table: bytes, payload: bytes) -> bool:
    """Whether both accept the table and the lanes."""
    coder = ContextCoder(layout)
    result, model, n_bits = coder.read_table(mode, table)
    try:
        reader = BitReader(table)
        wanted = context_streams.read_model(reader, layout, READ_TABLE[mode])
    except StreamError:
        assert result == JC_BAD_TABLE or any_padding(table, n_bits)
        return False
    assert (result, -(-n_bits // 8)) == (JC_OK, reader.at // 8)
    symbols = twin_or_refusal(lambda: DECODE[mode](layout, payload, wanted))
    result, decoded = coder.decode(mode, payload, model)
    assert result in REFUSALS if symbols is None else result == JC_OK
    assert symbols is None or symbols == decoded.tolist()
    return symbols is not None


def any_padding(table: bytes, n_bits: int) -> bool:
    return bool(n_bits % 8 and table[n_bits // 8] >> (n_bits % 8))


def small_block(mode: str, width: int, n_states: int) -> tuple[Layout, bytes, bytes]:
    layout = Layout(30, 8, width, 1, 4, n_states)
    coder = ContextCoder(layout)
    ws = coder.add(activations(30, width, density=0.8))
    model: CModel = coder.models(ws)[mode]
    payload = coder.encode(mode, ws, model)
    assert payload is not None
    return layout, coder.write_table(mode, model), payload


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("width", "n_states"), [(8, 0), (4, 8), (13, 0)])
def test_truncated_bytes_are_refused(mode: str, width: int, n_states: int):
    layout, table, payload = small_block(mode, width, n_states)
    for size in range(len(payload)):
        assert not assert_decodes_as_the_twin(layout, mode, table, payload[:size])
    for size in range(len(table)):
        assert not assert_decodes_as_the_twin(layout, mode, table[:size], payload)
    assert not assert_decodes_as_the_twin(layout, mode, table, payload + b"\0")
    assert not assert_decodes_as_the_twin(layout, mode, table, payload + b"\0\0")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("width", "n_states"), [(8, 0), (4, 8), (13, 4)])
def test_one_flipped_bit_is_refused_or_gives_symbols(mode: str, width: int, n_states: int):
    layout, table, payload = small_block(mode, width, n_states)
    for bit in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        assert_decodes_as_the_twin(layout, mode, table, bytes(flipped))
    for bit in range(8 * len(table)):
        flipped = bytearray(table)
        flipped[bit // 8] ^= 1 << bit % 8
        assert_decodes_as_the_twin(layout, mode, bytes(flipped), payload)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(MODES), st.binary(max_size=60), st.binary(max_size=120), blocks())
def test_any_bytes_are_read_as_by_the_twin(
    mode: str, table: bytes, payload: bytes, block: tuple[Layout, list[int]]
):
    assert_decodes_as_the_twin(block[0], mode, table, payload)


def log_table() -> np.ndarray:
    return np.array([context_model.log_of_fraction(i) for i in range(257)], np.int64)


def test_logarithms_are_those_of_the_twin():
    x = np.append(np.arange(1, (1 << 20) + 1), (1 << 24) - 1)
    e = np.frexp(x)[1] - 1
    i, r = np.divmod((x << (24 - e)) - (1 << 24), 65536)
    table = log_table()
    wanted = 65536 * e + table[i] + (table[i + 1] - table[i]) * r // 65536
    lg = library().jc_lg
    lg.restype = ctypes.c_uint32
    assert [lg(v) for v in x.tolist()] == wanted.tolist()
    assert [context_model.lg(v) for v in x[::4001].tolist()] == wanted[::4001].tolist()
    assert np.abs(wanted - 65536 * np.log2(x)).max() < 3
    exact = 65536 * np.log2(1 + np.arange(1, 256) / 256)
    assert np.abs(exact - np.rint(exact)).min() > 1e-4  # no rounding of log2 moves a floor


@pytest.mark.parametrize("n_nonzero", [0, 511, 512, 8191, 8192])
def test_lanes_follow_what_is_not_zero(n_nonzero: int):
    symbols: Symbols = np.zeros(9000, np.uint16)
    symbols[:n_nonzero] = 3
    lanes = library().jc_context_lanes(pointer(symbols), ctypes.c_size_t(9000))
    assert lanes == twin.choose_lanes(symbols.tolist())
