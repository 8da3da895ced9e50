"""RTL = functional model = reference = onnxruntime on random layers, and counters = cycle model.

Sizes are those of `accelerator_graphs.py`: kernels to 7 x 7, strides to 3, any pads and zero
points, groups, 1 to 512 channels. The slow part draws layers until products alone have made a
million outputs on each configuration.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from accelerator_graphs import LAYERS, random_graph
from cpu_cases import samples
from qlinear_models import draw_scales, run_qlinear
from rtl_design import require

from joulecut.compiler.errors import UnsupportedError
from joulecut.compiler.graph import Graph, int_of, nodes, op_key, shape_of
from joulecut.compiler.reference import trace
from joulecut.hw.config import CONFIGS, MacArrayConfig
from joulecut.targets.fpga.lower import program_of
from joulecut.targets.fpga.program import ModelMachine, RtlMachine

MILLION = 1_000_000
PRODUCTS = ("conv", "grouped", "first", "depthwise", "conv_1d", "dense")


def compared(graph: Graph, machine: RtlMachine, seed: int) -> int:
    """Runs a graph on all of them; how many outputs were equal."""
    scales = draw_scales(graph, np.random.default_rng(seed))
    program = program_of(graph, machine.config)
    feeds = samples(graph, 1)[0]
    found = machine.run(program, feeds)
    twins = {
        "model": ModelMachine().run(program, feeds),
        "reference": trace(graph, feeds),
        "onnxruntime": run_qlinear(graph, scales, feeds),
    }
    for name, array in found.items():
        for twin, arrays in twins.items():
            assert arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(array, arrays[name], err_msg=f"{twin}, seed {seed}")
    assert machine.counts == program.counts(), f"seed {seed}"
    return sum(array.size for array in found.values())


def is_too_large(graph: Graph, config: MacArrayConfig) -> bool:
    """Are the weights of one tile of outputs, which cannot be cut, more than the memory holds?"""
    for node in nodes(graph):
        if op_key(node) != "joulecut.Conv" or node.inputs[1] is None:
            continue
        outputs, deep, *kernel = shape_of(node.inputs[1])
        group = int_of(node, "group", 1)
        is_diagonal = deep == 1 and group == outputs and config.rows == config.columns
        channels = 1 if is_diagonal else deep * group  # zeros between the groups are stored
        tiles = -(-channels // config.columns)
        if tiles * int(np.prod(kernel)) * config.rows > config.weight_words:
            return True
    return False


def draw(config: MacArrayConfig, seed: int, enough: int) -> tuple[Counter[str], int]:
    """Outputs by kind, as many of products as asked for, and how many layers were refused."""
    machine, made, refused, number = RtlMachine(config), Counter[str](), 0, 0
    while sum(made[kind] for kind in PRODUCTS) < enough or set(made) != set(LAYERS):
        kind, graph = random_graph(seed, number)
        if is_too_large(graph, config):
            with pytest.raises(UnsupportedError, match=r"weights of \d+ channels must fit"):
                program_of(graph, config)
            refused += 1
        else:
            made[kind] += compared(graph, machine, number)
        number += 1
    return made, refused


@pytest.mark.parametrize(("name", "enough"), [("z7020", 100_000), ("z7020-wide", 20_000)])
def test_random_layers(name: str, enough: int) -> None:
    require("verilator")
    draw(CONFIGS[name], 1, enough)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_million_outputs_of_products(name: str) -> None:
    require("verilator")
    made, refused = draw(CONFIGS[name], 2, MILLION)
    print(
        f"{name}: {sum(made.values()):,} outputs equal, {refused} layers refused: {dict(made)}"
    )
