"""Dead zone and trellis values in C equal their twin, bit for bit."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest
from c_library import c_library, pointer
from fixed_trellis_library import CLayout, CQuantizer, Floats, Symbols
from hypothesis import given
from hypothesis import strategies as st
from trellis_library import JC_BAD_ARGUMENT, JC_BAD_VALUE, JC_OK, UNTOUCHED, c_rates

from joulecut.kernels.twin import trellis as twin

SOURCES = ("cpu_features.c", "dead_zone.c", "trellis_tables.c", "trellis_values.c")
PLAIN = ("-DJC_SCALAR",)
FORMS = ((), PLAIN, ("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"))
CORNERS = (0, 1, 2, 63, 64, 65, 127, 128, 129, 1024, 1025)


def c_quantizer(q: twin.Quantizer) -> CQuantizer:
    """struct jc_quantizer."""
    n = len(q.centroids[0])
    made = CQuantizer(
        kind=5 if q.n_states else 4,
        width=q.width,
        fold=q.fold,
        n_states=q.n_states,
        n_centroids=n,
        step=q.step,
        offset=q.offset,
    )
    for union, book in enumerate(q.centroids):
        np.ctypeslib.as_array(made.centroids)[union, :n] = book
    return made


def c_values(
    q: twin.Quantizer, symbols: Symbols, lanes: int = 1, flags: tuple[str, ...] = ()
) -> Floats:
    """Values by the C kernel, which are followed by nothing that was written."""
    library, quantizer = c_library(*SOURCES, flags=flags), c_quantizer(q)
    x = np.full(symbols.size + 1, -1e9, np.float32)
    if q.n_states:
        layout = CLayout(
            n=symbols.size, width=q.width, fold=q.fold, lanes=lanes, n_states=q.n_states
        )
        library.jc_trellis_values(
            ctypes.byref(quantizer), ctypes.byref(layout), pointer(symbols), pointer(x)
        )
    else:
        library.jc_dead_zone_values(
            ctypes.byref(quantizer), pointer(symbols), ctypes.c_size_t(symbols.size), pointer(x)
        )
    assert x[-1] == np.float32(-1e9)
    return x[:-1]


def c_dead_zone(
    q: twin.Quantizer, x: Floats, rates: twin.Rates | None, flags: tuple[str, ...] = ()
) -> tuple[int, Symbols]:
    """The result and the symbols of the C kernel."""
    symbols = np.full(x.size + 1, UNTOUCHED, np.uint16)
    prices = ctypes.byref(c_rates(rates)) if rates else None
    result = c_library(*SOURCES, flags=flags).jc_dead_zone_quantize(
        ctypes.byref(c_quantizer(q)),
        prices,
        pointer(x),
        ctypes.c_size_t(x.size),
        pointer(symbols),
    )
    assert symbols[-1] == UNTOUCHED
    return result, symbols[:-1]


def bits(x: Floats | list[np.float32]) -> list[int]:
    """The numbers as they lie in memory: -0 is not 0."""
    return np.asarray(x, np.float32).view(np.uint32).tolist()


def finite(limit: float = float(np.finfo(np.float32).max)) -> st.SearchStrategy[float]:
    """Any binary32 number, -0 and subnormal ones included."""
    return st.floats(-limit, limit, width=32)


SPECIAL = np.array([0, -0.0, 1, 2.0**-149, 2.0**-126, 3e38, -3e38, 1e-41], np.float32)


def any_floats(rng: np.random.Generator, n: int) -> list[float]:
    """Any finite numbers: zeros of both signs, subnormal ones, and the largest."""
    drawn = rng.integers(0, 1 << 32, n, np.uint32).view(np.float32)
    special = rng.choice(SPECIAL, n)
    return np.where(np.isfinite(drawn) & (rng.random(n) < 0.8), drawn, special).tolist()


@st.composite
def quantizers(draw: st.DrawFn, n_states: int) -> twin.Quantizer:
    """Any quantizer that a decoder accepts."""
    fold, n, seed = (
        draw(st.integers(0, 1)),
        draw(st.integers(0, 16)),
        draw(st.integers(0, 2**32)),
    )
    rng = np.random.default_rng(seed)
    centroids = [any_floats(rng, n) for _ in range(2)]
    for book in centroids:
        book[:fold] = [float(rng.choice(SPECIAL[:2]))] * min(fold, n)
    return twin.Quantizer(
        width=draw(st.integers(1 if n_states == 0 else 2 + fold, 16)),
        fold=fold,
        step=draw(
            st.one_of(st.sampled_from([2.0**-96, 2.0**96]), st.floats(2**-9, 8, width=32))
        ),
        offset=draw(st.one_of(st.sampled_from([0.0, -0.0, 1.0]), finite())),
        centroids=(centroids[0], centroids[1]),
        n_states=n_states,
    )


@st.composite
def symbols_of(draw: st.DrawFn, width: int) -> Symbols:
    """0 to 300 symbols, small ones more often."""
    n, seed = draw(st.integers(0, 300)), draw(st.integers(0, 2**32 - 1))
    spread = draw(st.sampled_from([1, 5, 40, 1e5]))
    drawn = np.random.default_rng(seed).exponential(spread, n)
    return np.minimum(drawn, (1 << width) - 1).astype(np.uint16)


@st.composite
def rates_of(draw: st.DrawFn) -> twin.Rates:
    """Any prices."""
    rows = np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, 256, (2, 16)).tolist()
    slope_q4 = draw(st.integers(0, 255))
    return twin.Rates(draw(st.integers(0, 256)), (rows[0], rows[1]), slope_q4)


def samples_of(q: twin.Quantizer, n: int, seed: int) -> Floats:
    """Samples around the offset, halves of steps among them."""
    rng = np.random.default_rng(seed)
    x = rng.laplace(0, rng.choice([0.5, 3, 300]), n)
    x[::3] = np.rint(4 * x[::3]) / 4
    return np.clip(x * q.step + q.offset, -1e38, 1e38).astype(np.float32)


def some_quantizer(n_states: int, n_centroids: int, fold: int = 1) -> twin.Quantizer:
    """One with levels that differ from its centroids."""
    rng = np.random.default_rng(n_centroids)
    books = [[0.0, *rng.normal(0, 9, 15).astype(np.float32).tolist()][:n_centroids]] * 2
    return twin.Quantizer(16, fold, 0.37, 0.1, (books[0], books[1]), n_states)


@pytest.mark.parametrize("flags", FORMS, ids=str)
@given(data=st.data())
def test_dead_zone_values_equal_the_twin(flags: tuple[str, ...], data: st.DataObject):
    q = data.draw(quantizers(0))
    symbols = data.draw(symbols_of(q.width))
    wanted = twin.dead_zone_values(q, symbols.tolist())
    assert bits(c_values(q, symbols, flags=flags)) == bits(wanted)


@pytest.mark.parametrize("flags", FORMS, ids=str)
@given(st.data(), st.sampled_from([4, 8]), st.sampled_from([1, 4, 16]))
def test_trellis_values_equal_the_twin(
    flags: tuple[str, ...], data: st.DataObject, n_states: int, lanes: int
):
    q = data.draw(quantizers(n_states))
    symbols = data.draw(symbols_of(q.width))
    wanted = twin.trellis_values(q, symbols.tolist(), lanes)
    assert bits(c_values(q, symbols, lanes, flags)) == bits(wanted)


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("n_states", [0, 4, 8])
@pytest.mark.parametrize("n_centroids", [0, 1, 8, 9, 16])
def test_values_of_all_symbols(n_states: int, n_centroids: int, fold: int):
    q = some_quantizer(n_states, n_centroids, fold)
    symbols = np.random.default_rng(3).permutation(1 << 16).astype(np.uint16)
    few = np.concatenate([np.arange(40, dtype=np.uint16), symbols[:1960]])
    decode = twin.trellis_values if n_states else twin.dead_zone_values
    assert bits(c_values(q, few)) == bits(decode(q, few.tolist()))
    for lanes in (1, 4, 16):
        plain = c_values(q, symbols, lanes, PLAIN)
        assert bits(c_values(q, symbols, lanes)) == bits(plain)


@pytest.mark.parametrize("n", CORNERS)
@pytest.mark.parametrize("n_states", [0, 4, 8])
def test_values_at_corners(n_states: int, n: int):
    q, rng = some_quantizer(n_states, 5), np.random.default_rng(n)
    symbols = rng.integers(0, 30, n).astype(np.uint16)
    for lanes in (1, 4, 16) if n_states else (1,):
        wanted = (
            twin.trellis_values(q, symbols.tolist(), lanes)
            if n_states
            else twin.dead_zone_values(q, symbols.tolist())
        )
        assert bits(c_values(q, symbols, lanes)) == bits(wanted)


def test_an_offset_of_zero_is_added_to_a_centroid_of_minus_zero():
    q = twin.Quantizer(4, 1, 1.0, 0.0, ([0.0, 0.0], [0.0, 0.0]), 8)
    symbols = np.array([1, 1, 2, 0] * 20, np.uint16)  # 1 is magnitude 1 with the sign -1
    for offset, signs in ((0.0, 0), (-0.0, 40)):
        x = c_values(replace(q, offset=offset), symbols)
        assert (x == 0).all()
        assert np.signbit(x).sum() == signs


@pytest.mark.parametrize("flags", FORMS, ids=str)
@given(data=st.data(), n=st.integers(0, 200), seed=st.integers(0, 2**32 - 1))
def test_dead_zone_equals_the_twin(
    flags: tuple[str, ...], data: st.DataObject, n: int, seed: int
):
    q, rates = data.draw(quantizers(0)), data.draw(st.none() | rates_of())
    some = np.array(data.draw(st.lists(finite(), max_size=5)), np.float32)
    x = np.concatenate([some, samples_of(q, n, seed)])
    wanted = twin.dead_zone_symbols(q, x.tolist(), rates or twin.FREE)
    result, symbols = c_dead_zone(q, x, rates, flags)
    assert (result, symbols.tolist()) == (JC_OK, wanted)


@pytest.mark.parametrize("width", [1, 2, 5, 16])
def test_forms_of_the_dead_zone_agree(width: int):
    row = tuple(range(10, 250, 15))
    rates = twin.Rates(200, (row, row), 31)
    q = twin.Quantizer(width, 1, 0.01)
    x = samples_of(q, 200_000, width)
    assert (c_dead_zone(q, x, rates)[1] == c_dead_zone(q, x, rates, PLAIN)[1]).all()


def test_dead_zone_without_prices_takes_the_nearest():
    q = twin.Quantizer(16, 1, 0.5, 3.0)
    x = np.random.default_rng(0).normal(0, 40, 5000).astype(np.float32)
    _, symbols = c_dead_zone(q, x, None)
    assert np.abs(c_values(q, symbols) - x).max() <= 0.25 * (1 + 1 / 32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 63, 64, 99])
def test_a_sample_that_is_not_finite_is_refused(bad: float, at: int):
    x = np.zeros(100, np.float32)
    x[at] = bad
    result, symbols = c_dead_zone(some_quantizer(0, 0), x, None)
    assert result == JC_BAD_VALUE
    assert (symbols == UNTOUCHED).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"width": 17},
        {"fold": 2},
        {"step": 0.0},
        {"step": 2.0**-97},
        {"step": 2.0**97},
        {"step": np.nan},
        {"offset": np.inf},
    ],
    ids=str,
)
def test_parameters_outside_their_range_are_refused(wrong: dict[str, float]):
    x = np.zeros(100, np.float32)
    result, symbols = c_dead_zone(replace(some_quantizer(0, 0), **wrong), x, None)
    assert result == JC_BAD_ARGUMENT
    assert (symbols == UNTOUCHED).all()


def test_a_lambda_above_256_is_refused():
    rates = replace(twin.FREE, lambda_q8=257)
    assert (
        c_dead_zone(some_quantizer(0, 0), np.zeros(3, np.float32), rates)[0] == JC_BAD_ARGUMENT
    )
