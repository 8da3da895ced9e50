"""The way of a simulated interrupt: what the controller keeps, and when its file can be read."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtl_design import require

from joulecut.hw.config import Z7020
from joulecut.targets.fpga.processors import ZYNQ
from joulecut.targets.fpga.simulated_board import SimulatedBoard
from joulecut.targets.fpga.simulated_interrupts import InterruptController, SimulatedUio

ENABLE, DISABLE, ACKNOWLEDGE, MASTER = 0x10, 0x14, 0x0C, 0x1C


def controller(*, master: int = 3) -> InterruptController:
    made = InterruptController()
    made.write(MASTER, master)
    made.write(ENABLE, 1)
    return made


def test_an_input_that_was_up_is_kept_until_it_is_acknowledged() -> None:
    made = controller()
    assert not made.output(level=False)
    assert made.output(level=True)
    assert made.output(level=False)
    assert [made.read(offset) for offset in (0x00, 0x04, 0x08, 0x1C)] == [1, 1, 1, 3]
    made.write(DISABLE, 1)
    assert not made.output(level=False)
    assert [made.read(offset) for offset in (0x00, 0x04, 0x08)] == [1, 0, 0]
    made.write(ENABLE, 1)
    assert made.output(level=False)
    made.write(ACKNOWLEDGE, 1)
    assert not made.output(level=False)
    assert made.output(level=True)  # it has come again


@pytest.mark.parametrize("master", [0, 1, 2])
def test_nothing_comes_while_the_controller_is_off(master: int) -> None:
    assert not controller(master=master).output(level=True)


@pytest.mark.parametrize("offset", [0x18, 0x20])
def test_other_registers_are_not_modelled(offset: int) -> None:
    message = f"register 0x{offset:X} of the interrupt controller is not modelled"
    with pytest.raises(ValueError, match=message):
        controller().read(offset)
    with pytest.raises(ValueError, match=message):
        controller().write(offset, 0)


@pytest.fixture
def levels() -> list[bool]:
    """What the next steps find; the last is found again and again."""
    return [False]


@pytest.fixture
def uio(levels: list[bool]) -> Iterator[SimulatedUio]:
    made = SimulatedUio(lambda: levels.pop(0) if len(levels) > 1 else levels[0])
    yield made
    made.close()


def is_readable(file: int, seconds: float) -> bool:
    return bool(select.select([file], [], [], seconds)[0])


def test_the_file_is_read_once_for_each_interrupt(
    uio: SimulatedUio, levels: list[bool]
) -> None:
    with Path(uio.path).open("r+b", buffering=0) as opened:
        file = opened.fileno()
        levels[:] = [True]
        assert not is_readable(file, 0.05)  # nobody has enabled it
        for number in (1, 2):
            os.write(file, bytes([0, 0, 0, 1]))
            assert is_readable(file, 10)
            assert os.read(file, 4) == number.to_bytes(4, "little")
            assert not is_readable(file, 0.05)
        levels[:] = [False] * 5 + [True]
        os.write(file, bytes([0, 0, 0, 1]))
        assert is_readable(file, 10)
        assert len(levels) == 1


def test_a_board_steps_until_its_interrupt() -> None:
    require("verilator")
    board = SimulatedBoard(Z7020, poll_cycles=10)
    assert not board.step()
    for offset, value in ((MASTER, 3), (ENABLE, 1)):
        board.write(ZYNQ.controller_at + offset, value)
    registers = ZYNQ.registers_at
    board.write(registers + 0x28, 1)  # interrupt_enable
    board.write(registers + 0x2C, 0)  # descriptors: not one, so that the core reports an error
    board.write(registers + 0x30, 2)
    board.write(registers + 0x1C, 1)
    assert any(board.step() for _ in range(1000))
    assert board.read(ZYNQ.controller_at + 4) == 1
    board.reset()
    assert not board.step()
    assert board.read(ZYNQ.controller_at + MASTER) == 0
    board.close()
