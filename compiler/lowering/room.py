"""Coarser weights for channels whose bias would fill int32, so that the sums fit beside it.

A bias is quantized on the scale of the accumulator, input scale times weight scale. A channel
whose weights are all but zero has a tiny weight scale, hence a huge bias: onnxruntime lets it
reach int32's very end, where adding the products would wrap around. Dividing the channel's
integers by a power of two, and multiplying its scales by it, costs weights that hardly count:
with |bias| >= 2^29 after the division, N products of 8-bit numbers that are each off by half a
step move an output, which has at most 2^8 steps, by N * 2^-14 steps at the most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from joulecut.compiler.lowering.forms import Array

# A kernel may fold the input's zero point into the bias and multiply codes as they are stored,
# 0..255: for a zero point near the middle that triples what the products can reach.
FOLDED = 4
MAX_BIAS = 2**30 - 1
MAX_PRODUCTS = 2**30 // FOLDED  # folded, and with the bias, they end at int32's largest number


@dataclass(frozen=True)
class Channels:
    """The integers of the output channels of one layer.

    Attributes:
        codes: weights minus their zero points; channels lie along `axis`.
        scale: of the sums, float32 [1] or [C].
        bias: int64 [C].
        axis: of the channels in `codes`.
    """

    codes: Array
    scale: Array
    bias: Array
    axis: int

    def with_room(self, products: Array) -> Channels:
        """The same numbers; coarser in channels whose sums leave int32 because of the bias.

        Args:
            products: the largest sum of |products| that each channel can reach, [C].
        """
        over = np.abs(self.bias) + FOLDED * products > MAX_BIAS + FOLDED * MAX_PRODUCTS
        mend = over & (products <= MAX_PRODUCTS)
        excess = np.where(mend, np.abs(self.bias) / MAX_BIAS, 1.0)
        factor = 2.0 ** np.ceil(np.log2(np.maximum(excess, 1.0)))
        if not (factor > 1).any():
            return self
        others = [dim for dim in range(self.codes.ndim) if dim != self.axis]
        return Channels(
            np.rint(self.codes / np.expand_dims(factor, others)).astype(self.codes.dtype),
            (self.scale * factor).astype(np.float32),
            np.rint(self.bias / factor).astype(np.int64),
            self.axis,
        )
