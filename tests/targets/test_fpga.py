"""Integer graphs on the accelerator: every stored value equals the reference, in models and RTL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from accelerator_graphs import narrowed
from cpu_cases import Cases, samples
from integer_graphs import NETWORKS
from random_layers import OPERATORS, layers_of
from residual_network import integers, residual
from rtl_design import require
from vgg16 import MACS, vgg16_convs

from joulecut.compiler.cut import cuts
from joulecut.compiler.errors import ConfigError, UnsupportedError
from joulecut.compiler.graph import Graph, Value, nodes, op_key
from joulecut.compiler.plan import partition
from joulecut.compiler.reference import trace
from joulecut.hw.config import CONFIGS, Z7020, ZU
from joulecut.hw.descriptors import Compute, Load, Store, pack, unpack
from joulecut.targets.fpga.lower import program_of
from joulecut.targets.fpga.program import Machine, ModelMachine, Program, RtlMachine

# So small that most layers need many tiles.
SMALL = replace(
    Z7020,
    name="small",
    activation_words=512,
    weight_words=1100,
    output_words=128,
    parameter_words=64,
)
REFUSED = ("quantize", "concat", "add")  # floats, planes cut in two, three addends
ACCELERATED = [name for name in OPERATORS if name not in REFUSED]


def check(
    graph: Graph, program: Program, machine: Machine, feeds: Mapping[str, np.ndarray]
) -> int:
    """Compares every stored value and returns how many integers there were."""
    expected = trace(graph, feeds)
    found = machine.run(program, feeds)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
        assert array.dtype == expected[name].dtype
    return sum(array.size for array in found.values())


@pytest.mark.parametrize("operator", ACCELERATED)
def test_random_layers(operator: str) -> None:
    done = 0
    for graph in layers_of(operator, 60_000, seed=7):
        program = program_of(narrowed(graph), Z7020)
        done += check(graph, program, ModelMachine(), samples(graph, 1)[0])
    assert done >= 60_000


def test_many_tiles_on_the_rtl() -> None:
    require("verilator")
    machine, done = RtlMachine(SMALL), 0
    for operator in ("conv", "conv_1d", "depthwise", "max_pool", "average_pool"):
        (graph, *_) = layers_of(operator, 1, seed=11)
        try:
            program = program_of(narrowed(graph), SMALL)
        except UnsupportedError:
            continue  # a row does not fit
        done += check(graph, program, machine, samples(graph, 1)[0])
        assert machine.counts == program.counts()
    assert done > 10_000


@pytest.fixture(scope="module")
def middle() -> Graph:
    """The digit network between its Quantize and its last product: all of it is integers."""
    found = [cut for cut in cuts(NETWORKS["digits"]()) if cut.edge_macs]
    return partition(NETWORKS["digits"](), found[-1]).edge.graph


def test_a_float_input_stays_with_the_processor(middle: Graph) -> None:
    with pytest.raises(UnsupportedError, match="accelerator 'z7020' must run all of the part"):
        program_of(middle, Z7020)


@pytest.mark.parametrize("name", ["z7020", "z7020-wide"])
def test_a_residual_network_on_the_rtl(name: str) -> None:
    require("verilator")
    graph, config = residual(), CONFIGS[name]
    program = program_of(graph, config)
    kinds = {type(descriptor) for descriptor in program.descriptors}
    assert kinds == {Load, Compute, Store}
    assert any(isinstance(d, Compute) and d.is_packed for d in program.descriptors)
    machine = RtlMachine(config)
    assert check(graph, program, machine, integers(graph)) > 20_000
    assert machine.counts == program.counts()
    check(graph, program, RtlMachine(config, seed=3), integers(graph, 1))


@pytest.mark.slow
@pytest.mark.tool
@pytest.mark.timeout(7200)
def test_vgg16_on_the_rtl() -> None:
    """62 million cycles; every stored value and every counter."""
    require("verilator")
    graph = vgg16_convs()
    program = program_of(graph, Z7020)
    assert program.macs == MACS
    machine = RtlMachine(Z7020)
    assert check(graph, program, machine, integers(graph)) > 13_000_000
    assert machine.counts == program.counts()
    assert 0.9 < MACS / (machine.counts.cycles * Z7020.macs_per_cycle) < 1


def joined(channels: tuple[int, ...]) -> Graph:
    """Products of one input side by side, and a product that reads them all."""
    cases = Cases(3)
    x = cases.input((1, 9, 7, 6), "int8")
    window = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}

    def conv(source: Value, inputs: int, outputs: int, name: str = "") -> Value:
        drawn = cases.rng.integers(-127, 128, (outputs, inputs, 1, 1)).astype(np.int8)
        attributes = {"x_zero_point": 1, "w_zero_point": [0], **window}
        node = cases.node("Conv", [source, cases.constant(drawn)], attributes)
        cases.requantize(node, name, dtype="int8", x_zero_point=0)
        return cases.last

    parts = [conv(x, 9, count) for count in channels]
    whole = cases.node("Concat", parts, {"axis": 1}, domain="", name="whole")
    conv(whole, sum(channels), 5, "y")
    return cases.graph()


def test_joining_whole_planes_costs_nothing() -> None:
    graph = joined((8, 24, 3))
    program = program_of(graph, Z7020)
    check(graph, program, ModelMachine(), integers(graph))
    assert {value.name for value in program.layers} - set(program.labels) == {"whole"}
    with pytest.raises(UnsupportedError, match="must be multiples of 8 but for the last"):
        program_of(joined((8, 12, 8)), Z7020)


def test_waits_are_for_what_comes_earlier() -> None:
    program = program_of(residual(), SMALL)
    ended = {"load": 0, "compute": 0, "store": 0}
    for descriptor in program.descriptors:
        waits = descriptor.waits
        assert waits.load <= ended["load"]
        assert waits.compute <= ended["compute"]
        assert waits.store <= ended["store"]
        ended[descriptor.kind] += 1


def test_all_refusals_come_at_once() -> None:
    cases = Cases(0)
    x = cases.input((1, 4, 6, 6), "int8")
    weights = cases.constant(np.full((8, 4, 1, 1), -128, np.int8))
    window = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    node = cases.node("Conv", [x, weights], {"x_zero_point": 0, "w_zero_point": [0], **window})
    cases.requantize(node, "y", dtype="int8", x_zero_point=0)
    graph = cases.graph()
    with pytest.raises(UnsupportedError) as raised:
        program_of(graph, Z7020)
    assert "weights must be -127..127, not -128" in str(raised.value)
    assert len(raised.value.findings) >= 1


def product(
    channels: int, outputs: int, size: tuple[int, ...], kernel: tuple[int, ...], **window: int
) -> Graph:
    """A convolution alone; fields of the window are the same on all axes."""
    cases = Cases(4)
    attributes = {name: [value] * len(kernel) for name, value in window.items()}
    x = cases.input((1, channels, *size), "int8")
    weights = cases.constant(np.ones((outputs, channels, *kernel), np.int8))
    zero_points = {"x_zero_point": 1, "w_zero_point": [0]}
    node = cases.node("Conv", [x, weights], {**zero_points, **attributes})
    cases.requantize(node, "y", dtype="int8", x_zero_point=0)
    return cases.graph()


def test_more_weights_than_a_field_counts_beats() -> None:
    program = program_of(product(2048, 64, (3, 3), (3, 3)), ZU)
    beats = [d.beats for d in program.descriptors if isinstance(d, Load)]
    assert max(beats) > 1 << 16
    assert tuple(unpack(pack(program.descriptors))) == program.descriptors


@pytest.mark.parametrize(
    ("kernel", "window", "reason"),
    [
        ((256,), {}, "the width of a kernel must be at most 255, not 256"),
        ((1,), {"strides": 16}, "a stride must be at most 15, not 16"),
        ((2,), {"dilations": 16}, "a dilation must be at most 15, not 16"),
    ],
)
def test_a_window_too_large_for_its_field_is_refused(
    kernel: tuple[int, ...], window: dict[str, int], reason: str
) -> None:
    with pytest.raises(UnsupportedError, match=reason):
        program_of(product(1, 1, (300,), kernel, **window), Z7020)


def test_a_pad_too_large_for_its_field_is_refused() -> None:
    cases = Cases(4)
    x = cases.input((1, 9, 300), "int8")
    window = {"kernel_shape": [3], "strides": [1], "pads": [256, 0], "count_include_pad": 1}
    meaning = {"x_scale": 1.0, "y_scale": 1.0, "zero_point": 0, "low": -128, "high": 127}
    attributes = {**window, **meaning, "x_zero_point": 0, "dtype": "int8"}
    cases.node("AveragePool", [x], attributes, name="y")
    with pytest.raises(UnsupportedError, match="a pad must be at most 255, not 256"):
        program_of(cases.graph(), Z7020)


def test_a_layer_too_large_says_what_must_fit() -> None:
    tiny = replace(Z7020, name="tiny", weight_words=64)
    graph = residual()
    with pytest.raises(UnsupportedError, match="weights of 16 channels must fit 64 words"):
        program_of(graph, tiny)
    tiny = replace(Z7020, name="tiny", activation_words=16)
    with pytest.raises(UnsupportedError, match="inputs of one row must fit 16 words"):
        program_of(graph, tiny)


def test_feeds_are_checked() -> None:
    graph = residual()
    program = program_of(graph, Z7020)
    with pytest.raises(
        ConfigError, match=r"input 'in0' must be int8 \[1, 3, 20, 17\], not nothing"
    ):
        ModelMachine().run(program, {})
    with pytest.raises(
        ConfigError, match="program must be for the accelerator 'small', not 'z7020'"
    ):
        RtlMachine(SMALL).run(program, integers(graph))


def test_operators_that_are_tested_are_those_that_run() -> None:
    graphs = [graph for name in ACCELERATED for graph in layers_of(name, 1, 7)]
    names = {op_key(node) for graph in graphs for node in nodes(graph)}
    assert {"joulecut.Conv", "joulecut.MatMul", "joulecut.AveragePool", "MaxPool"} <= names
