"""A small network with every kind of computation of the accelerator, and samples for it."""

from __future__ import annotations

import numpy as np
from cpu_cases import Cases

from joulecut.compiler.graph import Graph, Value, input_specs


def integers(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        spec.name: rng.integers(
            np.iinfo(spec.dtype).min, np.iinfo(spec.dtype).max, spec.shape, spec.dtype, True
        )
        for spec in input_specs(graph)
    }


def residual() -> Graph:
    """A first layer of 3 channels, a residual block, pools, and a product."""
    cases = Cases(5)
    rng = cases.rng

    def conv(x: Value, outputs: int, inputs: int, side: int, name: str = "") -> Value:
        weights = cases.constant(
            rng.integers(-127, 128, (outputs, inputs, side, side)).astype(np.int8)
        )
        bias = cases.constant(rng.integers(-999, 999, outputs).astype(np.int32))
        pad = side // 2
        window = {"strides": [1, 1], "pads": [pad] * 4, "dilations": [1, 1], "group": 1}
        node = cases.node(
            "Conv", [x, weights, bias], {"x_zero_point": 3, "w_zero_point": [0], **window}
        )
        cases.requantize(node, name, dtype="int8", x_zero_point=0)
        return cases.last

    x = cases.input((1, 3, 20, 17), "int8")
    first = conv(x, 40, 3, 3)
    second = conv(conv(first, 40, 40, 3), 40, 40, 1)
    factors = [cases.constant(np.array([f], np.float32)) for f in (0.7, 0.45)]
    added = cases.node(
        "Add",
        [first, second, *factors],
        {
            "axis": 1,
            "x_zero_points": [3, -5],
            "zero_point": 4,
            "low": -128,
            "high": 127,
            "dtype": "int8",
        },
        name="sum",
    )
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    cases.node("MaxPool", [added], window, name="pooled", domain="")
    return cases.graph()
