"""Where windows lie, against onnxruntime's float AveragePool of ones and against loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from one_node import theirs

from joulecut.compiler.windows import Window


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, int]:
    kernel = draw(st.integers(1, 4))
    window = Window(
        kernel=(kernel,),
        strides=(draw(st.integers(1, 4)),),
        dilations=(draw(st.integers(1, 3)),),
        begins=(draw(st.integers(0, kernel - 1)),),
        ends=(draw(st.integers(0, kernel - 1)),),
        ceil_mode=draw(st.booleans()),
    )
    return window, draw(st.integers(window.extents[0], 14))


@settings(max_examples=200, deadline=None)
@given(windows(), st.booleans())
def test_counts_are_what_onnxruntime_divides_by(case: tuple[Window, int], include_pad: bool):
    window, size = case
    ones = np.ones((1, 1, size), np.float32)
    attributes = {
        "kernel_shape": window.kernel,
        "strides": window.strides,
        "dilations": window.dilations,
        "pads": (*window.begins, *window.ends),
        "ceil_mode": int(window.ceil_mode),
        "count_include_pad": int(include_pad),
    }
    expected = theirs("AveragePool", [ones], attributes, result=np.dtype(np.float32))
    inside = window.view(ones, 0).sum(axis=-1)
    counts = window.counts((size,), include_pad=include_pad)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(np.rint(expected * counts), inside)
    np.testing.assert_array_equal(expected, inside / counts.astype(np.float32))


@settings(max_examples=100, deadline=None)
@given(windows())
def test_view_is_its_definition(case: tuple[Window, int]):
    window, size = case
    x = np.arange(1, size + 1)
    taps = window.view(x.reshape(1, 1, size), fill=-7)[0, 0]
    assert taps.shape == (*window.output_shape((size,)), *window.kernel)
    for (out, tap), value in np.ndenumerate(taps):
        at = out * window.strides[0] + tap * window.dilations[0] - window.begins[0]
        assert value == (x[at] if 0 <= at < size else -7)


def test_axes_are_independent():
    """A window of two axes is the two windows of one axis each."""
    window = Window((3, 2), (2, 1), (1, 2), (1, 0), (0, 1), ceil_mode=True)
    rows = Window((3,), (2,), (1,), (1,), (0,), ceil_mode=True)
    columns = Window((2,), (1,), (2,), (0,), (1,), ceil_mode=True)
    x, y = np.arange(1, 7), np.arange(1, 9)
    taps = window.view(np.outer(x, y)[None, None], fill=0)[0, 0]
    both = np.einsum(
        "ik,jl->ijkl",
        rows.view(x.reshape(1, 1, 6), fill=0)[0, 0],
        columns.view(y.reshape(1, 1, 8), fill=0)[0, 0],
    )
    np.testing.assert_array_equal(taps, both)
