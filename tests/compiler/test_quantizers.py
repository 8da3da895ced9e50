"""Quantizers: what they promise of values, rates and distances, on sources that are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from joulecut.compiler import codec
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quantizers import (
    Calibrated,
    DeadZoneQuantizer,
    FixedTrellisQuantizer,
    LloydMaxQuantizer,
    Quantizer,
    RateQuantizer,
    TrellisQuantizer,
    UniformQuantizer,
)
from joulecut.compiler.quantizers.grid import Array
from joulecut.compiler.quantizers.prices import learned_rates, magnitudes_of, unions_of

RNG = np.random.default_rng(0)
GAUSSIAN = RNG.normal(size=1 << 16).astype(np.float32)
SMOOTH = np.cumsum(RNG.normal(size=(128, 512)), axis=1)
SPARSE = np.maximum(SMOOTH - np.quantile(SMOOTH, 0.6), 0).astype(np.float32)
NEXT_8: tuple[tuple[int, int], ...] = (
    (0, 2),
    (5, 7),
    (1, 3),
    (4, 6),
    (2, 0),
    (7, 5),
    (3, 1),
    (6, 4),
)
EVERY: tuple[Quantizer, ...] = (
    UniformQuantizer(4),
    UniformQuantizer(4, clip="mse"),
    UniformQuantizer(4, clip=0.999),
    LloydMaxQuantizer(4),
    DeadZoneQuantizer(bits=4),
    DeadZoneQuantizer(step=0.1, weight=0),
    TrellisQuantizer(bits=4),
    TrellisQuantizer(step=0.1, states=4),
    FixedTrellisQuantizer(3),
    RateQuantizer(2.0),
)

finite = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_side=0, max_dims=3),
    elements=st.floats(-1e6, 1e6, width=32).map(lambda x: x if abs(x) > 1e-6 else 0.0),
)
integers = st.sampled_from([np.int8, np.uint8]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_side=0))
)


def sqnr_db(x: Array, back: Array) -> float:
    error = np.subtract(x, back, dtype=np.float64)
    return float(10 * np.log10(np.mean(np.square(x, dtype=np.float64)) / np.mean(error**2)))


def coded(x: Array, quantizer: Any, **options: Any) -> tuple[float, float]:
    """Bits a sample, and dB."""
    blob = codec.encode(x, quantizer, **options)
    return 8 * len(blob) / x.size, sqnr_db(x, codec.decode(blob))


@pytest.mark.parametrize("quantizer", EVERY, ids=repr)
@given(array=st.one_of(finite, integers))
def test_any_tensor_can_be_quantized(quantizer: Quantizer, array: Array):
    back = codec.decode(codec.encode(array, quantizer))
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.isfinite(back).all()


@pytest.mark.parametrize("quantizer", EVERY, ids=repr)
def test_what_is_decoded_is_what_the_grid_says(quantizer: Quantizer):
    x = SPARSE[:40]
    grid = quantizer.fit(x)
    blob = codec.encode(x, Calibrated(grid), block_log2=17)
    assert codec.decode(blob).tobytes() == grid.dequantize(grid.quantize(x)).tobytes()
    assert codec.stat(blob).quantizer == grid.header


class TestUniform:
    @given(array=finite, bits=st.integers(1, 8))
    def test_floats_land_within_half_a_step(self, array: Array, bits: int):
        grid = UniformQuantizer(bits).fit(array)
        back = grid.dequantize(grid.quantize(array))
        error = np.abs(back.astype(np.float64) - array)
        rounding = np.abs(array.astype(np.float64)) * 2.0**-23 + 2.0**-148  # to float32
        assert (error <= grid.header.step / 2 + rounding).all()

    @given(array=integers, bits=st.integers(1, 8))
    def test_integers_land_within_half_a_step(self, array: Array, bits: int):
        blob = codec.encode(array, "sq", bits=bits)
        error = np.abs(codec.decode(blob).astype(int) - array)
        assert (error <= np.ceil(codec.stat(blob).quantizer.step / 2)).all()
        if array.size and int(array.max()) - int(array.min()) < 1 << bits:
            assert not error.any()  # bits enough for every integer of the range

    def test_hand_worked(self):
        x = np.array([-1.0, -0.6, 0.0, 0.24, 0.26, 0.75, 2.0, -9.0], np.float32)
        sq = UniformQuantizer(bits=3, low=-1.0, high=0.75)  # -1, -0.75, .. 0.75
        blob = codec.encode(x, sq)
        assert codec.stat(blob).quantizer[4:6] == (0.25, -1.0)
        assert codec.decode(blob).tolist() == [-1.0, -0.5, 0.0, 0.25, 0.25, 0.75, 0.75, -1.0]

    def test_ties_go_to_the_even_index(self):
        x = np.array([0.5, 1.5, 2.5], np.float32)
        sq = UniformQuantizer(bits=2, low=0.0, high=3.0)
        assert codec.decode(codec.encode(x, sq)).tolist() == [0.0, 2.0, 2.0]

    def test_the_step_of_integers_is_at_least_one(self):
        x = np.array([3, 9], np.int8)
        assert UniformQuantizer(8).fit(x).header.step == 1.0
        assert UniformQuantizer(2).fit(x).header.step == 2.0

    @pytest.mark.parametrize("bits", range(1, 9))
    def test_the_last_value_is_not_below_the_maximum(self, bits: int):
        for high in np.linspace(0.01, 100, 500, dtype=np.float32):  # rounding down misses 55
            step = UniformQuantizer(bits).fit(np.array([0, high], np.float32)).header.step
            assert float(high) <= step * (2**bits - 1) <= float(high) * (1 + 2**-22)

    def test_extreme_floats_stay_finite(self):
        top = np.finfo(np.float32).max
        for x in ([-top, 0, top], [top, top], [1e-45, 0, 3e-45]):
            array = np.array(x, np.float32)
            for bits in (2, 8):
                back = codec.decode(codec.encode(array, "sq", bits=bits))
                assert np.isfinite(back).all()
                assert abs(float(back[0]) - float(array[0])) <= abs(float(top) / 3)

    @pytest.mark.parametrize("bits", range(4, 9))
    def test_each_bit_gains_six_decibels(self, bits: int):
        x = np.random.default_rng(0).uniform(-1, 1, 20_000).astype(np.float32)
        # Steps of 2 / (2^b - 1) make an error of step^2 / 12 beside a power of 1/3.
        assert abs(coded(x, "sq", bits=bits)[1] - 20 * np.log10(2**bits - 1)) < 0.1

    def test_clipping_gains_where_tails_are_long(self):
        x = np.random.default_rng(0).laplace(size=20_000).astype(np.float32)
        plain, clipped = (coded(x, name, bits=3)[1] for name in ("sq", "sq-clip"))
        assert clipped > plain + 4
        ends = UniformQuantizer(3, clip=0.99).fit(x).header
        low, high = np.quantile(x, [0.01, 0.99])
        assert ends.offset == pytest.approx(low)
        assert ends.offset + 7 * ends.step == pytest.approx(high)


class TestLloydMax:
    # J. Max, "Quantizing for minimum distortion", 1960, table I: 1 - D of the unit Gaussian.
    @pytest.mark.parametrize(("bits", "db"), [(1, 4.40), (2, 9.30), (3, 14.62), (4, 20.22)])
    def test_reaches_the_published_distortion(self, bits: int, db: float):
        assert coded(GAUSSIAN, "lloyd", bits=bits)[1] == pytest.approx(db, abs=0.1)

    def test_calibration_is_for_other_tensors(self):
        quantizer = LloydMaxQuantizer(3).calibrate([GAUSSIAN[:20_000], GAUSSIAN[20_000:40_000]])
        other = GAUSSIAN[40_000:]
        assert codec.stat(codec.encode(other, quantizer)).quantizer == quantizer.grid.header
        assert coded(other, quantizer)[1] == pytest.approx(14.62, abs=0.2)


class TestDeadZone:
    @given(array=finite, step=st.floats(0.5, 1e4))
    def test_the_nearest_values_without_weight(self, array: Array, step: float):
        grid = DeadZoneQuantizer(step=step, weight=0, centroids=0).fit(array)
        if np.abs(array.astype(np.float64) - grid.header.offset).max(initial=0) > 3e4 * step:
            return  # more than 16 bits
        error = np.abs(grid.dequantize(grid.quantize(array)).astype(np.float64) - array)
        # the nearest in 1/64 steps, in binary32
        limit = step * (0.5 + 1 / 64) + np.abs(array.astype(np.float64)) * 2**-18
        assert (error <= limit).all()

    def test_values_are_the_formula_of_the_format(self):
        grid = DeadZoneQuantizer(step=0.3).fit(GAUSSIAN)
        header, symbols = grid.header, grid.quantize(GAUSSIAN).astype(int)
        k, sign = (symbols + 1) >> 1, np.where(symbols & 1, -1, 1)
        (book,) = header.centroids
        r = np.where(
            k < len(book), np.array(book)[np.minimum(k, len(book) - 1)], k * header.step
        )
        assert header.fold
        assert book[0] == 0
        assert np.array_equal(
            grid.dequantize(symbols.astype(np.uint16)), (sign * r).astype("f4")
        )

    def test_weight_trades_distance_for_bits(self):
        rates, distances = zip(
            *(
                coded(SPARSE, DeadZoneQuantizer(step=1.0, weight=weight, centroids=0))
                for weight in (0, 0.5, 1, 2, 4)
            ),
            strict=True,
        )
        assert list(rates) == sorted(rates, reverse=True)
        assert list(distances) == sorted(distances, reverse=True)

    def test_centroids_only_gain(self):
        for weight in (0.0, 1.0):
            with_them = coded(SPARSE, DeadZoneQuantizer(step=2.0, weight=weight))[1]
            without = coded(SPARSE, DeadZoneQuantizer(step=2.0, weight=weight, centroids=0))[1]
            assert with_them >= without

    def test_unsigned_and_distant_tensors_need_no_needless_symbols(self):
        assert DeadZoneQuantizer(bits=4).fit(SPARSE).header.fold is False
        distant = (1000 + GAUSSIAN).astype(np.float32)
        header = DeadZoneQuantizer(bits=4).fit(distant).header
        assert header.offset == pytest.approx(1000, abs=0.1)
        assert header.width <= 5


class TestTrellis:
    def test_values_are_the_formula_of_the_format(self):
        x = SPARSE.reshape(-1)[:1500]  # one lane
        grid = TrellisQuantizer(step=0.5, centroids=0).fit(x)
        symbols = grid.quantize(x)
        state = 0
        expected = np.empty(x.size, np.float32)
        for i, k in enumerate(map(int, symbols)):
            expected[i] = (2 * k - (state & 1)) * grid.header.step if k else 0
            state = NEXT_8[state][k & 1]
        assert np.array_equal(grid.dequantize(symbols), expected)

    def test_unions_are_those_of_the_states(self):
        x = GAUSSIAN[:1500]
        grid = TrellisQuantizer(step=0.5).fit(x)
        k = magnitudes_of(grid.header, grid.quantize(x))
        unions = unions_of(grid.header, k)
        state = 0
        assert unions is not None
        for union, magnitude in zip(map(int, unions), map(int, k), strict=True):
            assert union == state & 1
            state = NEXT_8[state][magnitude & 1]

    @pytest.mark.parametrize(("states", "gain_db"), [(4, 0.8), (8, 0.9)])
    def test_gains_a_granular_decibel_at_high_rate(self, states: Any, gain_db: float):
        """Marcellin and Fischer 1990: at most 0.99 dB for 4 states and 1.09 dB for 8."""
        plain = coded(GAUSSIAN, "sq", rate=4.0)
        trellis = coded(GAUSSIAN, RateQuantizer(4.0, (TrellisQuantizer(1.0, states=states),)))
        gained = trellis[1] - plain[1] + 6.02 * (plain[0] - trellis[0])
        assert gain_db < gained < 1.15

    def test_is_near_the_bound_of_the_gaussian(self):
        for rate in (2.0, 3.0):  # D(R) = 2^(-2R)
            found, db = coded(GAUSSIAN, "tcq", rate=rate)
            assert 6.02 * found - db < 0.85


class TestFixedTrellis:
    @pytest.mark.parametrize(("states", "db"), [(4, 10.56), (8, 10.70), (32, 10.85)])
    def test_reaches_the_published_distortion(self, states: int, db: float):
        """Marcellin and Fischer 1990, doubled alphabet, memoryless Gaussian at 2 bits."""
        assert coded(GAUSSIAN, FixedTrellisQuantizer(2, states))[1] > db - 0.15

    def test_an_even_book_gains_on_a_uniform_source_and_loses_on_a_sparse_one(self):
        """1.09 dB for 8 states at high rate; but a state that names D1 or D3 has no zero."""
        x = np.random.default_rng(0).random(100_000).astype(np.float32)
        even = FixedTrellisQuantizer(8, book="even")
        assert 1.0 < coded(x, even)[1] - coded(x, "sq", bits=8)[1] < 1.2
        sparse = np.where(x > 0.9, x, 0).astype(np.float32)
        assert coded(sparse, even)[1] < coded(sparse, "sq", bits=8)[1] - 5

    def test_an_even_book_reaches_from_the_least_to_the_greatest(self):
        x = np.linspace(-3, 5, 999).astype(np.float32)
        book = FixedTrellisQuantizer(2, book="even").fit(x).header.book
        np.testing.assert_allclose(book, np.linspace(-3, 5, 8), rtol=1e-6)
        empty = FixedTrellisQuantizer(1, book="even").fit(x[:0])
        assert empty.header.book == (0.0,) * 4

    def test_there_is_no_other_book(self):
        with pytest.raises(ConfigError, match="book must be 'trained' or 'even', not 'odd'"):
            FixedTrellisQuantizer(2, book="odd")  # pyright: ignore[reportArgumentType]


class TestRate:
    @pytest.mark.parametrize("name", ["sq", "rdo", "tcq", "auto"])
    @pytest.mark.parametrize("rate", [0.2, 0.5, 1.0, 3.0, 6.0])
    @pytest.mark.parametrize("entropy", ["best", "fast"])
    def test_is_met_from_below(self, name: Any, rate: float, entropy: Any):
        x = GAUSSIAN.reshape(128, 512)
        lowest = 0.6 if entropy == "fast" and rate < 0.6 else rate  # groups of few bits only
        found, _ = coded(x, name, rate=lowest, entropy=entropy)
        assert 0.98 * lowest < found <= lowest

    @pytest.mark.parametrize("x", [GAUSSIAN.reshape(128, 512), SPARSE], ids=["bell", "sparse"])
    def test_auto_is_never_worse_than_rdo(self, x: Array):
        for rate in (0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0):
            auto, rdo = (coded(x, name, rate=rate) for name in ("auto", "rdo"))
            assert auto[0] <= rate
            assert auto[1] >= rdo[1], rate

    def test_what_cannot_be_met_is_got_as_near_as_it_can(self):
        tiny = np.array([1.0, 2.0, 4.0], np.float32)
        assert codec.decode(codec.encode(tiny, "auto", rate=0.1)).shape == (3,)
        sparse = np.zeros(100_000, np.float32)
        sparse[::1000] = GAUSSIAN[:100]
        found, db = coded(sparse, "auto", rate=6.0)
        assert found < 6
        assert db > 80

    def test_integers_may_be_quantized_too(self):
        x = np.clip(20 * GAUSSIAN, -128, 127).astype(np.int8)
        found, db = coded(x, "auto", rate=3.0)
        assert 2.9 < found <= 3
        assert db > 16


class TestPrices:
    def test_a_source_without_memory_has_its_entropy_as_price(self):
        k = RNG.choice(3, 100_000, p=[0.5, 0.25, 0.25])
        rates = learned_rates(k, None, 100, fold=False, weight=1.0)
        assert rates.bits_q4[0][:3] == pytest.approx((16, 32, 32), abs=1)
        assert rates.bits_q4[0] == rates.bits_q4[1]
        assert min(rates.bits_q4[0][3:]) > 150
        assert rates.lambda_q8 == round(256 * np.log(2) / 6)

    def test_signs_and_octaves_cost(self):
        k = RNG.integers(0, 256, 100_000)
        rates = learned_rates(k, None, 0, fold=True, weight=1.0)
        assert np.allclose(rates.bits_q4[0], [128] + [144] * 15, atol=6)
        assert rates.slope_q4 <= 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: UniformQuantizer(0), "bits must be 1 to 8, not 0"),
        (lambda: UniformQuantizer(3, low=1, high=1), "low must be less than high, not 1"),
        (lambda: UniformQuantizer(3, low=float("nan")), "low must be finite in float32"),
        (lambda: UniformQuantizer(3, high=1e39), "high must be finite in float32, not 1e"),
        (lambda: UniformQuantizer(3, clip=0.2), "clip must be 'mse' or above 0.5"),
        (lambda: LloydMaxQuantizer(9), "bits must be 1 to 8, not 9"),
        (lambda: DeadZoneQuantizer(), "one of step and bits must be given, not None and None"),
        (
            lambda: DeadZoneQuantizer(1.0, 3),
            "one of step and bits must be given, not 1.0 and 3",
        ),
        (lambda: DeadZoneQuantizer(step=0.0), "step must be finite and positive, not 0.0"),
        (lambda: DeadZoneQuantizer(1.0, weight=-1), "weight must be 0 to 8, not -1"),
        (lambda: DeadZoneQuantizer(1.0, centroids=17), "centroids must be 0 to 16, not 17"),
        (lambda: DeadZoneQuantizer(1.0, rounds=0), "rounds must be at least 1, not 0"),
        (lambda: DeadZoneQuantizer(1e-30).fit(GAUSSIAN), "step must be 1.26218e-29 to"),
        (lambda: TrellisQuantizer(bits=17), "bits must be 1 to 16, not 17"),
        (lambda: TrellisQuantizer(1.0, states=5), "states must be 4 or 8, not 5"),  # pyright: ignore[reportArgumentType]
        (lambda: FixedTrellisQuantizer(2, 12), "states must be a power of two from 4 to 256"),
        (lambda: RateQuantizer(33.0), "rate must be above 0 and at most 32 bits, not 33"),
        (lambda: RateQuantizer(1.0, ()), "among must name at least one quantizer"),
        (lambda: UniformQuantizer(3).calibrate([]), "at least one tensor, not none"),
        (
            lambda: UniformQuantizer(3).calibrate([GAUSSIAN, GAUSSIAN.astype(np.int8)]),
            r"one type, not \['float32', 'int8'\]",
        ),
    ],
)
def test_misuse_is_refused(call: Callable[[], object], message: str):
    with pytest.raises(ConfigError, match=message):
        call()
