"""A group of layers over planes => its kernels."""

from __future__ import annotations

import numpy as np

from joulecut.compiler.graph import (
    Node,
    Value,
    constant_of,
    float_of,
    int_of,
    ints_of,
    name_of,
    op_key,
    shape_of,
)
from joulecut.compiler.layers import Layer
from joulecut.targets.cpu.epilogue import LARGEST_MULTIPLIER, Integers
from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.ending import Ending, Term
from joulecut.targets.cpu.nhwc.forms import (
    Forms,
    read_by_product,
    two,
    window,
)
from joulecut.targets.cpu.nhwc.fusing import Group
from joulecut.targets.cpu.nhwc.joining import joined
from joulecut.targets.cpu.nhwc.kernels import Kernels
from joulecut.targets.cpu.nhwc.moving import copy
from joulecut.targets.cpu.nhwc.plane import Plane
from joulecut.targets.cpu.nhwc.pooling import Pooling, average_pool, max_pool
from joulecut.targets.cpu.nhwc.quantizing import quantized
from joulecut.targets.cpu.operands import constant_input, unsupported
from joulecut.targets.cpu.script import Arg, Array, Step
from joulecut.targets.cpu.weights import Folded, fold_zero_points


def refusal(layer: Layer, kernels: Kernels) -> str:
    """Why the products of a layer cannot be tiled; "" if they can, or if it sums none."""
    node = layer.nodes[0]
    key = op_key(node)
    if key not in ("joulecut.Conv", "joulecut.MatMul"):
        return ""
    weights = constant_of(node.inputs[1])
    if weights is None:
        return "weights are not a constant"
    if key == "joulecut.Conv" and weights.ndim not in (3, 4):
        return "the plane is not one of 1 or 2 axes"
    if key == "joulecut.MatMul" and read_by_product(node) is None:
        return "the product is not of a vector and constant weights"
    if len(layer.nodes) > 1 and shape_of(node.outputs[0]) != shape_of(layer.output):
        return "the sums are broadcast"
    if len(layer.nodes) > 1 and not _scales_are_plain(layer.nodes[1]):
        return "scales do not lie along the channels"
    if len(layer.nodes) > 1 and not _operands_are_alike(layer.nodes[1]):
        return "operands are of several shapes"
    folded = _folded(node, kernels)
    if folded.offsets is not None or folded.weights.dtype != np.int8:
        return "weights with their zero points leave int8"
    if all(f.lowest_weight > int(folded.weights.min()) for f in kernels.families):
        return "a weight is -128"
    return ""


def lower_group(group: Group, forms: Forms, kernels: Kernels) -> tuple[list[Step], int, str]:
    """The steps of a group, the products that it sums, and what the build report says."""
    node, y = group.nodes[0], forms.planes[group.name]
    match op_key(node):
        case "joulecut.Conv" | "joulecut.MatMul":
            work = _convolution(group, forms, kernels)
            step, said = kernels.convolution(work)
            return [step], work.macs, said
        case "joulecut.Quantize":
            (x, *_) = node.inputs
            assert x is not None
            source = Arg("D", name_of(x), shape_of(x), "float32")
            scale = float(float_of(node, "scale"))
            return [quantized(source, y, scale, _integers(node, kernels))], 0, "planes"
        case "MaxPool":
            return [max_pool(_pooling(node, forms, y))], 0, "planes"
        case "joulecut.AveragePool":
            return [_average(node, forms, y, kernels)], 0, "planes"
        case "Concat":
            return _concatenated(node, forms, y), 0, "planes"
        case _:
            operands: list[Plane] = []
            ending = _ending(node, None, forms, kernels, operands)
            return [joined([ending], operands, y)], 0, "planes"


def _convolution(group: Group, forms: Forms, kernels: Kernels) -> Conv:
    node, y = group.nodes[0], forms.planes[group.name]
    folded = _folded(node, kernels)
    pool, endings, operands = (1, 1), list[Ending](), list[Plane]()
    before = node.outputs[0]
    for later in group.nodes[1:]:
        if op_key(later) == "MaxPool":
            pool = two(ints_of(later, "kernel_shape"), 1)
        else:
            endings.append(_ending(later, before, forms, kernels, operands))
        before = later.outputs[0]
    rest = (pool, tuple(endings), tuple(operands))
    if op_key(node) == "joulecut.MatMul":
        source = read_by_product(node)
        assert source is not None
        x = forms.planes[name_of(source)]
        outputs = folded.weights.shape[1]
        weights = folded.weights.T.reshape(outputs, x.channels, x.rows, x.columns)
        return Conv(x, y, weights, folded.bias, (1, 1), (1, 1), (0, 0), 1, *rest)
    (x_value, *_) = node.inputs
    assert x_value is not None
    shape = window(node)
    planar_weights = folded.weights.reshape(*folded.weights.shape[:2], *two(shape.kernel, 1))
    return Conv(
        forms.planes[name_of(x_value)],
        y,
        planar_weights,
        folded.bias,
        two(shape.strides, 1),
        two(shape.dilations, 1),
        two(shape.begins, 0),
        int_of(node, "group", 1),
        *rest,
    )


def _folded(node: Node, kernels: Kernels) -> Folded:
    """Weights and bias for x as planes store it."""
    weights, x = constant_of(node.inputs[1]), node.inputs[0]
    assert weights is not None
    assert x is not None
    shift = kernels.shift_of(_dtype(x))
    bias = constant_input(node, 2)
    if op_key(node) == "joulecut.MatMul":
        zero_points = np.array(ints_of(node, "b_zero_point"), np.int32)
        return fold_zero_points(
            node, weights, zero_points, bias, int_of(node, "a_zero_point") + shift, 1
        )
    zero_points = np.array(ints_of(node, "w_zero_point")).reshape(-1, *[1] * (weights.ndim - 1))
    return fold_zero_points(
        node, weights, zero_points, bias, int_of(node, "x_zero_point") + shift, channel_axis=0
    )


def _dtype(value: Value) -> str:
    assert value.dtype is not None
    return value.dtype.numpy().name


def _integers(node: Node, kernels: Kernels) -> Integers:
    """What the node stores, as planes store it."""
    shift = kernels.shift_of(_dtype(node.outputs[0]))
    return Integers(
        int_of(node, "zero_point") + shift,
        int_of(node, "low") + shift,
        int_of(node, "high") + shift,
        kernels.dtype,
    )


def _ending(
    node: Node, before: Value | None, forms: Forms, kernels: Kernels, operands: list[Plane]
) -> Ending:
    """A Requantize or an Add; what it reads beside `before` is added to `operands`."""
    is_sum = op_key(node) == "joulecut.Add"
    count = len(node.inputs) // 2 if is_sum else 1
    zero_points = ints_of(node, "x_zero_points" if is_sum else "x_zero_point")
    terms: list[Term] = []
    for value, zero_point, factor in zip(
        node.inputs[:count], zero_points, node.inputs[count:], strict=True
    ):
        assert value is not None
        assert factor is not None
        shift = kernels.shift_of(_dtype(value))
        number = None
        if value is not before:
            number = len(operands)
            operands.append(forms.planes[name_of(value)])
        terms.append(Term(number, zero_point + shift, _multiplier(node, factor)))
    return Ending(tuple(terms), _integers(node, kernels))


def _multiplier(node: Node, factor: Value) -> Array:
    array = constant_of(factor)
    if array is None:
        raise unsupported(node, f"multiplier '{factor.name}' must be a constant", "fold it")
    if not bool(np.all(np.abs(array) < LARGEST_MULTIPLIER)):
        raise unsupported(
            node,
            f"multiplier '{factor.name}' must be below {LARGEST_MULTIPLIER:g}, "
            f"not {np.max(np.abs(array)):g}",
            "calibrate the scales again",
        )
    return array.astype(np.float32).reshape(-1)


def _scales_are_plain(node: Node) -> bool:
    rank = len(shape_of(node.outputs[0]))
    arrays = [constant_of(value) for value in node.inputs]
    factors = [a for a in arrays if a is not None and a.dtype == np.float32]
    return all(a.size == 1 for a in factors) or int_of(node, "axis", 1) % rank == 1


def _operands_are_alike(node: Node) -> bool:
    if op_key(node) != "joulecut.Add":
        return True
    values = node.inputs[: len(node.inputs) // 2]
    return all(
        v is not None and constant_of(v) is None and shape_of(v) == shape_of(node.outputs[0])
        for v in values
    )


def _pooling(node: Node, forms: Forms, y: Plane) -> Pooling:
    shape, (x, *_) = window(node), node.inputs
    assert x is not None
    return Pooling(
        forms.planes[name_of(x)],
        y,
        two(shape.kernel, 1),
        two(shape.strides, 1),
        two(shape.dilations, 1),
        two(shape.begins, 0),
    )


def _average(node: Node, forms: Forms, y: Plane, kernels: Kernels) -> Step:
    pool, (x, *_) = _pooling(node, forms, y), node.inputs
    assert x is not None
    include = bool(int_of(node, "count_include_pad", 0))
    counts = window(node).counts(shape_of(x)[2:], include_pad=include).astype(np.float32)
    factors = np.asarray(float_of(node, "x_scale") / (float_of(node, "y_scale") * counts))
    if np.all(factors == factors.flat[0]):
        factors = factors.reshape(-1)[:1]
    zero_point = int_of(node, "x_zero_point") + kernels.shift_of(_dtype(x))
    return average_pool(pool, zero_point, factors, _integers(node, kernels))


def _concatenated(node: Node, forms: Forms, y: Plane) -> list[Step]:
    """Copies of those operands that are not there already."""
    steps: list[Step] = []
    first = 0
    for value in node.inputs:
        assert value is not None
        x, channels = forms.planes[name_of(value)], shape_of(value)[1]
        part = y.slice(first, channels)
        if (x.name, x.first) != (part.name, part.first):
            steps.append(copy(x, part))
        first += channels
    return steps
