"""VGG16's convolutions and pools at 224 x 224, with seeded weights: 15.3 billion products."""

from __future__ import annotations

import numpy as np
from cpu_cases import Cases

from joulecut.compiler.graph import Graph, Value

POOL = 0
CHAIN = (
    *(64, 64, POOL),
    *(128, 128, POOL),
    *(256, 256, 256, POOL),
    *(512, 512, 512, POOL),
    *(512, 512, 512),
)  # output channels of each layer: configuration D of Simonyan and Zisserman, 2014
MACS = 15_346_630_656


def vgg16_convs() -> Graph:
    """int8 [1, 3, 224, 224] to [1, 512, 14, 14], every layer's range in use."""
    cases = Cases(16)
    x = cases.input((1, 3, 224, 224), "int8")
    inputs = 3
    for outputs in CHAIN:
        x = _pool(cases, x) if outputs == POOL else _conv(cases, x, inputs, outputs)
        inputs = outputs or inputs
    return cases.graph()


def _conv(cases: Cases, x: Value, inputs: int, outputs: int) -> Value:
    drawn = cases.rng.integers(-127, 128, (outputs, inputs, 3, 3)).astype(np.int8)
    bias = cases.rng.integers(-999, 999, outputs).astype(np.int32)
    window = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1}
    operands = [x, cases.constant(drawn), cases.constant(bias)]
    node = cases.node("Conv", operands, {"x_zero_point": 3, "w_zero_point": [0], **window})
    cases.requantize(node, "", dtype="int8", x_zero_point=0)
    return cases.last


def _pool(cases: Cases, x: Value) -> Value:
    window = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4}
    return cases.node("MaxPool", [x], window, domain="")
