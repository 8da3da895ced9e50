"""Coarser weights for channels whose bias would fill int32, so that the sums fit beside it.

A bias is quantized on the scale of the accumulator, input scale times weight scale. A channel
whose weights are all but zero has a tiny weight scale, hence a huge bias: onnxruntime lets it
reach int32's very end, where adding the products wraps around. Dividing the channel's integers
by a power of two, and multiplying its scales by it, costs weights that hardly count anyway:
beside a bias of 2^29 the products of a thousand int8 weights are worth 6 % at most.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

MAX_BIAS = 2**29

_WEIGHTED = ("Conv", "Gemm")


def make_room(model: onnx.ModelProto) -> int:
    """Rescale, in place, every channel whose int32 bias is above `MAX_BIAS`.

    Args:
        model: QDQ; weights int8 symmetric, one scale a channel; bias int32.

    Returns:
        The number of channels that changed.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    return sum(
        _rescale(makers[node.input[1]], makers[node.input[2]], constants)
        for node in model.graph.node
        if node.op_type in _WEIGHTED and len(node.input) == 3
        if all(
            name in makers and makers[name].op_type == "DequantizeLinear"
            for name in node.input[1:]
        )
    )


def _rescale(
    weight_node: onnx.NodeProto,
    bias_node: onnx.NodeProto,
    constants: Mapping[str, onnx.TensorProto],
) -> int:
    names = [*weight_node.input[:2], *bias_node.input[:2]]
    if any(name not in constants for name in names):
        return 0
    weight, weight_scale, bias, bias_scale = (
        numpy_helper.to_array(constants[name]) for name in names
    )
    if bias.dtype != np.int32 or weight_scale.shape != bias.shape:
        return 0
    # |bias| / 2^shift <= MAX_BIAS; 64 bits, since -2^31 has no absolute value in int32.
    excess = np.abs(bias.astype(np.int64)) / MAX_BIAS
    factor = 2.0 ** np.ceil(np.log2(np.maximum(excess, 1)))
    changed = int((factor > 1).sum())
    if changed:
        axis = next((item.i for item in weight_node.attribute if item.name == "axis"), 1)
        along = np.expand_dims(factor, [dim for dim in range(weight.ndim) if dim != axis])
        _replace(constants[names[0]], np.rint(weight / along).astype(weight.dtype))
        _replace(constants[names[1]], (weight_scale * factor).astype(np.float32))
        _replace(constants[names[2]], np.rint(bias / factor).astype(np.int32))
        _replace(constants[names[3]], (bias_scale * factor).astype(np.float32))
    return changed


def _replace(tensor: onnx.TensorProto, value: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
