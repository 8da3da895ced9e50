"""What cocotb runs inside the simulator for test_axi.py: layers over AXI, every cycle watched."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Any

import cocotb
import numpy as np
from accelerator_layers import Layer, random_layer
from axi_watch import Watch
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout

from joulecut.hw.config import Z7020
from joulecut.hw.cycles import accesses
from joulecut.hw.descriptors import Descriptor, Load, pack
from joulecut.hw.model import AcceleratorModel
from joulecut.hw.simulator import OFFSETS

axi: Any = importlib.import_module("cocotbext.axi")  # has no types

POISON, LIST, SIZE = 0xA5, 1 << 18, 1 << 19
PERIOD_NS = 10
HANG_CYCLES = 200_000
# Channels in which the bench says ready, and in which it says valid.
READY = ("m_axi_aw", "m_axi_w", "m_axi_ar", "d_axi_ar", "s_axi_b", "s_axi_r")
VALID = ("m_axi_b", "m_axi_r", "d_axi_r", "s_axi_aw", "s_axi_w", "s_axi_ar")


def pauses(seed: int, percent: int, longest: int = 1) -> Iterator[bool]:
    """True in about so many cycles of a hundred, in runs of random length."""
    dice = random.Random(seed)
    while True:
        yield from repeat(dice.randrange(100) < percent, dice.randint(1, longest))


def until_valid(valid: Any) -> Iterator[bool]:
    """True while valid is not up: ready waits for it, which AXI allows."""
    while True:
        yield not int(valid.value)


class Bench:
    """The accelerator, one memory behind both of its masters, and a master on its registers."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        clock = {"clock": dut.aclk, "reset": dut.aresetn, "reset_active_level": False}
        self.memory = np.full(SIZE, POISON, np.uint8)
        shared = self.memory.data
        registers = axi.AxiLiteMaster(axi.AxiLiteBus.from_prefix(dut, "s_axi"), **clock)
        data = axi.AxiRam(axi.AxiBus.from_prefix(dut, "m_axi"), mem=shared, **clock)
        lists = axi.AxiRamRead(axi.AxiReadBus.from_prefix(dut, "d_axi"), mem=shared, **clock)
        self.registers = registers
        self.expected = self.memory
        self.load_bursts = 0
        self.channels: dict[str, Any] = {
            "m_axi_aw": data.write_if.aw_channel,
            "m_axi_w": data.write_if.w_channel,
            "m_axi_b": data.write_if.b_channel,
            "m_axi_ar": data.read_if.ar_channel,
            "m_axi_r": data.read_if.r_channel,
            "d_axi_ar": lists.ar_channel,
            "d_axi_r": lists.r_channel,
            "s_axi_aw": registers.write_if.aw_channel,
            "s_axi_w": registers.write_if.w_channel,
            "s_axi_b": registers.write_if.b_channel,
            "s_axi_ar": registers.read_if.ar_channel,
            "s_axi_r": registers.read_if.r_channel,
        }
        self.watch = Watch(SIZE)

    async def begin(self) -> None:
        """Starts the clock and the watch, and resets."""
        self.dut.aresetn.value = 0
        Clock(self.dut.aclk, PERIOD_NS, unit="ns").start()
        cocotb.start_soon(self._watched())
        await self.reset()

    async def _watched(self) -> None:
        ports = {name: getattr(self.dut, name) for name in self._ports()}
        while True:
            await RisingEdge(self.dut.aclk)
            self.watch.cycle(lambda name: int(ports[name].value))

    def _ports(self) -> list[str]:
        return [handle._name for handle in self.dut]

    def pause(self, channels: Iterable[str], seed: int, percent: int, longest: int = 1) -> None:
        """Makes channels wait at random from now on."""
        for index, channel in enumerate(channels):
            generator = pauses(100 * seed + index, percent, longest)
            self.channels[channel].set_pause_generator(generator)

    async def reset(self) -> None:
        """Pulls the reset of everything on the bus for some cycles."""
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, 8)
        self.dut.aresetn.value = 1
        await ClockCycles(self.dut.aclk, 2)

    async def until(self, moment: Callable[[Bench], bool]) -> None:
        """Lets time pass until a moment comes."""
        for _ in range(HANG_CYCLES):
            await RisingEdge(self.dut.aclk)
            assert not int(self.dut.irq.value), f"the moment never came: {self.watch}"
            if moment(self):
                return
        raise AssertionError(f"a hang: {self.watch}")

    async def put(self, register: str, value: int) -> None:
        await self.registers.write_dword(OFFSETS[register], value)

    async def get(self, register: str) -> int:
        return await self.registers.read_dword(OFFSETS[register])

    async def start(self, layer: Layer) -> None:
        """Poisons the memory, puts a layer there and rings the doorbell."""
        self.memory[:] = POISON
        layer.put(self.memory)
        data = np.frombuffer(pack(layer.descriptors), np.uint8)
        self.memory[LIST : LIST + data.size] = data
        self.expected = self.memory.copy()
        AcceleratorModel(Z7020, self.expected).run(layer.descriptors)
        loads = [d for d in layer.descriptors if isinstance(d, Load)]
        self.load_bursts = sum(len(list(load.bursts())) for load in loads)
        self.watch.bursts.clear()
        await self.put("control", 2)
        await self.put("interrupt", 1)
        await self.put("interrupt_enable", 1)
        await self.put("descriptors", LIST)
        await self.put("count", data.size // 64)
        await self.put("control", 1)

    async def finish(self, layer: Layer) -> None:
        """Waits for the interrupt and compares every byte of memory and every count of accesses."""
        if not int(self.dut.irq.value):
            await with_timeout(RisingEdge(self.dut.irq), HANG_CYCLES * PERIOD_NS, "ns")
        found = layer.found(self.memory)
        np.testing.assert_array_equal(found, layer.expected, err_msg=layer.name)
        np.testing.assert_array_equal(self.memory, self.expected, err_msg=layer.name)
        assert await self.get("status") == 0b010
        for name, count in counted(layer.descriptors).items():
            assert await self.get(name) == count, f"{layer.name}: {name}"

    async def run(self, layer: Layer) -> None:
        """From the doorbell to the comparison."""
        await self.start(layer)
        await self.finish(layer)


def counted(descriptors: Iterable[Descriptor]) -> dict[str, int]:
    """Counters that do not depend on when things happen."""
    found: dict[str, int] = {"finished": 0}
    for descriptor in descriptors:
        found["finished"] += 1
        for name, count in accesses(Z7020, descriptor).items():
            found[name] = found.get(name, 0) + count
    return found


def layers(seed: int, largest: int = 1000, least: int = 1) -> Iterator[Layer]:
    """Random layers of so many outputs."""
    number = 0
    while True:
        layer = random_layer(Z7020, np.random.default_rng([seed, number]))
        number += 1
        if least <= layer.expected.size <= largest and layer.size <= LIST:
            yield layer


@cocotb.test()
async def without_pauses(dut: Any) -> None:
    bench = Bench(dut)
    await bench.begin()
    assert await bench.get("id") == 0x4A434D41
    made = layers(1)
    for _ in range(4):
        await bench.run(next(made))
        assert set(bench.watch.bursts) == {"m_axi_aw", "m_axi_ar", "d_axi_ar"}


@cocotb.test()
async def random_pauses_on_all_channels_and_twice_in_a_row(dut: Any) -> None:
    bench = Bench(dut)
    await bench.begin()
    made = layers(2, 500)
    for seed, percent, longest in ((1, 30, 1), (2, 50, 8), (3, 70, 3)):
        bench.pause((*READY, *VALID), seed, percent, longest)
        layer = next(made)
        for _ in range(2):
            await bench.run(layer)


@cocotb.test()
async def ready_that_waits_for_valid(dut: Any) -> None:
    """A master that waited for ready before it says valid would hang."""
    bench = Bench(dut)
    await bench.begin()
    for channel in READY:
        generator = until_valid(getattr(dut, channel + "valid"))
        bench.channels[channel].set_pause_generator(generator)
    made = layers(3)
    for _ in range(3):
        await bench.run(next(made))


@cocotb.test()
async def answers_to_writes_that_come_late(dut: Any) -> None:
    """All data is written, but the interrupt must wait for the last answer."""
    bench = Bench(dut)
    await bench.begin()
    layer = next(layers(4))
    answers = bench.channels["m_axi_b"]
    answers.pause = True
    await bench.start(layer)
    await bench.until(lambda bench: bench.watch.unanswered > 0)
    await ClockCycles(dut.aclk, 3000)
    assert not int(dut.irq.value)
    assert await bench.get("status") == 0b001
    answers.pause = False
    await bench.finish(layer)
    bench.pause(["m_axi_b"], 5, 95, 40)
    await bench.run(layer)


LEAKS = 10  # resets in a row: bursts that each forgets to forget would add up

# What is under way when the reset comes.
MOMENTS: dict[str, Callable[[Bench], bool]] = {
    "a descriptor is read": lambda bench: bench.watch.left("d_axi") in range(1, 10),
    "a load's beats come": lambda bench: bench.watch.left("m_axi") > 20,
    "an address waits": lambda bench: "m_axi_ar" in bench.watch.held,
    "the array computes": lambda bench: (
        bench.watch.bursts.get("m_axi_ar") == bench.load_bursts and bench.watch.is_at_rest()
    ),
    "a store's beats go": lambda bench: bench.watch.beats > 1,
    "a beat waits": lambda bench: "m_axi_w" in bench.watch.held,
    "an answer is due": lambda bench: bench.watch.unanswered > 0,
}


@cocotb.test()
async def a_reset_in_mid_flight(dut: Any) -> None:
    """The memory is reset with the accelerator; a layer in full follows each time."""
    bench = Bench(dut)
    await bench.begin()
    made = layers(5, 250, 120)
    bench.pause((*READY, *VALID), 6, 20, 3)
    for name, moment in MOMENTS.items():
        for _ in range(LEAKS if name == "a load's beats come" else 1):
            await bench.start(next(made))
            await bench.until(moment)
            await bench.reset()
            assert await bench.get("status") == 0
            assert await bench.get("finished") == 0
        await bench.run(next(made))
    assert int(dut.irq.value)  # of the last layer
    await bench.reset()
    assert not int(dut.irq.value)
    assert await bench.get("interrupt") == 0


@cocotb.test()
async def many_layers(dut: Any) -> None:
    bench = Bench(dut)
    await bench.begin()
    dice = random.Random(cocotb.RANDOM_SEED)
    made = layers(cocotb.RANDOM_SEED, 4000)
    for number in range(40):
        bench.pause((*READY, *VALID), number, dice.choice((0, 20, 50)), dice.choice((1, 3, 20)))
        if number % 5 == 4:
            await bench.start(next(made))
            await ClockCycles(dut.aclk, dice.randrange(2000))
            await bench.reset()
        await bench.run(next(made))
