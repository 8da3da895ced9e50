"""Weights and biases of a float layer as integers: int8 for each output channel, and int32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from joulecut.compiler.codes import Codes
from joulecut.compiler.graph import attribute, constant_of, int_of, op_key

Array = npt.NDArray[Any]

LARGEST = 127  # -128 is left out: a negated weight must exist, and 127 products of it fit
MAX_BIAS = 2**30 - 1  # half of int32, the other half is for the products (lowering/room.py)
_LEAST_STEP = 2.0**-120  # a normal float32 number


@dataclass(frozen=True, eq=False)
class Layer:
    """The constants of a Conv, Gemm or MatMul.

    Attributes:
        weight: float; output channels lie along `axis`.
        axis: of the channels in `weight`.
        bias: float [C], or None where there is none.
        takes_bias: may `bias` be replaced? Not in a MatMul, nor where the bias is scaled.
    """

    weight: Array
    axis: int
    bias: Array | None
    takes_bias: bool


def layer_of(node: ir.Node) -> Layer | None:
    """The constants of a layer; None where its weights are computed."""
    key = op_key(node)
    weight = constant_of(node.inputs[1])
    if weight is None or weight.dtype != np.float32 or weight.ndim < 2:
        return None
    turned = key == "Gemm" and int_of(node, "transB", 0)
    axis = 0 if key == "Conv" or turned else 1
    if key == "MatMul" and weight.ndim != 2:
        return None
    channels = weight.shape[axis]
    takes_bias = key == "Conv" or (
        key == "Gemm" and _is_one(node, "alpha") and _is_one(node, "beta")
    )
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None or not takes_bias:
        return Layer(weight, axis, None, takes_bias)
    numbers = constant_of(bias)
    if numbers is None or numbers.size not in (1, channels):
        return Layer(weight, axis, None, takes_bias=False)
    numbers = np.broadcast_to(numbers.reshape(-1), (channels,))
    return Layer(weight, axis, numbers, takes_bias)


def weight_codes(layer: Layer, x_scale: float, bias: Array | None) -> Codes:
    """Symmetric, one scale a channel, no finer than what the bias of the channel allows.

    A bias is an integer at the scale x_scale * weight scale. Where the weights of a channel are
    all but zero their own scale would put it beyond int32.
    """
    others = tuple(dim for dim in range(layer.weight.ndim) if dim != layer.axis)
    reach = np.abs(layer.weight.astype(np.float64)).max(axis=others)
    step = reach / LARGEST
    if bias is not None:
        step = np.maximum(step, np.abs(bias.astype(np.float64)) / (x_scale * MAX_BIAS))
    # A scale is rounded to float32; a step up keeps the bias within what it may be.
    scale = np.nextafter(step.astype(np.float32), np.float32(np.inf), dtype=np.float32)
    scale = np.maximum(scale, np.float32(max(_LEAST_STEP / x_scale, _LEAST_STEP)))
    zero = np.zeros(1, np.int64)
    return Codes(scale, zero, -LARGEST, LARGEST, np.dtype(np.int8), layer.axis)


def bias_codes(bias: Array, x_scale: Array, weight: Codes) -> tuple[Array, Codes]:
    """The bias in int32 at the scale of the accumulator."""
    scale = (x_scale * weight.scale).astype(np.float32)
    limits = np.iinfo(np.int32)
    codes = Codes(scale, np.zeros(1, np.int64), limits.min, limits.max, np.dtype(np.int32))
    integers = np.rint(bias.astype(np.float64) / scale.astype(np.float64))
    return np.clip(integers, limits.min, limits.max).astype(np.int32), codes


def _is_one(node: ir.Node, name: str) -> bool:
    return attribute(node, name, 1.0) == 1.0
