"""Convolution against python loops, and against onnxruntime's QLinearConv, integer for integer."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_node import full_range, number_of, ours, theirs


@dataclass(frozen=True)
class Case:
    """One convolution; the spatial tuples have one entry per axis."""

    x: np.ndarray
    w: np.ndarray
    bias: np.ndarray | None
    x_zero_point: int
    w_zero_points: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    group: int

    @property
    def geometry(self) -> dict[str, int | tuple[int, ...]]:
        return {
            "strides": self.strides,
            "pads": self.pads,
            "dilations": self.dilations,
            "group": self.group,
        }

    def accumulate(self) -> np.ndarray:
        zero_points = {"x_zero_point": self.x_zero_point, "w_zero_point": self.w_zero_points}
        return ours("Conv", [self.x, self.w, self.bias], {**self.geometry, **zero_points})


@st.composite
def cases(draw: st.DrawFn, *, biggest: int, both_types: bool = True) -> Case:
    axes = draw(st.sampled_from([1, 2]))
    several = st.integers(1, 3)
    per_axis = st.tuples(*[several] * axes)
    kernel, strides, dilations = draw(per_axis), draw(per_axis), draw(per_axis)
    pads = tuple(draw(st.integers(0, k - 1)) for k in kernel * 2)
    group, wide, deep = draw(several), draw(several), draw(several)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    spatial = [draw(st.integers(e, e + biggest)) for e in extents]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x_type = draw(st.sampled_from([np.int8, np.uint8]))
    w_types = [np.int8, np.uint8] if both_types or x_type is np.uint8 else [np.int8]
    w_type = draw(st.sampled_from(w_types))
    w_zero_points = full_range(rng, w_type, [draw(st.sampled_from([1, group * wide]))])
    bias = rng.integers(-(2**20), 2**20, group * wide).astype(np.int32)
    return Case(
        x=full_range(rng, x_type, (draw(st.integers(1, 2)), group * deep, *spatial)),
        w=full_range(rng, w_type, (group * wide, deep, *kernel)),
        bias=bias if draw(st.booleans()) else None,
        x_zero_point=int(full_range(rng, x_type, ())),
        w_zero_points=tuple(map(int, w_zero_points)),
        strides=strides,
        pads=pads,
        dilations=dilations,
        group=group,
    )


def slow_conv(case: Case) -> np.ndarray:
    """The definition in python integers: a loop for every index."""
    (batch, _, *spatial), (outs, deep, *kernel) = case.x.shape, case.w.shape
    axes = range(len(spatial))
    zero_points = np.broadcast_to(case.w_zero_points, outs).tolist()
    shape = [
        (spatial[i] + case.pads[i] + case.pads[i + len(kernel)] - (kernel[i] - 1) * d - 1)
        // case.strides[i]
        + 1
        for i, d in enumerate(case.dilations)
    ]
    result = np.empty((batch, outs, *shape), np.int64)
    for n, o, *at in np.ndindex(*result.shape):
        total = int(0 if case.bias is None else case.bias[o])
        for c, *tap in np.ndindex(deep, *kernel):
            where = [
                at[i] * case.strides[i] + tap[i] * case.dilations[i] - case.pads[i]
                for i in axes
            ]
            if all(0 <= where[i] < spatial[i] for i in axes):
                channel = o // (outs // case.group) * deep + c
                x, w = int(case.x[(n, channel, *where)]), int(case.w[(o, c, *tap)])
                total += (x - case.x_zero_point) * (w - int(zero_points[o]))
        result[(n, o, *at)] = total
    return result


@settings(max_examples=60, deadline=None)
@given(cases(biggest=2))
def test_conv_is_its_definition(case: Case):
    found = case.accumulate()
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, slow_conv(case))


def scales(
    rng: np.random.Generator, total: np.ndarray, channels: int
) -> tuple[np.float32, np.ndarray, np.float32]:
    """Scales of x, w and y that spread the sums over the 8 bits and let a few saturate."""
    x_scale, w_scale = rng.uniform(1e-3, 0.2), rng.uniform(1e-3, 0.2, channels)
    spread = max(float(np.abs(total).max()), 1.0) * x_scale * w_scale.mean()
    y_scale = np.float32(spread / rng.uniform(20, 300))
    return np.float32(x_scale), w_scale.astype(np.float32), y_scale


@settings(max_examples=120, deadline=None)
@given(cases(biggest=9, both_types=False), st.booleans(), st.integers(0, 2**32 - 1))
def test_conv_and_requantize_are_qlinear_conv(case: Case, per_channel: bool, seed: int):
    rng = np.random.default_rng(seed)
    per_channel |= len(case.w_zero_points) > 1  # ONNX wants as many scales as zero points
    total, channels = case.accumulate(), len(case.w)
    x_scale, w_scale, y_scale = scales(rng, total, channels if per_channel else 1)
    dtype = case.x.dtype
    info = np.iinfo(dtype)
    zero_point = int(full_range(rng, dtype.type, ()))
    result = ours(
        "Requantize",
        [total, (x_scale * w_scale) / y_scale],
        {
            "axis": 1,
            "x_zero_point": 0,
            "zero_point": zero_point,
            "low": int(info.min),
            "high": int(info.max),
            "dtype": number_of(dtype),
        },
    )
    w_zero_points = np.array(case.w_zero_points, case.w.dtype)
    shape = (channels,) if per_channel else ()
    w_zero_point = np.broadcast_to(w_zero_points, shape or (1,)).reshape(shape)
    qlinear = theirs(
        "QLinearConv",
        [
            case.x,
            x_scale,
            dtype.type(case.x_zero_point),
            case.w,
            w_scale.reshape(shape),
            w_zero_point,
            y_scale,
            dtype.type(zero_point),
            case.bias,
        ],
        case.geometry,
        result=dtype,
    )
    assert result.dtype == qlinear.dtype
    np.testing.assert_array_equal(result, qlinear)


def test_conv_of_extremes_is_exact():
    """Every product at its largest: 255 * 255 * 576 needs 26 bits, more than float32 has."""
    for x_end, w_end in itertools.product((0, 255), (-128, 127)):
        case = Case(
            x=np.full((1, 64, 3, 3), x_end, np.uint8),
            w=np.full((2, 64, 3, 3), w_end, np.int8),
            bias=np.array([1, -1], np.int32),
            x_zero_point=255 - x_end,
            w_zero_points=(-1 - w_end,),
            strides=(1, 1),
            pads=(0,) * 4,
            dilations=(1, 1),
            group=1,
        )
        each = (2 * x_end - 255) * (2 * w_end + 1) * 576
        assert case.accumulate().ravel().tolist() == [each + 1, each - 1]


def test_conv_refuses_a_sum_beyond_int32():
    x = np.full((1, 1, 1), 255, np.uint8)
    w = np.full((1, 1, 1), 127, np.int8)
    bias = np.array([2**31 - 1], np.int32)
    with pytest.raises(AssertionError):
        ours("Conv", [x, w, bias], {"x_zero_point": 0, "w_zero_point": 0})
