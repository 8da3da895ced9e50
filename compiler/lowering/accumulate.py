"""Conv, Gemm and MatMul on integers: sums of products in int32 that are proved to fit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Attribute
from joulecut.compiler.codes import Array
from joulecut.compiler.graph import attribute, int_of, ints_of, name_of, shape_of
from joulecut.compiler.lowering.forms import (
    Accumulation,
    Constant,
    Form,
    Ints,
    Pending,
    Sum,
    Term,
    Weight,
)
from joulecut.compiler.lowering.room import Channels
from joulecut.compiler.lowering.state import Lowering
from joulecut.compiler.quant import QType, qtype_of
from joulecut.compiler.refusal import RefusedError

_INT32_MAX = 2**31 - 1
_EXACT = 2**53  # integers up to here are float64 numbers


def conv(lowering: Lowering, node: ir.Node) -> Form:
    """Conv(x, w, bias)  =>  joulecut.Conv, scale = x_scale * w_scale[O]."""
    x = lowering.ints(node.inputs[0])
    weight = lowering.weight(node.inputs[1], channel_axis=0)
    rank = weight.codes.ndim - 2
    attributes: dict[str, Attribute] = {
        "strides": list(ints_of(node, "strides", [1] * rank)),
        "pads": list(ints_of(node, "pads", [0] * (2 * rank))),
        "dilations": list(ints_of(node, "dilations", [1] * rank)),
        "group": int_of(node, "group", 1),
        "x_zero_point": x.zero_point,
        "w_zero_point": [int(number) for number in weight.zero_point],
    }
    scale = (x.scale * weight.scale).astype(np.float32)
    bias = _bias(lowering, node, scale, 1.0)
    stored = lowering.build.carry(weight.value)
    layer = _Layer(weight.codes, weight.zero_point, 0, stored, scale, bias, x.reach)
    layer = _with_room(lowering, layer)
    made = Accumulation(
        "joulecut.Conv",
        (x.value, layer.stored),
        attributes,
        layer.bias,
        layer.products,
        str(node.name),
    )
    return accumulated(lowering, made, layer.scale, 1, node.outputs[0])


def gemm(lowering: Lowering, node: ir.Node) -> Form:
    """Gemm(a, b, c)  =>  joulecut.MatMul, scale = alpha * a_scale * b_scale[N]."""
    alpha, beta = _float(node, "alpha"), _float(node, "beta")
    if not alpha > 0:
        raise RefusedError(f"alpha must be positive, not {alpha}", "fold it into the weights")
    a = lowering.ints(node.inputs[0])
    if int_of(node, "transA", 0):
        a = _transposed(lowering, a, node)
    turned = bool(int_of(node, "transB", 0))
    form = lowering.form(node.inputs[1])
    if isinstance(form, Ints):
        b = _transposed(lowering, form, node) if turned else form
        return _activations(lowering, node, a, b, np.float32(alpha), beta)
    weight = lowering.weight(node.inputs[1], channel_axis=0 if turned else 1)
    return _dense(lowering, node, a, weight, turned, np.float32(alpha), beta)


def matmul(lowering: Lowering, node: ir.Node) -> Form:
    """MatMul(a, b)  =>  joulecut.MatMul; b is a weight [K, N] or an activation."""
    if isinstance(lowering.form(node.inputs[0]), Weight | Constant):
        fix = "swap and transpose: (A x)' = x' A'"
        raise RefusedError("its weights must be the second operand, not the first", fix)
    a = lowering.ints(node.inputs[0])
    form = lowering.form(node.inputs[1])
    if isinstance(form, Ints | Pending):
        b = lowering.ints(node.inputs[1])
        return _activations(lowering, node, a, b, np.float32(1), 0.0)
    weight = lowering.weight(node.inputs[1], channel_axis=1)
    if weight.codes.ndim != 2:
        reason = f"its weights must be a matrix, not of shape {list(weight.codes.shape)}"
        raise RefusedError(reason, "use one MatMul per matrix")
    return _dense(lowering, node, a, weight, False, np.float32(1), 0.0)


def accumulated(
    lowering: Lowering, made: Accumulation, scale: Array, axis: int, old: ir.Value
) -> Pending:
    """Emit the accumulating node, after the proof that no sum leaves int32.

    Every partial sum is at most |bias| + sum |w - w_zero_point| * max |x - x_zero_point|, in
    whatever order it is added up.
    """
    bias = np.zeros(1, np.int64) if made.bias is None else made.bias
    bound = int((np.abs(bias) + made.products).max())
    if bound > _INT32_MAX:
        reason = f"its sums may reach {bound}, and int32 ends at {_INT32_MAX}"
        raise RefusedError(reason, "use fewer bits, or split the layer into groups")
    build = lowering.build
    inputs: list[ir.Value] = list(made.inputs)
    stem = name_of(old)
    scales = tuple(map(float, np.abs(scale)))
    if made.bias is not None:
        meaning = QType(32, True, scales, axis=0 if scale.size > 1 else None)
        inputs.append(build.constant(f"{stem}_bias", made.bias.astype(np.int32), meaning))
    value = build.node(
        made.op,
        inputs,
        made.attributes,
        name=made.label,
        output=build.fresh(f"{stem}_acc"),
        shape=old.shape,
        dtype=np.int32,
        qtype=QType(32, True, scales, axis=axis if scale.size > 1 else None),
    )
    term = Term(value, scale, axis=axis, made=made)
    return Pending(Sum((term,)), stem, shape_of(old))


def bias_codes(real: Array, scale: Array, limit: int = _INT32_MAX) -> Array:
    """A float bias at the scale of the accumulator, rounded half to even; int64."""
    codes = np.rint(real.astype(np.float64) / scale.astype(np.float64))
    if not (np.abs(codes) <= limit).all():
        reason = "its bias is too large for int32 at the scale of its products"
        raise RefusedError(reason, "calibrate its input or its weights with larger scales")
    return codes.astype(np.int64)


def _dense(
    lowering: Lowering,
    node: ir.Node,
    a: Ints,
    weight: Weight,
    turned: bool,
    alpha: np.float32,
    beta: float,
) -> Pending:
    """A matrix of weights, [N, K] if turned."""
    build = lowering.build
    codes = weight.codes.T if turned else weight.codes
    stored = build.carry(weight.value)
    if turned:
        meaning = _turned_meaning(stored)
        stored = build.constant(f"{weight.value.name}_turned", codes, meaning)
    scale = (a.scale * weight.scale * alpha).astype(np.float32)
    bias = _bias(lowering, node, scale, beta)
    layer = _Layer(codes, weight.zero_point, 1, stored, scale, bias, a.reach)
    layer = _with_room(lowering, layer)
    made = Accumulation(
        "joulecut.MatMul",
        (a.value, layer.stored),
        {
            "a_zero_point": a.zero_point,
            "b_zero_point": [int(number) for number in weight.zero_point],
        },
        layer.bias,
        layer.products,
        str(node.name),
    )
    output = node.outputs[0]
    return accumulated(lowering, made, layer.scale, len(shape_of(output)) - 1, output)


@dataclass(frozen=True)
class _Layer:
    """Constant weights on their way into an accumulating node.

    Attributes:
        codes: channels lie along `axis`.
        zero_point: int64 [1] or [C].
        axis: of the output channels.
        stored: the weights in the new graph.
        scale: of the sums, float32 [1] or [C].
        bias: int64 [C], perhaps beyond int32, or None.
        reach: the largest |input - zero point|.
    """

    codes: Array
    zero_point: Array
    axis: int
    stored: ir.Value
    scale: Array
    bias: Array | None
    reach: int

    @property
    def centre(self) -> Array:
        """The zero points, to be subtracted from the codes."""
        others = [dim for dim in range(self.codes.ndim) if dim != self.axis]
        return np.expand_dims(self.zero_point, others)

    @property
    def centred(self) -> Array:
        """int64 codes whose zero is 0."""
        return self.codes.astype(np.int64) - self.centre

    @property
    def products(self) -> Array:
        """The largest sum of |products|, per output channel [C]."""
        others = tuple(dim for dim in range(self.codes.ndim) if dim != self.axis)
        return np.abs(self.centred).sum(axis=others) * self.reach


def _with_room(lowering: Lowering, layer: _Layer) -> _Layer:
    """The layer, coarser where a bias leaves no room for the products (room.py)."""
    if layer.bias is None:
        return layer
    fine = Channels(layer.centred, layer.scale, layer.bias, layer.axis)
    coarse = fine.with_room(layer.products)
    if coarse is fine:
        return layer
    meaning = qtype_of(layer.stored)
    if meaning is not None:
        # What one channel's integers mean changes by what its sums' scale did.
        wide = np.broadcast_to(np.array(meaning.scale), layer.bias.shape)
        ratio = coarse.scale.astype(np.float64) / layer.scale
        scales = tuple(map(float, (wide * ratio).astype(np.float32)))
        meaning = replace(meaning, scale=scales, axis=layer.axis)
    codes = (coarse.codes + layer.centre).astype(layer.codes.dtype)
    stored = lowering.build.constant(f"{layer.stored.name}_coarse", codes, meaning)
    return replace(layer, codes=codes, stored=stored, scale=coarse.scale, bias=coarse.bias)


def _activations(
    lowering: Lowering, node: ir.Node, a: Ints, b: Ints, alpha: np.float32, beta: float
) -> Pending:
    """The product of two computed matrices."""
    depth = shape_of(a.value)[-1]
    scale = np.array([a.scale * b.scale * alpha], np.float32)
    made = Accumulation(
        "joulecut.MatMul",
        (a.value, b.value),
        {"a_zero_point": a.zero_point, "b_zero_point": [b.zero_point]},
        _bias(lowering, node, scale, beta),
        np.array([depth * a.reach * b.reach]),
        str(node.name),
    )
    output = node.outputs[0]
    return accumulated(lowering, made, scale, len(shape_of(output)) - 1, output)


def _bias(lowering: Lowering, node: ir.Node, scale: Array, factor: float) -> Array | None:
    """The bias in int64 [C]: its own codes where their scale is the accumulator's."""
    old = node.inputs[2] if len(node.inputs) > 2 else None
    if old is None:
        return None
    form = lowering.form(old)
    if not isinstance(form, Constant | Weight):
        raise RefusedError("its bias must be constant", "add it by an Add of its own")
    channels = shape_of(node.outputs[0])[1 if node.op_type == "Conv" else -1]
    if form.array.size not in (1, channels):
        reason = f"its bias must have {channels} entries, not shape {list(form.array.shape)}"
        raise RefusedError(reason, "add it by an Add of its own")
    if isinstance(form, Weight) and factor == 1 and _same_scale(form, scale):
        codes = form.codes.astype(np.int64).reshape(-1)
    else:
        real = form.array.astype(np.float64).reshape(-1) * factor
        codes = bias_codes(real, scale, _EXACT)  # what int32 cannot hold may get room yet
    return np.broadcast_to(codes, (channels,))


def _same_scale(bias: Weight, scale: Array) -> bool:
    return not bias.zero_point.any() and bool(
        np.all(bias.scale.astype(np.float32) == scale.astype(np.float32))
    )


def _transposed(lowering: Lowering, x: Ints, node: ir.Node) -> Ints:
    """A matrix of codes, turned."""
    build = lowering.build
    name = build.fresh(f"{x.value.name}_turned")
    value = build.node(
        "Transpose",
        [x.value],
        {"perm": [1, 0]},
        name=f"{node.name}_turned",
        output=name,
        shape=shape_of(x.value)[::-1],
        dtype=np.int8 if x.value.dtype == ir.DataType.INT8 else np.uint8,
    )
    value.metadata_props.update(x.value.metadata_props)
    return Ints(value, x.scale, x.zero_point, x.low, x.high)


def _turned_meaning(stored: ir.Value) -> QType | None:
    """What weights [N, K] mean as [K, N]: channels lie along the other axis."""
    qtype = qtype_of(stored)
    if qtype is None or qtype.axis is None:
        return qtype
    return replace(qtype, axis=1 - qtype.axis)


def _float(node: ir.Node, name: str) -> float:
    found = attribute(node, name, 1.0)
    assert isinstance(found, float)
    return found
