"""The requantize lane, cycle by cycle, beside numpy's float32 and our interpreter: equal bits."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from c_library import pointer
from one_node import ours
from rtl_design import REQUANTIZE, RTL, simulated

pytestmark = pytest.mark.tool

HARNESS = Path(__file__).with_name("requantize.cpp")
INT32 = np.iinfo(np.int32)
DEFAULT, MANY = 1_000_000, 10_000_000
TOGETHER = 1_000_000  # samples in memory at once


@dataclass(frozen=True)
class Samples:
    """What goes in, one sample a cycle.

    Attributes:
        acc: int32.
        scale: float32, positive and normal.
        addend: -255..255; not looked at where `add` is 0.
        addend_scale: as `scale`.
        add: 0 or 1.
    """

    acc: np.ndarray
    scale: np.ndarray
    addend: np.ndarray
    addend_scale: np.ndarray
    add: np.ndarray


@dataclass(frozen=True)
class Range:
    """Where results lie."""

    zero_point: int
    low: int
    high: int


INT8 = Range(-7, -128, 127)
UINT8 = Range(3, 0, 255)
RANGES = (INT8, UINT8, Range(0, -128, 127), Range(-128, -100, 27), Range(255, 17, 255))


def lane(
    samples: Samples, to: Range, valid: np.ndarray | None = None
) -> tuple[np.ndarray, int]:
    """The results of the samples that are valid, in order, as bytes; and the latency in cycles."""
    assert np.abs(samples.addend).max() <= 255
    count, latency = len(samples.acc), ctypes.c_size_t()
    columns = [
        np.ones(count, np.uint8) if valid is None else valid.astype(np.uint8),
        samples.acc.astype(np.int32),
        samples.scale.astype(np.float32),
        samples.addend.astype(np.int16),
        samples.addend_scale.astype(np.float32),
        samples.add.astype(np.uint8),
    ]
    found = np.zeros(count, np.uint8)
    run = simulated("jc_requantize", REQUANTIZE, HARNESS).requantize
    run.restype = ctypes.c_size_t
    done = run(
        ctypes.c_size_t(count),
        *map(pointer, columns),
        to.zero_point,
        to.low,
        to.high,
        pointer(found),
        ctypes.byref(latency),
    )
    return found[:done], latency.value


def in_float32(samples: Samples, to: Range) -> np.ndarray:
    """The definition in numpy's float32, as bytes."""
    with np.errstate(over="ignore", under="ignore"):
        term = samples.acc.astype(np.float32) * samples.scale
        other = samples.addend.astype(np.float32) * samples.addend_scale
        total = term + np.where(samples.add != 0, other, np.float32(0))
    assert total.dtype == np.float32
    assert not np.isnan(total).any()
    shifted = np.rint(total).astype(np.float64) + to.zero_point
    return np.clip(shifted, to.low, to.high).astype(np.int16).astype(np.uint8)


# Samples of many kinds


def floats(rng: np.random.Generator, low: int, high: int, count: int) -> np.ndarray:
    """Positive float32 of 2**low .. 2**high; a third has few digits, so that ties are common."""
    exponents, digits = rng.integers(low, high, count), rng.integers(0, 1 << 23, count)
    zeros = rng.integers(0, 24, count) * (rng.random(count) < 1 / 3)
    bits = (exponents + 127) << 23 | digits >> zeros << zeros
    return bits.astype(np.uint32).view(np.float32)


def near(rng: np.random.Generator, scale: np.ndarray) -> np.ndarray:
    """The same, up to 2 units in the last place away."""
    moved = scale.astype(np.float32).view(np.uint32) + rng.integers(-2, 3, len(scale))
    return moved.astype(np.uint32).view(np.float32)


def accumulators(rng: np.random.Generator, count: int) -> np.ndarray:
    """Of every magnitude, and the ends of int32 and of what float32 holds among them."""
    acc = rng.integers(INT32.min, INT32.max, count, endpoint=True) >> rng.integers(0, 32, count)
    ends = [INT32.min, INT32.min + 1, INT32.max, INT32.max - 63, INT32.max - 64, 0, 1, -1]
    ends += [2**24, 2**24 + 1, -(2**24) - 1, 2**24 + 3, 2**25 - 1, 1 - 2**25]
    some = rng.random(count) < 1 / 16
    return np.where(some, rng.choice(ends, count), acc)


def addends(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(-255, 255, count, endpoint=True)


def ties(rng: np.random.Generator, count: int) -> np.ndarray:
    """Halves of the range of the results and somewhat more."""
    return rng.integers(-300, 300, count) + 0.5


def alone(acc: np.ndarray, scale: np.ndarray) -> Samples:
    """Without a second term; what stands on its ports does not count."""
    addend = np.arange(len(acc)) % 511 - 255
    scale = scale.astype(np.float32)
    return Samples(acc, scale, addend, scale, np.zeros(len(acc)))


def both(acc: np.ndarray, scale: np.ndarray, addend: np.ndarray, other: np.ndarray) -> Samples:
    return Samples(acc, scale, addend, other.astype(np.float32), np.ones(len(acc)))


Kind = Callable[[np.random.Generator, int], Samples]


def of_magnitude(bits: int) -> Kind:
    """Accumulators of a layer: results that fill the range, some beyond it."""

    def samples(rng: np.random.Generator, count: int) -> Samples:
        acc = rng.integers(-(1 << bits), 1 << bits, count)
        return alone(acc, rng.uniform(30, 300, count) / 2**bits)

    return samples


def powers_of_two(rng: np.random.Generator, count: int) -> Samples:
    return alone(accumulators(rng, count) >> 2, 2.0 ** -rng.integers(0, 30, count))


def of_every_scale(rng: np.random.Generator, count: int) -> Samples:
    return alone(accumulators(rng, count), floats(rng, -126, 128, count))


def of_fitting_scale(rng: np.random.Generator, count: int) -> Samples:
    return alone(accumulators(rng, count), floats(rng, -32, 8, count))


def close_to_ties(rng: np.random.Generator, count: int) -> Samples:
    """A scale such that the product is a half, or a few units in the last place away from it."""
    acc = accumulators(rng, count)
    acc = np.where(acc == 0, 1, acc)
    return alone(acc, near(rng, np.abs(ties(rng, count) / acc)))


def sums(rng: np.random.Generator, count: int) -> Samples:
    """As in a residual block: two int8 of similar scales."""
    scales = floats(rng, -5, 2, count), floats(rng, -5, 2, count)
    return both(addends(rng, count), scales[0], addends(rng, count), scales[1])


def sums_of_every_scale(rng: np.random.Generator, count: int) -> Samples:
    scales = floats(rng, -126, 120, count), floats(rng, -126, 120, count)
    return both(accumulators(rng, count), scales[0], addends(rng, count), scales[1])


def sums_of_fitting_scale(rng: np.random.Generator, count: int) -> Samples:
    scales = floats(rng, -32, 10, count), floats(rng, -32, 10, count)
    return both(accumulators(rng, count), scales[0], addends(rng, count), scales[1])


def cancelling(rng: np.random.Generator, count: int) -> Samples:
    """Terms of nearly the same magnitude, from minute to huge, and opposite signs."""
    a, scale = addends(rng, count), floats(rng, -10, 60, count)
    other = near(rng, scale)
    twice = rng.random(count) < 1 / 4  # the same magnitude by other factors
    a = np.where(twice, (a + (a < 0)) >> 1, a)
    return both(a, scale, np.where(twice, -2 * a, -a), np.where(twice, other / 2, other))


def cancelling_accumulators(rng: np.random.Generator, count: int) -> Samples:
    """The second term takes nearly all of a first of 32 bits away."""
    acc, addend = accumulators(rng, count), addends(rng, count) | 1
    scale = floats(rng, -20, 20, count)
    first = acc.astype(np.float32) * scale
    signs = np.where(first < 0, 1, -1)
    rest = np.abs(first.astype(np.float64)) + rng.integers(-600, 600, count) / 2
    other = np.clip(np.abs(rest / addend), 2.0**-100, None)
    return both(acc, scale, np.abs(addend) * signs, near(rng, other))


def sums_close_to_ties(rng: np.random.Generator, count: int) -> Samples:
    """A second term that takes the first to a half, or a few units in the last place away."""
    acc, addend = accumulators(rng, count), addends(rng, count) | 1
    scale = floats(rng, -30, 12, count)
    first = (acc.astype(np.float32) * scale).astype(np.float64)
    other = (ties(rng, count) - first) / addend
    signs = np.where(other < 0, -1, 1)
    return both(acc, scale, addend * signs, near(rng, np.clip(np.abs(other), 2.0**-100, None)))


def by_one_digit(rng: np.random.Generator, count: int) -> Samples:
    """First terms that only the last digit of a product of 48 takes away from half a unit.

    With acc and the digits of the scale odd, digits * acc = 2^22 +- 1 modulo 2^23. The product is
    8 .. 32 in magnitude, and what is added takes its rounded value to a half exactly.
    """
    acc = rng.integers(1 << 23, 1 << 24, count) | 1
    inverse = acc.copy()
    for _ in range(5):  # Newton: each step doubles the digits that are right, 3 at first
        inverse = (inverse * ((2 - acc * inverse) & 0xFFFFFF)) & 0xFFFFFF
    digits = (inverse * ((1 << 22) + rng.choice([-1, 1], count))) & 0x7FFFFF
    scale = np.ldexp((digits | 1 << 23).astype(np.float32), -43)
    acc = acc * rng.choice([-1, 1], count)
    first = acc.astype(np.float32) * scale
    other = np.trunc(first) + rng.integers(-3, 3, count) + 0.5 - first
    other = np.where(other == 0, np.float32(1), other)
    return both(acc, scale, np.sign(other).astype(np.int64), np.abs(other))


REQUANTIZING: dict[str, Kind] = {
    "of 8 bits": of_magnitude(8),
    "of 17 bits": of_magnitude(17),
    "of 20 bits": of_magnitude(20),
    "of 26 bits": of_magnitude(26),
    "of 31 bits": of_magnitude(31),
    "powers of two": powers_of_two,
    "every scale": of_every_scale,
    "fitting scale": of_fitting_scale,
    "close to ties": close_to_ties,
}
ADDING: dict[str, Kind] = {
    "sums": sums,
    "every scale": sums_of_every_scale,
    "fitting scale": sums_of_fitting_scale,
    "cancelling": cancelling,
    "cancelling accumulators": cancelling_accumulators,
    "close to ties": sums_close_to_ties,
    "by one digit": by_one_digit,
}


def compare(kind: Kind, count: int, seed: int) -> None:
    """Nothing but the same bytes, for each of the ranges in turn."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, TOGETHER // len(RANGES)):
        to = RANGES[start // (TOGETHER // len(RANGES)) % len(RANGES)]
        samples = kind(rng, min(TOGETHER // len(RANGES), count - start))
        found, _ = lane(samples, to)
        expected = in_float32(samples, to)
        assert len(found) == len(expected)
        wrong = np.flatnonzero(found != expected)
        assert wrong.size == 0, _first(samples, to, int(wrong[0]), found, expected)


def _first(
    samples: Samples, to: Range, at: int, found: np.ndarray, expected: np.ndarray
) -> str:
    scale, other = float(samples.scale[at]).hex(), float(samples.addend_scale[at]).hex()
    second = f" + {samples.addend[at]} * {other}" if samples.add[at] else ""
    return f"{samples.acc[at]} * {scale}{second} in {to}: {found[at]}, not {expected[at]}"


@pytest.mark.parametrize("kind", REQUANTIZING)
def test_requantizing_is_float32(kind: str):
    compare(REQUANTIZING[kind], DEFAULT // len(REQUANTIZING), 1)


@pytest.mark.parametrize("kind", ADDING)
def test_adding_is_float32(kind: str):
    compare(ADDING[kind], DEFAULT // len(ADDING), 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", REQUANTIZING)
def test_ten_million_requantized_are_float32(kind: str):
    compare(REQUANTIZING[kind], MANY, 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ADDING)
def test_ten_million_sums_are_float32(kind: str):
    compare(ADDING[kind], MANY, 4)


def test_the_samples_reach_what_they_are_for():
    """Each kind has results within the range; the tie kinds have ties; cancelling ones cancel."""
    rng = np.random.default_rng(5)
    for kind in (*REQUANTIZING.values(), *ADDING.values()):
        samples = kind(rng, 10_000)
        inner = np.abs(in_float32_total(samples)) < 127
        assert inner.mean() > 0.02, kind
    for kind in (powers_of_two, close_to_ties, sums_close_to_ties, by_one_digit):
        total = in_float32_total(kind(rng, 10_000))
        assert (np.abs(total - np.trunc(total)) == 0.5).mean() > 0.02, kind
    samples = cancelling(rng, 10_000)
    first = np.abs(samples.acc.astype(np.float32) * samples.scale)
    assert (np.abs(in_float32_total(samples)) < first / 2**20).mean() > 0.5


def in_float32_total(samples: Samples) -> np.ndarray:
    """fl(t0 + t1), before rint."""
    with np.errstate(over="ignore", under="ignore"):
        other = samples.addend.astype(np.float32) * samples.addend_scale
        first = samples.acc.astype(np.float32) * samples.scale
        return first + np.where(samples.add != 0, other, np.float32(0))


def test_the_two_roundings_of_a_sum_are_seen():
    """Random samples where rint of the exact sum differs from that of the float32 one."""
    samples = sums_close_to_ties(np.random.default_rng(6), 100_000)
    first = (samples.acc.astype(np.float32) * samples.scale).astype(np.float64)
    other = (samples.addend.astype(np.float32) * samples.addend_scale).astype(np.float64)
    exact = np.rint(first + other)
    rounded = np.rint(in_float32_total(samples))
    assert ((exact != rounded) & (np.abs(rounded) < 100)).sum() > 100


def test_requantize_of_our_interpreter_agrees():
    rng = np.random.default_rng(7)
    for kind in REQUANTIZING.values():
        samples = kind(rng, 2000)
        attributes = {"dtype": 3, "x_zero_point": 0, "axis": 0, **vars(INT8)}
        inputs = [samples.acc.astype(np.int32), samples.scale]
        expected = ours("Requantize", inputs, attributes)
        assert expected.dtype == np.int8
        assert lane(samples, INT8)[0].view(np.int8).tolist() == expected.tolist()


def test_add_of_our_interpreter_agrees():
    rng = np.random.default_rng(8)
    for kind in ADDING.values():
        samples = kind(rng, 2000)
        attributes = {"dtype": 2, "x_zero_points": [0, 0], "axis": 0, **vars(UINT8)}
        terms = [samples.acc.astype(np.int32), samples.addend.astype(np.int32)]
        expected = ours("Add", [*terms, samples.scale, samples.addend_scale], attributes)
        assert expected.dtype == np.uint8
        assert lane(samples, UINT8)[0].tolist() == expected.tolist()


def test_results_come_in_order_whatever_the_gaps():
    rng = np.random.default_rng(9)
    samples = sums(rng, 5000)
    for share in (0.01, 0.5, 0.99):
        valid = rng.random(5000) < share
        found, _ = lane(samples, INT8, valid)
        assert found.tolist() == in_float32(samples, INT8)[valid].tolist()


def test_each_sample_chooses_whether_it_is_a_sum():
    rng = np.random.default_rng(10)
    pairs = sums_of_fitting_scale(rng, 100_000)
    samples = Samples(
        pairs.acc, pairs.scale, pairs.addend, pairs.addend_scale, rng.integers(0, 2, 100_000)
    )
    found, _ = lane(samples, UINT8)
    assert np.array_equal(found, in_float32(samples, UINT8))


def test_terms_beyond_float32_saturate():
    """Infinite in float32 where the lane goes on; subnormal or zero where it keeps all digits."""
    huge, tiny = np.float32(2.0**127), np.float32(2.0**-126)
    acc = np.array([INT32.max, INT32.min, 2, -2, 255, 2, 1, -1])
    addend = np.array([255, -255, 1, -1, -1, 255, 1, -1])
    scale = np.array([huge, huge, huge, huge, huge, tiny, tiny, tiny])
    other = np.array([huge, huge, huge, tiny, huge, 2.5 / 255, 0.5, 0.5])
    samples = both(acc, scale, addend, other)
    expected = in_float32(samples, INT8)
    assert lane(samples, INT8)[0].tolist() == expected.tolist()
    assert expected.view(np.int8)[:5].tolist() == [127, -128, 127, -128, 127]


def test_the_latency_is_the_one_that_the_package_states():
    source = (RTL / "jc_requantize_pkg.sv").read_text()
    stated = re.search(r"int unsigned Latency = (\d+);", source)
    assert stated is not None
    samples = sums(np.random.default_rng(11), 4)
    for valid in ([1, 1, 1, 1], [0, 0, 0, 1]):
        assert lane(samples, INT8, np.array(valid))[1] == int(stated[1])
