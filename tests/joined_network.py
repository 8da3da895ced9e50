"""A quantized network with everything that a change of layout meets, made without torch.

Uneven pads, strides, max pools, a residual sum, a concatenation, a depthwise convolution, averages
over a window and over all pixels, a Flatten of one pixel or of several, and outputs of four
dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from joulecut.compiler.ptq import quantize_static_qdq

SHAPE = (1, 3, 12, 10)
ENDS = ("one pixel", "pixels", "image", "swapped")


class _Float:
    """A float graph under construction, with seeded weights."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        made: Any = helper.make_node(kind, list(inputs), [name], name, **attributes)
        self.nodes.append(made)
        return name

    def weight(self, *shape: int) -> str:
        name = f"w{len(self.constants)}"
        array = self.rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        self.constants.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def conv(self, x: str, shape: tuple[int, ...], **attributes: Any) -> str:
        operands = [x, self.weight(*shape), self.weight(shape[0])]
        return self.node("Relu", [self.node("Conv", operands, **attributes)])


def float_model(end: str, seed: int = 0) -> onnx.ModelProto:
    """The network in float32, with one of `ENDS`."""
    b = _Float(seed)
    x = b.conv("x", (8, 3, 4, 3), pads=[1, 0, 2, 2])
    x = b.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    y = b.conv(x, (8, 8, 3, 3), pads=[1] * 4)
    x = b.node("Relu", [b.node("Add", [x, y])])
    left = b.conv(x, (6, 8, 1, 1))
    right = b.conv(x, (10, 8, 3, 3), pads=[1] * 4)
    x = b.node("Concat", [left, right], axis=1)
    x = b.conv(x, (16, 1, 3, 3), group=16, pads=[0, 0, 1, 1], strides=[2, 2])
    if end == "swapped":  # an operator for which there is no rule
        x = b.node("Transpose", [x], perm=[0, 1, 3, 2])
    if end in ("image", "swapped"):
        x = b.conv(x, (7, 16, 1, 1))
    else:
        if end == "pixels":
            x = b.node("AveragePool", [x], kernel_shape=[1, 2], strides=[1, 1])
            features = 16 * 3 * 1
        else:
            x = b.node("GlobalAveragePool", [x])
            features = 16
        x = b.node("Flatten", [x], axis=1)
        x = b.node("Gemm", [x, b.weight(9, features), b.weight(9)], transB=1)
    graph = helper.make_graph(
        b.nodes,
        "joined",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, None)],
        b.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def qdq_model(folder: Path, end: str, seed: int = 0) -> onnx.ModelProto:
    """The network quantized after training, with float ends."""
    path = folder / "float.onnx"
    path.write_bytes(float_model(end, seed).SerializeToString())
    rng = np.random.default_rng(seed)
    feeds = [{"x": rng.normal(size=SHAPE).astype(np.float32)} for _ in range(8)]
    quantized = quantize_static_qdq(path, folder / "qdq.onnx", feeds)
    return onnx.ModelProto.FromString(quantized.read_bytes())
