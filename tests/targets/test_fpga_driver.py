"""The board's driver over the simulated accelerator: right data, and refusals before anything starts."""

from __future__ import annotations

import ast
import asyncio
import gc
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pynq_stand_in
import pytest
from residual_network import integers, residual
from rtl_design import require

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph
from joulecut.compiler.reference import trace
from joulecut.hw.config import BEAT_BYTES, Z7020
from joulecut.hw.descriptors import Compute, Waits, pack
from joulecut.hw.regs import IDENTITY, VLNV
from joulecut.hw.simulator import SimulationError, simulation_library
from joulecut.targets.fpga.lower import program_of
from joulecut.targets.fpga.processors import ZYNQ
from joulecut.targets.fpga.program import Program
from joulecut.targets.fpga.program_files import DRIVER, read_program, write_program
from joulecut.targets.fpga.simulated_board import SimulatedBoard
from joulecut.targets.fpga.tensors import PackedTensor, Tensor

LONG_S = 300.0  # a simulation on a busy machine


@pytest.fixture(scope="module")
def graph() -> Graph:
    return residual()


@pytest.fixture(scope="module")
def program(graph: Graph) -> Program:
    return program_of(graph, Z7020)


@pytest.fixture
def folder(program: Program, tmp_path: Path) -> Path:
    write_program(program, tmp_path / "network")
    return tmp_path / "network"


@pytest.fixture
def board() -> Iterator[SimulatedBoard]:
    require("verilator")
    made = SimulatedBoard(Z7020)
    yield made
    made.close()


@pytest.fixture
def driver(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The driver that lies beside the program, importing the stand-in as pynq."""
    monkeypatch.setitem(sys.modules, "pynq", pynq_stand_in.module())
    spec = importlib.util.spec_from_file_location("driver", folder / "driver.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "driver", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def accelerator(driver: Any, board: SimulatedBoard) -> Any:
    assert driver.VLNV == VLNV
    return pynq_stand_in.Overlay(VLNV, board).jc_core_0


def rewritten(folder: Path, **changes: object) -> None:
    """Changes what program.json says."""
    path = folder / "program.json"
    described: dict[str, object] = json.loads(path.read_text())
    path.write_text(json.dumps(described | changes))


def expected(graph: Graph, program: Program, feeds: Mapping[str, np.ndarray]) -> Any:
    found = trace(graph, feeds)
    return {value.name: found[value.name] for value in program.outputs}


def check(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert type(found[name]) is np.ndarray


# Files


def test_a_program_is_read_as_it_was_written(program: Program, folder: Path) -> None:
    found = read_program(folder)
    np.testing.assert_array_equal(found.image, program.image)
    for name in set(vars(program)) - {"image"}:
        assert getattr(found, name) == getattr(program, name), name
    assert {path.name for path in folder.iterdir()} == {
        "program.json",
        "image.bin",
        "descriptors.bin",
        "driver.py",
    }
    assert (folder / "driver.py").read_bytes() == DRIVER.read_bytes()


def test_files_of_another_format_are_refused(folder: Path, driver: Any, accelerator: Any):
    rewritten(folder, format=2)
    message = "must have format 1 and registers 1, not 2 and 1"
    with pytest.raises(ConfigError, match=f"{message}; compile the network again"):
        read_program(folder)
    with pytest.raises(driver.AcceleratorError, match=f"{message}; use the driver.py that"):
        accelerator.load(folder)


@pytest.mark.parametrize("name", ["image.bin", "descriptors.bin"])
def test_a_file_cut_short_is_refused(
    folder: Path, driver: Any, accelerator: Any, name: str
) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    message = f"{name} must be what program.json was written with, and is not; copy the folder"
    with pytest.raises(ConfigError, match=message):
        read_program(folder)
    with pytest.raises(driver.AcceleratorError, match=message):
        accelerator.load(folder)


# The file that goes to the board


def test_the_driver_needs_numpy_and_pynq_alone() -> None:
    tree = ast.parse(DRIVER.read_text(), feature_version=(3, 10))
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            imported.add(node.module)
    outside = {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names}
    assert outside == {"numpy", "pynq"}


def test_the_driver_uses_three_names_of_pynq() -> None:
    used = {
        node.attr
        for node in ast.walk(ast.parse(DRIVER.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "pynq"
    }
    assert used == {"DefaultIP", "allocate"}


@pytest.mark.parametrize("channels", [1, 3, 8, 9])
@pytest.mark.parametrize("is_unsigned", [True, False])
def test_layouts_are_those_of_the_compiler(driver: Any, channels: int, is_unsigned: bool):
    dtype = np.dtype(np.uint8 if is_unsigned else np.int8)
    info = np.iinfo(dtype)
    rng = np.random.default_rng(channels)
    x = rng.integers(info.min, info.max, (channels, 5, 4), dtype, endpoint=True)
    tensor = Tensor("x", 0, channels, 5, 4, is_unsigned)
    memory = np.zeros(tensor.nbytes, np.uint8)
    tensor.put(memory, x)
    place = {"layout": "planes", "channels": channels, "height": 5, "width": 4}
    np.testing.assert_array_equal(driver.laid_out(place, x[None]), memory)
    np.testing.assert_array_equal(driver.taken_out(place, memory, dtype.name), x)
    pads, pitch = (1, 2, 0, 1), 64
    packed = PackedTensor("x", 0, channels, 5, 4, pads, pitch, is_unsigned, 7)
    memory = np.zeros(packed.nbytes, np.uint8)
    packed.put(memory, x)
    place |= {"layout": "packed", "pads": list(pads), "pitch": pitch, "zero_point": 7}
    np.testing.assert_array_equal(driver.laid_out(place, x[None]), memory)


def test_addresses_are_relocated_and_nothing_else(program: Program, driver: Any) -> None:
    base = 0x1234_5680
    words = driver.relocated(pack(program.descriptors), base, program.size)
    moved = [
        replace(descriptor, address=descriptor.address + base)
        if not isinstance(descriptor, Compute)
        else descriptor
        for descriptor in program.descriptors
    ]
    assert words.tobytes() == pack(moved)


def test_a_descriptor_must_stay_in_its_memory(program: Program, driver: Any) -> None:
    data = pack(program.descriptors)
    ends = [
        move.address
        + (move.planes - 1) * move.plane_stride
        + (move.rows - 1) * move.row_stride
        + move.row_beats * BEAT_BYTES
        for move in program.descriptors
        if not isinstance(move, Compute)
    ]
    driver.relocated(data, 0x10_0000, max(ends))
    message = (
        f"must stay within the {max(ends) - 1} bytes of its program, and reaches {max(ends)};"
    )
    with pytest.raises(driver.AcceleratorError, match=message):
        driver.relocated(data, 0x10_0000, max(ends) - 1)


@pytest.mark.parametrize("base", [0x10_0040, 0xFFFF_FF80, 0x8_0000_0000])
def test_memory_must_be_within_reach(program: Program, driver: Any, base: int) -> None:
    with pytest.raises(
        driver.AcceleratorError, match=r"below 0x100000000 at a multiple of 128"
    ):
        driver.relocated(pack(program.descriptors), base, program.size)


# Runs


def test_a_network_twice(graph: Graph, program: Program, folder: Path, accelerator: Any):
    with accelerator.load(folder) as network:
        for seed in (0, 1, 0):
            feeds = integers(graph, seed)
            outputs, counters = network.run(feeds, timeout_s=LONG_S)
            check(outputs, expected(graph, program, feeds))
            assert counters == vars(program.counts())


def test_two_networks_at_a_time(
    graph: Graph, program: Program, folder: Path, accelerator: Any
) -> None:
    feeds = integers(graph)
    first, second = accelerator.load(folder), accelerator.load(folder)
    first.run(integers(graph, 1), timeout_s=LONG_S)
    check(second.run(feeds, timeout_s=LONG_S).outputs, expected(graph, program, feeds))
    check(first.run(feeds, timeout_s=LONG_S).outputs, expected(graph, program, feeds))
    assert len(accelerator.device.buffers) == 2
    first.close()
    first.close()
    assert len(accelerator.device.buffers) == 1
    with pytest.raises(ValueError, match="network must be open to run, and is closed; load it"):
        first.run(feeds)
    check(second.run(feeds, timeout_s=LONG_S).outputs, expected(graph, program, feeds))


def test_a_buffer_whose_parts_do_not_know_their_address(
    graph: Graph,
    program: Program,
    folder: Path,
    accelerator: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As PYNQ.remote has them: whatever is flushed lands at the beginning of the buffer."""
    calls: list[str] = []
    for name in ("flush", "invalidate"):
        copy = getattr(pynq_stand_in.Buffer, name)

        def counted(buffer: Any, name: str = name, copy: Any = copy) -> None:
            calls.append(name)
            copy(buffer)

        monkeypatch.setattr(pynq_stand_in.Buffer, name, counted)
    monkeypatch.setattr(
        pynq_stand_in.Buffer, "device_address", property(lambda buffer: buffer.start)
    )
    with accelerator.load(folder) as network:
        for seed in range(2):
            feeds = integers(graph, seed)
            outputs, _ = network.run(feeds, timeout_s=LONG_S)
            check(outputs, expected(graph, program, feeds))
    assert len(program.outputs) > 1
    assert calls == ["flush", *["flush", "invalidate"] * 2]  # each sends all of the buffer


def test_registers_are_unsigned(accelerator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """PYNQ.remote 3.1 reads them as signed."""
    read = accelerator.read

    def signed(offset: int) -> int:
        return read(offset) - (1 << 32)

    monkeypatch.setattr(accelerator, "read", signed)
    assert accelerator.get("id") == IDENTITY


def test_feeds_are_checked(graph: Graph, folder: Path, accelerator: Any) -> None:
    network = accelerator.load(folder)
    with pytest.raises(ValueError, match=r"'in0' must be int8 \[1, 3, 20, 17\], not nothing"):
        network.run({})
    wrong = {name: array[..., 1:] for name, array in integers(graph).items()}
    with pytest.raises(ValueError, match=r"int8 \[1, 3, 20, 17\], not int8 \[1, 3, 20, 16\]"):
        network.run(wrong)


def never(_: object) -> None:
    """In the place of a flush."""


def test_without_a_flush_of_the_inputs_the_outputs_are_wrong(
    graph: Graph,
    program: Program,
    folder: Path,
    accelerator: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, feeds = accelerator.load(folder), integers(graph)
    monkeypatch.setattr(pynq_stand_in.Buffer, "flush", never)
    outputs, _ = network.run(feeds, timeout_s=LONG_S)
    with pytest.raises(AssertionError):
        check(outputs, expected(graph, program, feeds))


def test_without_invalidating_the_outputs_are_wrong(
    graph: Graph,
    program: Program,
    folder: Path,
    accelerator: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, feeds = accelerator.load(folder), integers(graph)
    monkeypatch.setattr(pynq_stand_in.Buffer, "invalidate", never)
    outputs, _ = network.run(feeds, timeout_s=LONG_S)
    with pytest.raises(AssertionError):
        check(outputs, expected(graph, program, feeds))


def test_without_a_flush_of_the_descriptors_an_error_is_reported(
    graph: Graph, folder: Path, driver: Any, accelerator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(pynq_stand_in.Buffer, "flush", never)
        network = accelerator.load(folder)
    with pytest.raises(driver.AcceleratorError, match="reports an error of kind 'opcode'"):
        network.run(integers(graph), timeout_s=LONG_S)


# Runs that wait for the interrupt


@pytest.fixture
def interrupt(accelerator: Any) -> pynq_stand_in.Interrupt:
    accelerator.device.poll_cycles = 500
    accelerator.irq = pynq_stand_in.Interrupt(accelerator.device)
    return accelerator.irq


def test_an_interrupt_ends_a_run_while_others_go_on(
    graph: Graph,
    program: Program,
    folder: Path,
    accelerator: Any,
    interrupt: pynq_stand_in.Interrupt,
) -> None:
    turns: list[int] = []

    async def others() -> None:
        while True:
            turns.append(interrupt.number)
            await asyncio.sleep(0)

    async def run(network: Any) -> None:
        going = asyncio.create_task(others())
        for seed in (0, 1, 0):
            feeds = integers(graph, seed)
            outputs, counters = await network.run_async(feeds, timeout_s=LONG_S)
            check(outputs, expected(graph, program, feeds))
            assert counters == vars(program.counts())
            assert accelerator.get("interrupt") == accelerator.get("interrupt_enable") == 0
        going.cancel()

    with accelerator.load(folder) as network:
        asyncio.run(run(network))
    # The controller has kept the first interrupt, which was up when it was acknowledged.
    assert interrupt.number == 5
    assert min(turns.count(number) for number in (0, 2, 4)) > 3


def test_a_run_by_polling_leaves_no_interrupt_to_the_next(
    graph: Graph, folder: Path, accelerator: Any, interrupt: pynq_stand_in.Interrupt
) -> None:
    with accelerator.load(folder) as network:
        network.run(integers(graph), timeout_s=LONG_S)
        assert accelerator.get("interrupt") == 1
        asyncio.run(network.run_async(integers(graph), timeout_s=LONG_S))
    assert interrupt.number == 1


class Remote:
    """What PYNQ.remote has for an interrupt."""

    def wait(self) -> None:
        raise RuntimeError


@pytest.mark.parametrize("irq", [None, Remote()])
def test_without_an_interrupt_nothing_is_started(
    graph: Graph, folder: Path, driver: Any, accelerator: Any, irq: object
) -> None:
    accelerator.irq = irq
    message = (
        r"interrupt \(irq\) of the accelerator must reach the processor .* call run, which"
    )
    with (
        accelerator.load(folder) as network,
        pytest.raises(driver.AcceleratorError, match=message),
    ):
        asyncio.run(network.run_async(integers(graph)))
    assert accelerator.device.simulator.read("count") == 0


def test_a_stalled_core_times_out_without_polling(
    graph: Graph,
    program: Program,
    tmp_path: Path,
    driver: Any,
    accelerator: Any,
    interrupt: pynq_stand_in.Interrupt,
) -> None:
    first, *rest = program.descriptors
    stalled = replace(first, waits=Waits(load=500))
    write_program(replace(program, descriptors=(stalled, *rest)), tmp_path / "stalled")
    network = accelerator.load(tmp_path / "stalled")
    with pytest.raises(driver.AcceleratorError) as raised:
        asyncio.run(network.run_async(integers(graph), timeout_s=0.05))
    message = str(raised.value)
    assert "accelerator must end within 0.05 s, and did not: status 0x00000001, " in message
    for name in vars(program.counts()):
        assert f"{name} " in message
    assert interrupt.number == accelerator.get("interrupt_enable") == 0
    with pytest.raises(driver.AcceleratorError, match="idle before a run, and is still busy"):
        asyncio.run(network.run_async(integers(graph)))


def test_an_error_of_the_core_interrupts_as_well(
    graph: Graph,
    folder: Path,
    driver: Any,
    accelerator: Any,
    interrupt: pynq_stand_in.Interrupt,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(pynq_stand_in.Buffer, "flush", never)
        network = accelerator.load(folder)
    with pytest.raises(driver.AcceleratorError, match="reports an error of kind 'opcode'"):
        asyncio.run(network.run_async(integers(graph), timeout_s=LONG_S))
    assert interrupt.number == 1


def test_an_interrupt_that_does_not_come_is_told_from_a_stall(
    graph: Graph, folder: Path, driver: Any, accelerator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf:
        async def wait(self) -> None:
            await asyncio.Event().wait()

    accelerator.irq = Deaf()
    monkeypatch.setattr(accelerator.device, "poll_cycles", 100_000)
    message = (
        r"interrupt must come within 0\.05 s, and did not, though the accelerator has ended"
    )
    with (
        accelerator.load(folder) as network,
        pytest.raises(driver.AcceleratorError, match=message),
    ):
        asyncio.run(network.run_async(integers(graph), timeout_s=0.05))


# Refusals


def is_untouched(board: SimulatedBoard) -> bool:
    """Whether nothing has started, and no memory was taken."""
    names = ("count", "descriptors", "cycles", "finished")
    is_clean = all(board.simulator.read(name) == 0 for name in names)
    return is_clean and bool((board.memory == 0xA5).all())


def test_another_configuration_is_refused(
    folder: Path, driver: Any, accelerator: Any, board: SimulatedBoard
) -> None:
    sizes = {"rows": 24, "weight_words": 10752, "parameter_words": 1152}
    rewritten(folder, config={**vars(Z7020), **sizes, "name": "z7020-wide"})
    with pytest.raises(driver.AcceleratorError) as raised:
        accelerator.load(folder)
    assert str(raised.value) == (
        "accelerator must be 'z7020-wide', for which the program was compiled: rows must be 24, "
        "not 16, weight_words must be 10752, not 10240, parameter_words must be 1152, not 1024; "
        "load the bitstream of that configuration, or compile for this one"
    )
    assert is_untouched(board)


@pytest.mark.parametrize(
    ("register", "value", "message"),
    [
        ("id", 0, f"id of the accelerator must be 0x{IDENTITY:08X}, not 0x00000000; load a"),
        ("version", 2, "version must be 1, not 2; load the bitstream"),
    ],
)
def test_another_core_is_refused(
    folder: Path,
    driver: Any,
    accelerator: Any,
    board: SimulatedBoard,
    monkeypatch: pytest.MonkeyPatch,
    register: str,
    value: int,
    message: str,
) -> None:
    read = board.read

    def other(address: int) -> int:
        return (
            value
            if address == ZYNQ.registers_at + driver.REGISTERS[register]
            else read(address)
        )

    monkeypatch.setattr(board, "read", other)
    with pytest.raises(driver.AcceleratorError, match=message):
        accelerator.load(folder)
    assert is_untouched(board)


def test_a_stalled_core_times_out_with_its_counters(
    graph: Graph, program: Program, tmp_path: Path, driver: Any, accelerator: Any
) -> None:
    first, *rest = program.descriptors
    stalled = replace(first, waits=Waits(load=500))
    write_program(replace(program, descriptors=(stalled, *rest)), tmp_path / "stalled")
    network = accelerator.load(tmp_path / "stalled")
    with pytest.raises(driver.AcceleratorError) as raised:
        network.run(integers(graph), timeout_s=0.05)
    message = str(raised.value)
    assert "accelerator must end within 0.05 s, and did not: status 0x00000001, " in message
    assert "; load the overlay again" in message
    for name in vars(program.counts()):
        assert f"{name} " in message
    assert "mac_cycles 0" in message
    assert "idle_cycles 0" not in message
    with pytest.raises(driver.AcceleratorError, match="idle before a run, and is still busy"):
        network.run(integers(graph))
    with pytest.raises(driver.AcceleratorError, match="kept while the accelerator is busy"):
        network.close()


def test_after_a_stall_and_a_reset_the_next_run_is_right(
    graph: Graph,
    program: Program,
    folder: Path,
    tmp_path: Path,
    driver: Any,
    accelerator: Any,
    board: SimulatedBoard,
) -> None:
    first, *rest = program.descriptors
    stalled = replace(first, waits=Waits(load=500))
    write_program(replace(program, descriptors=(stalled, *rest)), tmp_path / "stalled")
    with (
        pytest.raises(driver.AcceleratorError, match="must end within"),
        accelerator.load(tmp_path / "stalled") as network,
    ):
        network.run(integers(graph), timeout_s=0.01)
    number = len(board.buffers)
    del network
    gc.collect()
    assert len(board.buffers) == number == 1  # the accelerator may still write there
    board.reset()  # as loading the overlay again does
    feeds = integers(graph, 2)
    with accelerator.load(folder) as network:
        check(network.run(feeds, timeout_s=LONG_S).outputs, expected(graph, program, feeds))


# The simulated board


def test_the_simulated_board_says_what_does_not_exist(board: SimulatedBoard) -> None:
    with pytest.raises(ValueError, match="0x43C00080 is no register of the simulated board"):
        board.read(ZYNQ.registers_at + 0x80)
    with pytest.raises(ValueError, match="0x43C00002 is no register of the simulated board"):
        board.write(ZYNQ.registers_at + 2, 0)
    with pytest.raises(ValueError, match="16 bytes at 0x0 must lie in a buffer"):
        board.flush(0, 0, 16)
    with pytest.raises(MemoryError, match="make a board with more memory_bytes"):
        board.allocate(board.memory.size)


def test_a_broken_rule_of_the_bus_is_an_error(board: SimulatedBoard) -> None:
    board.write(ZYNQ.registers_at + 0x2C, board.memory.size)
    board.write(ZYNQ.registers_at + 0x30, 2)
    board.write(ZYNQ.registers_at + 0x1C, 1)
    with pytest.raises(SimulationError, match="an address lies outside of the memory"):
        board.read(ZYNQ.registers_at + 0x20)


def test_a_library_can_be_handed_over(tmp_path: Path) -> None:
    require("verilator")
    path = tmp_path / "simulation.so"
    shutil.copyfile(simulation_library(Z7020), path)
    board = SimulatedBoard(Z7020, library=path)
    assert board.read(ZYNQ.registers_at) == IDENTITY
    board.close()
