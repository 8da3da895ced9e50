"""The RTL, the functional model, the cycle model and numpy agree on random layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from accelerator_layers import Layer, random_layer
from rtl_design import require

from joulecut.hw.config import CONFIGS, Z7020, MacArrayConfig
from joulecut.hw.cycles import REQUANTIZE_CYCLES, Counts, count
from joulecut.hw.descriptors import Descriptor, Load, Memory, Waits, pack
from joulecut.hw.model import AcceleratorModel
from joulecut.hw.simulator import RTL, SimulationError, Simulator

POISON, LIST = 0xA5, 1 << 22
SIZE = LIST + (1 << 16)
MILLION = 1_000_000
LATENCY = 20


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    require("verilator")


@pytest.fixture
def memory() -> np.ndarray:
    return np.full(SIZE, POISON, np.uint8)


@pytest.fixture
def simulator(memory: np.ndarray) -> Iterator[Simulator]:
    with Simulator(Z7020, memory, latency=LATENCY) as made:
        yield made


def layers(config: MacArrayConfig, seed: int) -> Iterator[Layer]:
    number = 0
    while True:
        yield random_layer(config, np.random.default_rng([seed, number]))
        number += 1


def check(simulator: Simulator, layer: Layer, *, exact: bool = True) -> int:
    """Runs a layer in poisoned memory and returns how many outputs were compared."""
    memory, config = simulator.memory, simulator.config
    memory[:] = POISON
    layer.put(memory)
    copy = memory.copy()
    counts = simulator.run(layer.descriptors, LIST, cycles=1 << 24)
    np.testing.assert_array_equal(layer.found(memory), layer.expected, err_msg=layer.name)
    AcceleratorModel(config, copy).run(layer.descriptors)
    np.testing.assert_array_equal(layer.found(copy), layer.expected, err_msg=layer.name)
    size = len(pack(layer.descriptors))
    copy[LIST : LIST + size] = memory[LIST : LIST + size]
    np.testing.assert_array_equal(
        copy, memory, err_msg=f"{layer.name}: bytes around the result"
    )
    if exact:
        assert counts == count(config, layer.descriptors, latency=LATENCY), layer.name
    return layer.expected.size


def test_random_layers(simulator: Simulator) -> None:
    made = layers(Z7020, 1)
    assert sum(check(simulator, next(made)) for _ in range(150)) > 100_000


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_million_outputs(name: str, memory: np.ndarray) -> None:
    config, outputs = CONFIGS[name], 0
    with Simulator(config, memory, latency=LATENCY) as simulator:
        made = layers(config, 2)
        while outputs < MILLION:
            outputs += check(simulator, next(made))


@pytest.mark.parametrize("latency", [2, 7, 90])
def test_cycles_at_other_latencies(latency: int, memory: np.ndarray) -> None:
    made = layers(Z7020, 3)
    with Simulator(Z7020, memory, latency=latency) as simulator:
        for _ in range(8):
            layer = next(made)
            layer.put(memory)
            found = simulator.run(layer.descriptors, LIST)
            assert found == count(Z7020, layer.descriptors, latency=latency), layer.name


def test_rows_and_columns_may_differ(memory: np.ndarray) -> None:
    made = layers(CONFIGS["z7020-wide"], 4)
    with Simulator(CONFIGS["z7020-wide"], memory, latency=LATENCY) as simulator:
        for _ in range(25):
            check(simulator, next(made))


def test_many_layers_in_one_list(simulator: Simulator) -> None:
    """One doorbell; a layer's loads wait for nothing but the memory that they overwrite."""
    descriptors, chosen, at = chain(layers(Z7020, 5), 12)
    memory = simulator.memory
    for layer in chosen:
        layer.put(memory)
    counts = simulator.run(descriptors, LIST)
    for layer in chosen:
        np.testing.assert_array_equal(layer.found(memory), layer.expected, err_msg=layer.name)
    assert counts == count(Z7020, descriptors, latency=LATENCY)
    assert at < LIST


def chain(made: Iterator[Layer], number: int) -> tuple[list[Descriptor], list[Layer], int]:
    descriptors: list[Descriptor] = []
    chosen: list[Layer] = []
    at = loads = 0
    for index in range(number):
        layer = next(made).moved(at, (loads, index, index))
        at += -(-layer.size // 128) * 128
        first = True
        for descriptor in layer.descriptors:
            if isinstance(descriptor, Load):
                loads += 1
                if first:  # the layer before has used the memories
                    descriptor = replace(descriptor, waits=Waits(0, index, index))
                    first = False
            descriptors.append(descriptor)
        chosen.append(layer)
    return descriptors, chosen, at


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_slow_and_irregular_memory(seed: int, memory: np.ndarray) -> None:
    made = layers(Z7020, 10 + seed)
    with Simulator(Z7020, memory, latency=LATENCY, seed=seed) as simulator:
        for _ in range(12):
            check(simulator, next(made), exact=False)


def test_reset_in_mid_flight(simulator: Simulator) -> None:
    made = layers(Z7020, 20)
    for ticks in (3, 40, 200, 500):
        layer = next(made)
        simulator.memory[:] = POISON
        layer.put(simulator.memory)
        with pytest.raises(SimulationError, match=f"no interrupt after {ticks} cycles"):
            simulator.run(layer.descriptors, LIST, cycles=ticks)
        simulator.reset()
        assert simulator.read("status") & 1 == 0
        assert simulator.counts() == Counts()
        check(simulator, layer)


def test_twice_in_a_row(simulator: Simulator) -> None:
    layer = next(layers(Z7020, 21))
    check(simulator, layer)
    check(simulator, layer)


def test_an_unknown_opcode_is_reported(simulator: Simulator) -> None:
    layer = next(layers(Z7020, 22))
    layer.put(simulator.memory)
    data = np.zeros(32, np.uint32)
    data[0] = 7
    simulator.memory[LIST : LIST + 128] = data.view(np.uint8)
    simulator.write("interrupt_enable", 1)
    simulator.write("descriptors", LIST)
    simulator.write("count", 2)
    simulator.write("control", 1)
    simulator.wait(1000)
    assert simulator.read("status") == 0b110 | 1 << 8


def test_a_list_that_waits_for_ever_says_so(simulator: Simulator) -> None:
    load = Load(memory=Memory.WEIGHTS, address=0, row_beats=4, waits=Waits(compute=1))
    with pytest.raises(SimulationError, match="no interrupt after 5000 cycles: Counts"):
        simulator.run([load], LIST, cycles=5000)


def test_a_load_outside_of_the_memory_is_caught(simulator: Simulator) -> None:
    load = Load(memory=Memory.WEIGHTS, address=SIZE - 8, row_beats=4)
    with pytest.raises(SimulationError, match="AXI: an address lies outside of the memory"):
        simulator.run([load], LIST)


def test_registers_tell_the_configuration(simulator: Simulator) -> None:
    assert simulator.read("id") == 0x4A434D41
    assert simulator.read("array") == 16 | 16 << 8 | 64 << 16 | 8 << 24
    assert simulator.read("inputs") == Z7020.activation_words
    simulator.write("scratch", 0x12345678)
    assert simulator.read("scratch") == 0x12345678


def test_the_lane_is_as_long_as_the_cycle_model_says() -> None:
    text = (RTL / "jc_requantize_pkg.sv").read_text(encoding="utf-8")
    assert f"Latency = {REQUANTIZE_CYCLES};" in text
