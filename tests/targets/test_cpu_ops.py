"""Every operator of docs/spec.md, at sizes around the vector width, equals the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cpu_cases import Cases, samples
from cpu_parts import Builder, assert_equal, require_tools, run_here, run_program

from joulecut.targets.base import target


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("ops"))


def check(cases: Cases, builder: Builder) -> None:
    graph = cases.graph()
    built = builder(graph, target("x86_64"))
    for i, feeds in enumerate(samples(graph, 2)):
        assert_equal(graph, feeds, run_here(built, feeds, shift=4 * i))


@dataclass(frozen=True)
class ConvCase:
    channels: int = 3
    outputs: int = 8
    size: tuple[int, ...] = (5, 6)
    kernel: tuple[int, ...] = (3, 3)
    strides: tuple[int, ...] = (1, 1)
    pads: tuple[int, ...] = (1, 1, 1, 1)
    dilations: tuple[int, ...] = (1, 1)
    group: int = 1
    x: str = "uint8"
    w: str = "int8"
    w_zero: str = "none"
    bias: bool = True
    requantize: bool = True


def conv_cases() -> Iterator[ConvCase]:
    for outputs in (1, 4, 7, 15, 16, 17, 24):
        yield ConvCase(outputs=outputs)
    for width in (1, 5):  # rows of pixels around the tile
        yield ConvCase(outputs=16, size=(3, width))
    for width in (3, 15, 17, 33):  # lanes are pixels where channels are few
        yield ConvCase(outputs=2, size=(4, width), x="int8")
    yield ConvCase(channels=5, outputs=16, size=(7, 7), kernel=(1, 1), pads=(0,) * 4)
    yield ConvCase(outputs=6, size=(9, 11), strides=(2, 3), pads=(0, 2, 1, 0))
    yield ConvCase(outputs=2, size=(9, 40), strides=(1, 2), pads=(0, 0, 0, 0))
    yield ConvCase(outputs=5, size=(9, 9), dilations=(2, 3), pads=(2, 3, 2, 3))
    yield ConvCase(channels=6, outputs=6, size=(5, 18), group=6)
    yield ConvCase(channels=4, outputs=12, size=(5, 5), group=4, strides=(2, 2))
    yield ConvCase(channels=8, outputs=34, size=(4, 4), group=2, x="int8")
    yield ConvCase(outputs=9, w="uint8", w_zero="middle", x="int8")
    yield ConvCase(outputs=9, w="uint8", w_zero="middle", bias=False)
    yield ConvCase(outputs=9, w="int8", w_zero="far")  # leaves 8 bits: subtracted in the kernel
    yield ConvCase(outputs=1, size=(3, 20), w="int8", w_zero="far")
    yield ConvCase(outputs=16, w="uint8", w_zero="none")
    yield ConvCase(outputs=5, requantize=False)
    yield ConvCase(2, 16, (20,), (7,), (1,), (3, 3), (1,))
    yield ConvCase(2, 3, (33,), (3,), (2,), (0, 1), (2,), x="int8")


def add_conv(cases: Cases, case: ConvCase, name: str) -> None:
    x = cases.input((1, case.channels, *case.size), case.x)
    limits = np.iinfo(case.w)
    shape = (case.outputs, case.channels // case.group, *case.kernel)
    weights = cases.rng.integers(limits.min, limits.max, shape, endpoint=True)
    weights.flat[:2] = limits.min, limits.max
    zero_points = {
        "none": [0],
        "middle": cases.rng.integers(120, 128, case.outputs),
        "far": cases.rng.integers(-90, 90, case.outputs),
    }[case.w_zero]
    constants = [cases.constant(weights.astype(case.w))]
    if case.bias:
        bias = cases.rng.integers(-9999, 9999, case.outputs)
        constants.append(cases.constant(bias.astype(np.int32)))
    attributes = {
        "x_zero_point": int(cases.rng.integers(-100, 100)) % (1 + np.iinfo(case.x).max),
        "w_zero_point": [int(z) for z in zero_points],
        "strides": case.strides,
        "pads": case.pads,
        "dilations": case.dilations,
        "group": case.group,
    }
    if not case.requantize:
        cases.node("Conv", [x, *constants], attributes, name=name)
        return
    accumulator = cases.node("Conv", [x, *constants], attributes)
    cases.requantize(accumulator, name, dtype=str(cases.rng.choice(["int8", "uint8"])))


def test_convolutions(builder: Builder) -> None:
    cases = Cases(1)
    for i, case in enumerate(conv_cases()):
        add_conv(cases, case, f"conv{i}")
    check(cases, builder)


def test_matrix_products_with_constants(builder: Builder) -> None:
    cases = Cases(2)
    shapes: list[tuple[tuple[int, ...], int, int]] = [
        ((1,), 5, 1),
        ((1,), 7, 63),
        ((1,), 64, 65),
        ((3,), 1, 16),
        ((4,), 9, 17),
        ((5,), 6, 33),
        ((2, 3), 8, 7),
        ((), 6, 10),
        ((1,), 300, 10),
    ]
    for i, (rows, depth, columns) in enumerate(shapes):
        a = cases.input((*rows, depth), "uint8" if i % 2 else "int8")
        b = cases.constant(cases.rng.integers(-128, 128, (depth, columns)).astype(np.int8))
        bias = cases.constant(cases.rng.integers(-999, 999, columns).astype(np.int32))
        zero_points = [int(z) for z in cases.rng.integers(-20, 20, columns)] if i > 5 else [0]
        attributes = {"a_zero_point": 17, "b_zero_point": zero_points}
        product = cases.node("MatMul", [a, b, *([bias] if i % 3 else [])], attributes)
        cases.requantize(product, f"product{i}", axis=len(rows))
    check(cases, builder)


def test_matrix_products_of_two_activations(builder: Builder) -> None:
    cases = Cases(3)
    shapes = [
        ((1, 4, 5), (1, 5, 6)),
        ((1, 3, 2, 7), (1, 1, 7, 17)),
        ((1, 1, 2, 7), (1, 3, 7, 3)),
        ((4, 3), (3, 9)),
    ]
    for i, (left, right) in enumerate(shapes):
        a, b = cases.input(left, "uint8"), cases.input(right, "int8")
        attributes = {"a_zero_point": 100, "b_zero_point": [-3 * (i % 2)]}
        product = cases.node("MatMul", [a, b], attributes, name=f"sum{i}" if i == 3 else "")
        if i < 3:
            cases.requantize(product, f"product{i}", axis=-1)
    check(cases, builder)


def add_node(
    cases: Cases, operands: list[tuple[tuple[int, ...], str]], name: str, *, channels: int = 1
) -> None:
    """An Add of inputs; the first has a multiplier per channel of axis 1."""
    inputs = [cases.input(shape, dtype) for shape, dtype in operands]
    multipliers = [
        cases.constant(
            (cases.rng.uniform(0.1, 0.9, channels if i == 0 else 1)).astype(np.float32)
            * np.float32(1e-4 if dtype == "int32" else 1)
        )
        for i, (_, dtype) in enumerate(operands)
    ]
    attributes = {
        "axis": 1,
        "x_zero_points": [int(z) for z in cases.rng.integers(-9, 9, len(inputs))],
        "zero_point": -7,
        "low": -128,
        "high": 120,
        "dtype": "int8",
    }
    cases.node("Add", [*inputs, *multipliers], attributes, name=name)


def test_sums_and_scalings(builder: Builder) -> None:
    cases = Cases(4)
    plane = (1, 5, 3, 7)
    add_node(cases, [(plane, "int8"), (plane, "uint8")], "two")
    add_node(cases, [(plane, "int8"), (plane, "uint8"), (plane, "int32")], "three", channels=5)
    add_node(cases, [(plane, "int8"), ((1, 5, 1, 1), "int8")], "per_channel", channels=5)
    add_node(cases, [((1, 5, 1, 1), "int8"), (plane, "int8")], "grown", channels=5)
    add_node(cases, [((1, 5, 3, 1), "int8"), ((7,), "uint8")], "outer")
    add_node(cases, [((1, 37), "int8")], "one")
    for i, (shape, axis) in enumerate([((1, 33), 1), ((1, 4, 2), 1), ((1, 2, 3, 4), 3)]):
        cases.requantize(cases.input(shape, "uint8"), f"scaled{i}", axis=axis, dtype="uint8")
    constant = cases.constant(cases.rng.integers(-99, 99, (1, 4)).astype(np.int8))
    halves = [cases.constant(np.array([m], np.float32)) for m in (0.5, 0.25)]  # many ties
    attributes = {
        "x_zero_points": [0, 3],
        "zero_point": 0,
        "low": -9,
        "high": 99,
        "dtype": "int8",
    }
    x = cases.input((1, 4), "int8")
    cases.node("Add", [x, constant, *halves], attributes, name="constant")
    check(cases, builder)


def test_accumulators_inside_sums(builder: Builder) -> None:
    """An accumulator is added where it is made, wherever among the operands it stands."""
    cases = Cases(5)
    for i, (kernel, pads, size) in enumerate([((3, 3), 1, 6), ((1, 1), 0, 6), ((1, 1), 0, 1)]):
        x = cases.input((1, 4, size, size), "uint8")
        w = cases.constant(cases.rng.integers(-127, 128, (16, 4, *kernel)).astype(np.int8))
        window = {"strides": [1, 1], "pads": [pads] * 4, "dilations": [1, 1], "group": 1}
        acc = cases.node("Conv", [x, w], {"x_zero_point": 3, "w_zero_point": [0], **window})
        other = cases.input((1, 16, 6, 6), "int8")
        factors = [
            cases.constant(cases.rng.uniform(0.4, 0.9, 1).astype(np.float32)),
            cases.constant(cases.rng.uniform(1e-4, 3e-3, 16).astype(np.float32)),
        ]
        attributes = {
            "x_zero_points": [5, 0],
            "axis": 1,
            "zero_point": 9,
            "low": 0,
            "high": 255,
        }
        cases.node(
            "Add", [other, acc, *factors], {**attributes, "dtype": "uint8"}, name=f"j{i}"
        )
    a, b = cases.input((1, 3, 4, 5), "int8"), cases.input((1, 3, 1, 1), "uint8")
    gate = cases.node("Mul", [a, b], {"a_zero_point": -4, "b_zero_point": 130})
    cases.requantize(gate, "gate")
    c, d = cases.input((1, 9), "int8"), cases.input((1, 9), "uint8")
    cases.node("Mul", [c, d], {"a_zero_point": 1, "b_zero_point": 2}, name="products")
    check(cases, builder)


def pool(
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    *,
    ceil: bool = False,
    dilations: tuple[int, ...] | None = None,
) -> dict[str, int | tuple[int, ...]]:
    plain: dict[str, int | tuple[int, ...]] = {
        "kernel_shape": kernel,
        "strides": strides,
        "pads": pads,
        "ceil_mode": int(ceil),
    }
    return plain | ({} if dilations is None else {"dilations": dilations})


POOLS = [
    ((1, 3, 8, 9), pool((2, 2), (2, 2), (0, 0, 0, 0))),
    ((1, 2, 7, 35), pool((3, 3), (1, 1), (1, 1, 1, 1))),
    ((1, 2, 7, 7), pool((3, 2), (2, 3), (1, 0, 0, 1), ceil=True)),
    ((1, 2, 5, 5), pool((5, 5), (1, 1), (0, 0, 0, 0))),
    ((1, 4, 11), pool((3,), (2,), (1, 1), ceil=True)),
]


def test_poolings(builder: Builder) -> None:
    cases = Cases(6)
    for i, (shape, attributes) in enumerate(POOLS):
        dtype = "uint8" if i % 2 else "int8"
        cases.node(
            "MaxPool", [cases.input(shape, dtype)], attributes, name=f"max{i}", domain=""
        )
        for include in (0, 1):
            scales = {"x_zero_point": 11, "x_scale": 0.37, "y_scale": 0.21, "zero_point": -3}
            integers = {"low": -120, "high": 127, "dtype": "int8", "count_include_pad": include}
            x = cases.input(shape, dtype)
            everything = {**attributes, **scales, **integers}
            cases.node("AveragePool", [x], everything, name=f"mean{i}{include}")
    dilated = pool((2, 3), (1, 1), (1, 2, 1, 2), dilations=(2, 3))
    cases.node("MaxPool", [cases.input((1, 2, 9, 9))], dilated, name="dilated", domain="")
    wide = cases.input((1, 2, 9, 9), "float32")
    cases.node("MaxPool", [wide], POOLS[1][1], name="floats", domain="")
    check(cases, builder)


def test_moving(builder: Builder) -> None:
    cases = Cases(7)

    def indices(*numbers: int):
        return cases.constant(np.array(numbers, np.int64))

    def move(
        op_type: str, inputs: list[object], name: str, shape: tuple[int, ...] = (), **at: object
    ):
        return cases.node(op_type, inputs, at, name=name, domain="", shape=shape)  # pyright: ignore[reportArgumentType]

    x = cases.input((1, 3, 5, 66))
    for i, perm in enumerate([(0, 2, 1, 3), (0, 3, 2, 1), (0, 1, 3, 2)]):
        move("Transpose", [x], f"transpose{i}", perm=perm)
    move("Slice", [x, indices(1, -9), indices(3, 99), indices(1, 3)], "range")
    move("Slice", [x, indices(-1), indices(-99), indices(2), indices(-2)], "backwards")
    move("Slice", [x, indices(2), indices(60), indices(3), indices(5)], "stride")
    seven = cases.constant(np.array(7, np.int8))
    move("Pad", [x, indices(0, 1, 2, 3, 0, 0, 1, 4), seven], "pad")
    move("Pad", [x, indices(0, 0, -1, -2, 0, 1, 0, -3), seven], "crop")
    move("Pad", [x, indices(1, 2), None, indices(-1)], "axes")
    y, z = cases.input((1, 2, 5, 66)), cases.constant(np.ones((1, 1, 5, 66), np.int8))
    move("Concat", [x, y, z], "concat", axis=1)
    move("Concat", [x, x], "rows", axis=-1)
    move("Reshape", [x, indices(1, -1)], "flat", shape=(1, 990))
    inner = move("Reshape", [x, indices(1, 15, 66)], "", shape=(1, 15, 66))
    move("Transpose", [inner], "after", perm=(0, 2, 1))
    move("Identity", [move("Identity", [x], "first")], "second")
    move("Flatten", [y], "flatten", shape=(1, 660))
    check(cases, builder)


def test_floats(builder: Builder) -> None:
    cases = Cases(8)
    x, y = cases.input((1, 3, 4, 5), "float32"), cases.input((3, 1, 1), "float32")
    for op_type in ("Add", "Sub", "Mul", "Div"):
        cases.node(op_type, [x, y], {}, name=f"float{op_type}", domain="")
    half = cases.constant(np.array([0.5], np.float32))
    one = cases.constant(np.array(1.5, np.float32))
    cases.node("Relu", [x], {}, name="relu", domain="")
    cases.node("Clip", [x, half, one], {}, name="clip", domain="")
    cases.node("Clip", [x, None, one], {}, name="below", domain="")
    ties = {"scale": 0.25, "zero_point": 3, "low": -128, "high": 100, "dtype": "int8"}
    eighths = cases.node("Mul", [cases.input((1, 77), "float32"), half], {}, domain="")
    cases.node("Quantize", [eighths], ties, name="quantize")
    cases.node(
        "Quantize", [x], {**ties, "scale": 0.3, "low": 0, "dtype": "uint8"}, name="third"
    )
    for i, dtype in enumerate(("int8", "uint8", "int32")):
        scale = cases.constant(cases.rng.uniform(0.1, 1, 3 if i else 1).astype(np.float32))
        q = cases.input((1, 3, 9), dtype)
        cases.node("Dequantize", [q, scale], {"axis": 1, "zero_point": i}, name=f"real{i}")
    check(cases, builder)


@pytest.mark.tool
@pytest.mark.parametrize("name", ["aarch64", "armv7", "riscv64"])
def test_corners_on_other_architectures(name: str, builder: Builder, tmp_path: Path) -> None:
    place = target(name)
    require_tools(place)
    cases = Cases(9)
    for i, case in enumerate(list(conv_cases())[2::7]):
        add_conv(cases, case, f"conv{i}")
    add_node(cases, [((1, 5, 3, 7), "int8"), ((1, 5, 3, 7), "uint8")], "two", channels=5)
    x = cases.input((1, 67), "float32")
    target8 = {"scale": 0.3, "zero_point": 3, "low": -128, "high": 100, "dtype": "int8"}
    cases.node("Quantize", [x], target8, name="quantize")
    cases.node("MaxPool", [cases.input(POOLS[1][0])], POOLS[1][1], name="max", domain="")
    tiny = cases.input((1, 9), "int8")  # products below 2**-126: NEON would flush them
    scale = cases.constant(np.array([1e-40], np.float32))
    cases.node("Dequantize", [tiny, scale], {"axis": 1, "zero_point": 0}, name="subnormal")
    graph = cases.graph()
    feeds = samples(graph, 2)
    found = run_program(builder(graph, place), place, feeds, tmp_path)
    for feed, each in zip(feeds, found, strict=True):
        assert_equal(graph, feed, each)
