"""The operators beside convolution against onnxruntime: equal, or different as docs/spec.md says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_node import Attributes, IntegerType, full_range, number_of, ours, theirs

SEEDS = st.integers(0, 2**32 - 1)
TYPES = st.sampled_from([np.int8, np.uint8])


def into(dtype: IntegerType, zero_point: int) -> dict[str, int]:
    """The attributes of an operator that makes 8 bits of the whole range."""
    info = np.iinfo(dtype)
    bounds = {"low": int(info.min), "high": int(info.max)}
    return {"zero_point": zero_point, "dtype": number_of(np.dtype(dtype)), **bounds}


def any_of(rng: np.random.Generator, dtype: IntegerType) -> int:
    return int(full_range(rng, dtype, ()))


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from([(np.int8, np.int8), (np.uint8, np.int8), (np.uint8, np.uint8)]))
def test_matmul_and_requantize_are_qlinear_matmul(
    seed: int, types: tuple[IntegerType, IntegerType]
):
    """onnxruntime has no kernel for int8 times uint8."""
    rng = np.random.default_rng(seed)
    a_type, b_type = types
    rows, depth, columns = rng.integers(1, 40, 3)
    leading = rng.integers(1, 4, rng.integers(0, 3))
    a, b = (
        full_range(rng, a_type, (*leading, rows, depth)),
        full_range(rng, b_type, (depth, columns)),
    )
    per_column = bool(rng.integers(2))
    scales = (columns,) if per_column else ()
    a_zero_point, b_zero_point = any_of(rng, a_type), full_range(rng, b_type, scales)
    total = ours(
        "MatMul",
        [a, b],
        {"a_zero_point": a_zero_point, "b_zero_point": b_zero_point.ravel().tolist()},
    )
    a_scale = np.float32(rng.uniform(1e-3, 0.2))
    b_scale = rng.uniform(1e-3, 0.2, scales).astype(np.float32)
    spread = max(1, np.abs(total).max()) * a_scale * b_scale.mean()
    y_scale, zero_point = np.float32(spread / rng.uniform(20, 300)), any_of(rng, a_type)
    multiplier = ((a_scale * b_scale) / y_scale).reshape(-1)
    result = ours(
        "Requantize",
        [total, multiplier],
        {"axis": -1, "x_zero_point": 0, **into(a_type, zero_point)},
    )
    a_meaning = [a_scale, a_type(a_zero_point)]
    expected = theirs(
        "QLinearMatMul",
        [a, *a_meaning, b, b_scale, b_zero_point, y_scale, a_type(zero_point)],
        {},
        result=np.dtype(a_type),
    )
    np.testing.assert_array_equal(result, expected)


@settings(max_examples=100, deadline=None)
@given(SEEDS, TYPES, st.booleans())
def test_quantize_is_quantize_linear(seed: int, dtype: IntegerType, ties: bool):
    rng = np.random.default_rng(seed)
    zero_point = any_of(rng, dtype)
    scale = np.float32(0.25 if ties else rng.uniform(1e-3, 3))
    x = (rng.integers(-700, 700, 200) / 8 if ties else rng.normal(0, 100, 200)).astype(
        np.float32
    )
    x[:4] = [np.finfo(np.float32).max, -np.finfo(np.float32).max, 1e-45, -0.0]
    expected = theirs(
        "QuantizeLinear", [x, scale, dtype(zero_point)], {}, result=np.dtype(dtype)
    )
    result = ours("Quantize", [x], {"scale": float(scale), **into(dtype, zero_point)})
    np.testing.assert_array_equal(result, expected)


@settings(max_examples=60, deadline=None)
@given(SEEDS, TYPES, st.booleans())
def test_dequantize_is_dequantize_linear(seed: int, dtype: IntegerType, per_channel: bool):
    rng = np.random.default_rng(seed)
    x = full_range(rng, dtype, (2, 5, 7))
    scale = rng.uniform(1e-3, 3, 5 if per_channel else 1).astype(np.float32)
    zero_point = any_of(rng, dtype)
    expected = theirs(
        "DequantizeLinear",
        [
            x,
            scale if per_channel else scale.reshape(()),
            np.full(5 if per_channel else (), zero_point, dtype),
        ],
        {"axis": 1},
        result=np.dtype(np.float32),
    )
    result = ours("Dequantize", [x, scale], {"axis": 1, "zero_point": zero_point})
    np.testing.assert_array_equal(result, expected)


def test_dequantize_int32_is_dequantize_linear():
    x = np.array([2**31 - 1, -(2**31), 2**24 + 1, -(2**24) - 3, 5], np.int32)
    scale = np.array([0.013], np.float32)
    expected = theirs(
        "DequantizeLinear", [x, scale.reshape(())], {}, result=np.dtype(np.float32)
    )
    result = ours("Dequantize", [x, scale], {"zero_point": 0})
    np.testing.assert_array_equal(result, expected)


@st.composite
def pools(draw: st.DrawFn, *, dilated: bool) -> tuple[Attributes, tuple[int, ...]]:
    """Attributes of a pooling, and a shape that is wide enough for it."""
    axes = draw(st.sampled_from([1, 2]))
    per_axis = st.tuples(*[st.integers(1, 3)] * axes)
    kernel, strides = draw(per_axis), draw(per_axis)
    dilations = draw(per_axis) if dilated else (1,) * axes
    pads = tuple(draw(st.integers(0, k - 1)) for k in kernel * 2)
    spatial = tuple(
        (k - 1) * d + 1 + draw(st.integers(0, 8))
        for k, d in zip(kernel, dilations, strict=True)
    )
    attributes: dict[str, int | float | str | Sequence[int]] = {
        "kernel_shape": kernel,
        "strides": strides,
        "pads": pads,
        "ceil_mode": draw(st.integers(0, 1)),
    }
    if dilated:
        attributes["dilations"] = dilations
    return attributes, (draw(st.integers(1, 2)), draw(st.integers(1, 4)), *spatial)


@settings(max_examples=150, deadline=None)
@given(pools(dilated=True), SEEDS, TYPES)
def test_max_pool_is_onnxruntimes(
    case: tuple[Attributes, tuple[int, ...]], seed: int, dtype: IntegerType
):
    attributes, shape = case
    x = full_range(np.random.default_rng(seed), dtype, shape)
    expected = theirs("MaxPool", [x], attributes, result=np.dtype(dtype))
    result = ours("MaxPool", [x], attributes, domain="")
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)


def average(
    x: np.ndarray, attributes: Attributes, x_scale: np.float32, y_scale: np.float32
) -> np.ndarray:
    dtype = x.dtype.type
    scales = {"x_scale": float(x_scale), "y_scale": float(y_scale), "x_zero_point": 3}
    return ours("AveragePool", [x], {**attributes, **scales, **into(dtype, 5)})


@settings(max_examples=100, deadline=None)
@given(SEEDS, TYPES, st.booleans())
def test_global_average_pool_is_qlinear_global_average_pool(
    seed: int, dtype: IntegerType, ties: bool
):
    rng = np.random.default_rng(seed)
    side = rng.integers(1, 12, 2)
    x = full_range(rng, dtype, (1, int(rng.integers(1, 20)), *side))
    scales = [0.25, 0.0625] if ties else rng.uniform(1e-3, 0.2, 2)
    x_scale, y_scale = np.array(scales, np.float32)
    expected = theirs(
        "QLinearGlobalAveragePool",
        [x, x_scale, dtype(3), y_scale, dtype(5)],
        {"channels_last": 0},
        result=np.dtype(dtype),
        domain="com.microsoft",
    )
    result = average(x, {"kernel_shape": side.tolist()}, x_scale, y_scale)
    np.testing.assert_array_equal(result, expected)


@settings(max_examples=100, deadline=None)
@given(pools(dilated=False), st.integers(0, 1), SEEDS, TYPES)
def test_average_pool_is_qlinear_average_pool_within_rounding(
    case: tuple[Attributes, tuple[int, ...]], include_pad: int, seed: int, dtype: IntegerType
):
    """Theirs rounds ties away from zero, so results may differ by 1 where ours meets a tie."""
    attributes, shape = case
    if include_pad:  # theirs divides by elements that ceil_mode adds beyond the padding
        attributes = {**attributes, "ceil_mode": 0}
    attributes = {**attributes, "count_include_pad": include_pad}
    rng = np.random.default_rng(seed)
    x = full_range(rng, dtype, shape)
    x_scale, y_scale = rng.uniform(1e-3, 0.2, 2).astype(np.float32)
    expected = theirs(
        "QLinearAveragePool",
        [x, x_scale, dtype(3), y_scale, dtype(5)],
        attributes,
        result=np.dtype(dtype),
        domain="com.microsoft",
    )
    result = average(x, attributes, x_scale, y_scale)
    assert result.shape == expected.shape
    differences = np.abs(result.astype(int) - expected.astype(int))
    assert differences.max() <= 1
    scaled = exact_average(x, attributes) * float(x_scale) / float(y_scale)
    distance_to_tie = np.abs(scaled - np.floor(scaled) - 0.5)
    assert (distance_to_tie[differences == 1] < 1e-3).all()


def exact_average(x: np.ndarray, attributes: Attributes) -> np.ndarray:
    """Averages of (x - 3) in float64, by onnxruntime's float operator of wide range."""
    centred = x.astype(np.float32) - 3
    return theirs("AveragePool", [centred], attributes, result=np.dtype(np.float32)).astype(
        np.float64
    )


@settings(max_examples=40, deadline=None)
@given(SEEDS, TYPES)
def test_add_is_qlinear_add_within_one(seed: int, dtype: IntegerType):
    rng = np.random.default_rng(seed)
    a, b = full_range(rng, dtype, (1, 5, 64)), full_range(rng, dtype, (1, 5, 64))
    a_scale, b_scale = rng.uniform(0.005, 0.1, 2).astype(np.float32)
    y_scale = np.float32((a_scale + b_scale) * rng.uniform(0.3, 1.2))
    zero_points = full_range(rng, dtype, (3,))
    expected = theirs(
        "QLinearAdd",
        [a, a_scale, zero_points[0], b, b_scale, zero_points[1], y_scale, zero_points[2]],
        {},
        result=np.dtype(dtype),
        domain="com.microsoft",
    )
    result = ours(
        "Add",
        [a, b, np.array([a_scale / y_scale]), np.array([b_scale / y_scale])],
        {"x_zero_points": zero_points[:2].tolist(), **into(dtype, int(zero_points[2]))},
    )
    differences = np.abs(result.astype(int) - expected.astype(int))
    assert differences.max() <= 1
    assert np.count_nonzero(differences) <= 1  # scripts/measure_onnxrt.py measures the fraction


@pytest.mark.parametrize("zero_point", [4, 5])
def test_qlinear_add_takes_ties_the_other_way_when_the_zero_point_is_odd(zero_point: int):
    """Theirs rounds half to even after adding the zero point, ours before."""
    a = np.arange(-60, 60, dtype=np.int8)
    b = np.zeros_like(a)
    half, one, zero = np.float32(0.5), np.float32(1), np.int8(0)
    expected = theirs(
        "QLinearAdd",
        [a, half, zero, b, half, zero, one, np.int8(zero_point)],
        {},
        result=np.dtype(np.int8),
        domain="com.microsoft",
    )
    multipliers = [np.array([0.5], np.float32)] * 2
    meaning = {"x_zero_points": [0, 0], **into(np.int8, zero_point)}
    result = ours("Add", [a, b, *multipliers], meaning)
    differs = (a % 2 == 1) if zero_point % 2 else np.zeros(a.shape, bool)
    np.testing.assert_array_equal(result != expected, differs)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.float32])
@pytest.mark.parametrize(
    ("op_type", "operands", "attributes", "shape"),
    [
        ("Reshape", [np.array([1, -1, 10])], {}, (1, 12, 10)),
        ("Reshape", [np.array([0, 4, 30])], {}, (1, 4, 30)),
        ("Flatten", [], {"axis": 1}, (1, 120)),
        ("Flatten", [], {"axis": 3}, (20, 6)),
        ("Flatten", [], {"axis": 0}, (1, 120)),
        ("Transpose", [], {}, (6, 5, 4, 1)),
        ("Transpose", [], {"perm": [0, 2, 3, 1]}, (1, 5, 6, 4)),
        ("Slice", [np.array([1, -3]), np.array([3, 2**60]), np.array([1, -1])], {}, (1, 2, 5, 3)),
        ("Slice", [np.array([1]), np.array([2**31]), np.array([2]), np.array([3])], {}, (1, 4, 2, 6)),
        ("Slice", [np.array([-1]), np.array([-(2**62)]), np.array([3]), np.array([-2])], {}, (1, 4, 5, 3)),
        ("Slice", [np.array([4]), np.array([0]), np.array([2]), np.array([-1])], {}, (1, 4, 4, 6)),
        ("Slice", [np.array([0, 1]), np.array([1, 3])], {}, (1, 2, 5, 6)),
        ("Pad", [np.array([0, 0, 1, 2, 0, 0, 3, 0])], {}, (1, 4, 9, 8)),
        ("Pad", [np.array([0, 1, -1, 2, 0, 0, -2, -1])], {}, (1, 5, 2, 7)),
        ("Pad", [np.array([1, 2]), None, np.array([-1])], {}, (1, 4, 5, 9)),
        ("Identity", [], {}, (1, 4, 5, 6)),
    ],
)  # fmt: skip
def test_moving_operators_are_onnxruntimes(
    dtype: type[np.generic],
    op_type: str,
    operands: list[np.ndarray | None],
    attributes: Attributes,
    shape: tuple[int, ...],
):
    x = np.random.default_rng(0).integers(0, 100, (1, 4, 5, 6)).astype(dtype)
    expected = theirs(op_type, [x, *operands], attributes, result=np.dtype(dtype))
    result = ours(op_type, [x, *operands], attributes, shape=shape, domain="")
    assert result.dtype == dtype
    assert result.shape == shape
    np.testing.assert_array_equal(result, expected)


def test_pad_takes_its_constant():
    x = np.array([[5]], np.int8)
    pads = np.array([0, 1, 1, 0])
    result = ours("Pad", [x, pads, np.array(-7, np.int8)], {}, domain="")
    assert result.tolist() == [[-7, 5], [-7, -7]]


def test_concat_is_onnxruntimes():
    x, y = np.arange(12, dtype=np.int8).reshape(1, 3, 4), np.full((1, 2, 4), -1, np.int8)
    for axis in (1, -2):
        expected = theirs("Concat", [x, y], {"axis": axis}, result=np.dtype(np.int8))
        result = ours("Concat", [x, y], {"axis": axis}, domain="")
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div"])
def test_float_arithmetic_is_onnxruntimes(op_type: str):
    rng = np.random.default_rng(1)
    a = rng.normal(size=(1, 5, 40)).astype(np.float32)
    b = rng.normal(size=(5, 1)).astype(np.float32)
    expected = theirs(op_type, [a, b], {}, result=np.dtype(np.float32))
    np.testing.assert_array_equal(ours(op_type, [a, b], {}, domain=""), expected)


def test_relu_and_clip_are_onnxruntimes():
    x = np.linspace(-3, 3, 50, dtype=np.float32)
    low, high = np.array(-1.5, np.float32), np.array(2.25, np.float32)
    for op_type, operands in (
        ("Relu", []),
        ("Clip", [low, high]),
        ("Clip", [low]),
        ("Clip", [None, high]),
        ("Clip", []),
    ):
        expected = theirs(op_type, [x, *operands], {}, result=np.dtype(np.float32))
        result = ours(op_type, [x, *operands], {}, domain="")
        np.testing.assert_array_equal(result, expected)
