"""Prints how often onnxruntime's joins and averages differ from docs/spec.md, and by how much.

Convolution, products, quantizers and MaxPool are equal, which tests assert. Joins and averages
are not defined by ONNX to the last bit: fused kernels and float graphs each round elsewhere.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

import numpy as np
import onnx_ir as ir

from joulecut.compiler import onnxrt, reference

ROUNDS, ELEMENTS = 200, 25_600
Scales = tuple[np.float32, ...]
Engine = Callable[[list[np.ndarray], Scales, np.ndarray], np.ndarray]
Attributes = Mapping[str, int | float | Sequence[int]]


def node(
    op_type: str,
    inputs: Sequence[ir.Value | np.ndarray],
    attributes: Attributes | None = None,
    domain: str = "",
) -> ir.Node:
    """A node whose arrays become constants."""
    values = [
        item
        if isinstance(item, ir.Value)
        else ir.val(f"c{id(item)}", const_value=ir.tensor(item, name=f"c{id(item)}"))
        for item in inputs
    ]
    return ir.node(op_type, values, attributes or {}, domain=domain, num_outputs=1)


def theirs(nodes: Sequence[ir.Node], xs: Sequence[ir.Value], arrays: list[np.ndarray]):
    """Onnxruntime's result of the last node, unoptimized."""
    output = nodes[-1].outputs[0]
    output.name, output.dtype = "y", ir.DataType.from_numpy(arrays[0].dtype)
    constants = {
        value.name: value
        for one in nodes
        for value in one.inputs
        if value and value.const_value
    }
    graph = ir.Graph(
        xs,
        [output],
        nodes=nodes,
        initializers=list(constants.values()),
        opset_imports={"": 20, "com.microsoft": 1},
        name="measured",
    )
    model = ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString()
    feeds = {str(x.name): array for x, array in zip(xs, arrays, strict=True)}
    return onnxrt.run(model, feeds)[0]


def inputs_of(arrays: list[np.ndarray]) -> list[ir.Value]:
    """A graph input for each array."""
    return [
        ir.val(f"x{i}", ir.DataType.from_numpy(array.dtype), array.shape)
        for i, array in enumerate(arrays)
    ]


def range_of(dtype: np.dtype, zero_point: np.ndarray) -> dict[str, int]:
    """Attributes of an operator of ours that uses the whole range of the type."""
    info, number = np.iinfo(dtype), ir.DataType.from_numpy(dtype).value
    bounds = {"low": int(info.min), "high": int(info.max)}
    return {"zero_point": int(zero_point), "dtype": number, **bounds}


def our_add(arrays: list[np.ndarray], scales: Scales, zeros: np.ndarray) -> np.ndarray:
    """docs/spec.md."""
    multipliers = [np.array([scale / scales[2]]) for scale in scales[:2]]
    attributes = {"x_zero_points": zeros[:2].tolist(), **range_of(arrays[0].dtype, zeros[2])}
    inputs = [*arrays, *multipliers]
    return reference.evaluate(node("Add", inputs, attributes, "joulecut"), inputs)


def fused_add(arrays: list[np.ndarray], scales: Scales, zeros: np.ndarray) -> np.ndarray:
    """com.microsoft.QLinearAdd."""
    a, b = inputs_of(arrays)
    scale, zero = [np.array(s) for s in scales], [np.array(z) for z in zeros]
    inputs = [a, scale[0], zero[0], b, scale[1], zero[1], scale[2], zero[2]]
    return theirs([node("QLinearAdd", inputs, {}, "com.microsoft")], [a, b], arrays)


def float_add(arrays: list[np.ndarray], scales: Scales, zeros: np.ndarray) -> np.ndarray:
    """DequantizeLinear twice, Add, QuantizeLinear."""
    xs = inputs_of(arrays)
    reals = [
        node("DequantizeLinear", [x, np.array(scale), np.array(zero)])
        for x, scale, zero in zip(xs, scales[:2], zeros[:2], strict=True)
    ]
    total = node("Add", [real.outputs[0] for real in reals])
    last = node("QuantizeLinear", [total.outputs[0], np.array(scales[2]), np.array(zeros[2])])
    return theirs([*reals, total, last], xs, arrays)


def average_pool(side: int) -> tuple[Engine, Engine, Engine]:
    """Ours, QLinearAveragePool, and AveragePool between dequantizer and quantizer."""
    window = {"kernel_shape": [side, side], "strides": [1, 1]}

    def ours(arrays: list[np.ndarray], scales: Scales, zeros: np.ndarray) -> np.ndarray:
        reals = {"x_scale": float(scales[0]), "y_scale": float(scales[2])}
        meaning = {"x_zero_point": int(zeros[0]), **range_of(arrays[0].dtype, zeros[2])}
        attributes = {**window, **reals, **meaning}
        inputs = arrays[:1]
        return reference.evaluate(node("AveragePool", inputs, attributes, "joulecut"), inputs)

    def fused(arrays: list[np.ndarray], scales: Scales, zeros: np.ndarray) -> np.ndarray:
        xs = inputs_of(arrays[:1])
        numbers = [scales[0], zeros[0], scales[2], zeros[2]]
        inputs = [*xs, *(np.array(number) for number in numbers)]
        nodes = [node("QLinearAveragePool", inputs, window, "com.microsoft")]
        return theirs(nodes, xs, arrays[:1])

    def unfused(arrays: list[np.ndarray], scales: Scales, zeros: np.ndarray) -> np.ndarray:
        xs = inputs_of(arrays[:1])
        real = node("DequantizeLinear", [*xs, np.array(scales[0]), np.array(zeros[0])])
        mean = node("AveragePool", real.outputs, window)
        inputs = [*mean.outputs, np.array(scales[2]), np.array(zeros[2])]
        return theirs([real, mean, node("QuantizeLinear", inputs)], xs, arrays[:1])

    return ours, fused, unfused


def draw_scales(rng: np.random.Generator, kind: str) -> Scales:
    """Scales of a, b and y: at random, all the same, or powers of two."""
    if kind == "same":
        return (np.float32(rng.uniform(0.005, 0.1)),) * 3
    if kind == "powers of 2":
        return tuple(np.float32(2.0**k) for k in rng.integers(-7, -3, 3))
    a, b = rng.uniform(0.005, 0.1, 2)
    return np.float32(a), np.float32(b), np.float32((a + b) * rng.uniform(0.4, 1.2))


def measure(name: str, ours: Engine, other: Engine, kind: str) -> None:
    """Print one row of the table."""
    rng = np.random.default_rng(1)
    different = count = largest = 0
    for turn in range(ROUNDS):
        info = np.iinfo(np.int8 if turn % 2 else np.uint8)
        shape = (1, 1, 160, ELEMENTS // 160)
        drawn = rng.integers(info.min, info.max + 1, (2, *shape)).astype(info.dtype)
        zeros = rng.integers(info.min, info.max + 1, 3).astype(info.dtype)
        arrays, scales = list(drawn), draw_scales(rng, kind)
        left, right = ours(arrays, scales, zeros), other(arrays, scales, zeros)
        apart = np.abs(left.astype(int) - right.astype(int))
        different, count = different + np.count_nonzero(apart), count + apart.size
        largest = max(largest, int(apart.max()))
    fraction = different / count
    print(f"| {name} | {kind} | {count:,} | {different:,} | {fraction:.1e} | {largest} |")


def main() -> None:
    """Print the whole table."""
    engine = f"onnxruntime {version('onnxruntime')}"
    print(f"{engine}, numpy {np.__version__}, {platform.machine()}, unoptimized graphs")
    print("| compared with | scales | results | different | fraction | largest |")
    print("|---|---|---|---|---|---|")
    for kind in ("at random", "same", "powers of 2"):
        measure("QLinearAdd", our_add, fused_add, kind)
        measure("Dequantize, Add, Quantize", our_add, float_add, kind)
        for side in (2, 3):
            ours, fused, unfused = average_pool(side)
            measure(f"QLinearAveragePool {side}x{side}", ours, fused, kind)
            measure(f"Dequantize, AveragePool {side}x{side}, Quantize", ours, unfused, kind)


if __name__ == "__main__":
    main()
