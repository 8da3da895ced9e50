"""Sliding windows over the spatial axes, as ONNX's Conv and pooling define them.

Convolution and the poolings differ in what they do with a window, not in where it lies: pads,
strides, dilations and ceil_mode are worked out here once, for one or two spatial axes or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.lib.stride_tricks import sliding_window_view

from joulecut.compiler.graph import int_of, ints_of, text_of


@dataclass(frozen=True)
class Window:
    """Where a window lies; every tuple has one entry per spatial axis.

    Attributes:
        kernel: taps.
        strides: elements from one window to the next.
        dilations: elements from one tap to the next.
        begins: elements of padding before the first.
        ends: elements of padding after the last.
        ceil_mode: keep a last window that only partly lies on the padded input.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    ceil_mode: bool = False

    @property
    def extents(self) -> tuple[int, ...]:
        """Elements from the first tap to the last, both included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def output_shape(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """Windows per axis; one that would start beyond the input is none (ONNX, ceil_mode)."""
        counts: list[int] = []
        for i, size in enumerate(spatial):
            room = size + self.begins[i] + self.ends[i] - self.extents[i]
            stride = self.strides[i]
            count = (-(-room // stride) if self.ceil_mode else room // stride) + 1
            if self.ceil_mode and (count - 1) * stride >= size + self.begins[i]:
                count -= 1
            counts.append(count)
        return tuple(counts)

    def view(self, x: np.ndarray, fill: float) -> np.ndarray:
        """The taps of every window.

        Args:
            x: [N, C, *spatial].
            fill: what lies in the padding.

        Returns:
            [N, C, *output_shape, *kernel], of the type of x.
        """
        return self._taps(x, self.output_shape(x.shape[2:]), self.begins, fill)

    def counts(self, spatial: Sequence[int], *, include_pad: bool) -> np.ndarray:
        """Elements in every window, [*output_shape]: the divisors of an average.

        Padding counts if `include_pad`; what ceil_mode adds beyond the padding never does.
        """
        outs = self.output_shape(spatial)
        ones, begins = np.ones((1, 1, *spatial), np.int64), self.begins
        if include_pad:
            width = [(0, 0), (0, 0), *zip(self.begins, self.ends, strict=True)]
            ones, begins = np.pad(ones, width, constant_values=1), (0,) * len(spatial)
        taps = self._taps(ones, outs, begins, 0)
        return taps.sum(axis=tuple(range(-len(self.kernel), 0)))[0, 0]

    def _taps(
        self, x: np.ndarray, outs: tuple[int, ...], begins: tuple[int, ...], fill: float
    ) -> np.ndarray:
        """`outs` windows per axis over x after `begins` elements of padding."""
        lasts = [(out - 1) * stride for out, stride in zip(outs, self.strides, strict=True)]
        after = (
            max(0, last + extent - begin - size)
            for last, extent, begin, size in zip(
                lasts, self.extents, begins, x.shape[2:], strict=True
            )
        )
        width = [(0, 0), (0, 0), *zip(begins, after, strict=True)]
        padded = np.pad(x, width, constant_values=fill)
        taps = sliding_window_view(padded, self.extents, axis=tuple(range(2, x.ndim)))
        every = (slice(0, n + 1, step) for n, step in zip(lasts, self.strides, strict=True))
        return taps[:, :, *every, *(slice(None, None, d) for d in self.dilations)]


def window_of(node: ir.Node, kernel: Sequence[int]) -> Window:
    """The window of a Conv or a pooling, whose pads must be explicit.

    Args:
        node: has `strides`, `pads`, `dilations`, `ceil_mode` as ONNX names and defaults them.
        kernel: taps per spatial axis.
    """
    assert text_of(node, "auto_pad", "NOTSET") == "NOTSET", f"pads of {node.name} are implicit"
    ones = (1,) * len(kernel)
    pads = ints_of(node, "pads", (0,) * 2 * len(kernel))
    return Window(
        kernel=tuple(kernel),
        strides=ints_of(node, "strides", ones),
        dilations=ints_of(node, "dilations", ones),
        begins=pads[: len(kernel)],
        ends=pads[len(kernel) :],
        ceil_mode=bool(int_of(node, "ceil_mode", 0)),
    )
