"""What the accelerator asks of a node, and why it refuses one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from joulecut.compiler.graph import (
    Node,
    Value,
    constant_of,
    dtype_of,
    int_of,
    ints_of,
    op_key,
    shape_of,
)
from joulecut.compiler.windows import window_of
from joulecut.hw.regs import KINDS
from joulecut.targets.fpga.tensors import PLANE
from joulecut.targets.fpga.work import Window

_LARGEST = {field.name: field.high for field in KINDS["compute"]}
_SMALLEST = np.finfo(np.float32).tiny  # multipliers below have fewer than 24 bits


class RefusedError(Exception):
    """A node that the accelerator cannot run; the text says why."""


class NotMadeError(RefusedError):
    """A node that could run, if another that makes its operand had not been refused."""


@dataclass(frozen=True)
class Space:
    """[C, H, W] of a value of up to four dimensions."""

    channels: int
    height: int
    width: int


def space_of(value: Value) -> Space:
    """A value of two to four dimensions as [C, H, W].

    Raises:
        RefusedError: it has others, or a batch.
    """
    shape = shape_of(value)
    if not 2 <= len(shape) <= 4 or shape[0] != 1:
        raise RefusedError(
            f"'{value.name}' must be [1, C], [1, C, L] or [1, C, H, W], not {shape}"
        )
    channels, *space = shape[1:]
    height, width = [1, 1, *space][-2:]
    return Space(channels, height, width)


def is_unsigned(value: Value) -> bool:
    """Is it uint8?"""
    dtype = dtype_of(value)
    if dtype.name not in ("uint8", "int8"):
        raise RefusedError(f"'{value.name}' must be int8 or uint8, not {dtype}")
    return dtype.name == "uint8"


def operands(node: Node) -> tuple[Value, np.ndarray, np.ndarray]:
    """The activation, the weights and the bias of a product.

    Raises:
        RefusedError: weights are not constant int8 above -128.
    """
    x, w, *rest = node.inputs
    assert x is not None
    assert w is not None
    weights = constant_of(w)
    if weights is None or weights.dtype != np.int8:
        raise RefusedError("weights must be constant int8")
    if weights.size and weights.min() == -128:
        raise RefusedError(
            "weights must be -127..127, not -128: two of them share a multiplier; "
            "quantize with a narrow range"
        )
    outputs = weights.shape[1] if op_key(node) == "joulecut.MatMul" else weights.shape[0]
    given = constant_of(rest[0]) if rest else None
    bias = np.zeros(outputs, np.int64) if given is None else np.asarray(given, np.int64)
    return x, weights, bias


def joins_planes(node: Node) -> bool:
    """Does it join activations of [1, C, ..] whose planes stay whole?"""
    if op_key(node) != "Concat" or int_of(node, "axis") != 1:
        return False
    if len({id(value) for value in node.inputs}) < len(node.inputs):
        return False
    return all(
        value is not None and shape_of(value)[1] % PLANE == 0 for value in node.inputs[:-1]
    )


def multiplier_of(value: Value | None) -> np.ndarray:
    """Constant multipliers, float32.

    Raises:
        RefusedError: they are not constant, or not normal numbers above 0.
    """
    assert value is not None
    found = constant_of(value)
    if found is None:
        raise RefusedError("multipliers must be constant")
    return normal(found.astype(np.float32).reshape(-1))


def normal(scale: np.ndarray) -> np.ndarray:
    """The multipliers, if the accelerator can take them.

    Raises:
        RefusedError: it cannot.
    """
    if not (np.isfinite(scale).all() and (scale >= _SMALLEST).all()):
        raise RefusedError(f"multipliers must be at least {_SMALLEST} and finite")
    return scale


def layer_window(node: Node) -> Window:
    """A node's window over two axes; a sequence has one row."""
    kernel = ints_of(node, "kernel_shape") if "kernel_shape" in node.attributes else None
    if kernel is None:
        weights = node.inputs[1]
        assert weights is not None
        kernel = shape_of(weights)[2:]
    found = window_of(node, kernel)
    if len(kernel) > 2:
        raise RefusedError(f"windows must have 1 or 2 axes, not {len(kernel)}")
    one = len(kernel) == 1

    def pair(values: tuple[int, ...], fill: int) -> tuple[int, int]:
        return (fill, values[0]) if one else (values[0], values[1])

    begins, ends = pair(found.begins, 0), pair(found.ends, 0)
    made = space_of(node.outputs[0])
    steps = zip(pair(found.strides, 1), (made.height, made.width), strict=True)
    strides = tuple(1 if size == 1 else stride for stride, size in steps)
    return Window(
        pair(found.kernel, 1),
        (strides[0], strides[1]),
        pair(found.dilations, 1),
        (begins[0], begins[1], ends[0], ends[1]),
    )


def fitting(window: Window) -> Window:
    """The window, if descriptors can hold it.

    Raises:
        RefusedError: they cannot.
    """
    for what, field, found in (
        ("the width of a kernel", "kernel_width", window.kernel[1]),
        ("a stride", "stride_y", max(window.strides)),
        ("a dilation", "dilation_y", max(window.dilations)),
        ("a pad", "pad_top", max(window.pads[:2])),
    ):
        if found > _LARGEST[field]:
            raise RefusedError(f"{what} must be at most {_LARGEST[field]}, not {found}")
    return window


def can_pack(node: Node) -> bool:
    """Can the rows of its windows be packed into the columns?"""
    window = layer_window(node)
    return window.dilations == (1, 1) and int_of(node, "group", 1) == 1
