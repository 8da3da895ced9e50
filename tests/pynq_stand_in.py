"""The three names of pynq that the driver uses, over a simulated board: what the default suite has.

`make test-pynq` runs the same tests under pynq itself.
"""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from joulecut.targets.fpga.simulated_board import SimulatedBoard


class Buffer(np.ndarray):
    """The host's copy of a buffer; slices know which part they are, as PynqBuffer's do."""

    board: SimulatedBoard
    first: int  # of the whole buffer: address in the host
    start: int  # and as the accelerator sees it
    is_owner = False  # slices are not

    def __array_finalize__(self, source: Any) -> None:
        if isinstance(source, Buffer) and hasattr(source, "board"):
            self.board, self.first, self.start = source.board, source.first, source.start

    @property
    def device_address(self) -> int:
        return self.start + self.ctypes.data - self.first

    def flush(self) -> None:
        self.board.flush(self.device_address, self.ctypes.data, self.nbytes)

    def invalidate(self) -> None:
        self.board.invalidate(self.device_address, self.ctypes.data, self.nbytes)

    def freebuffer(self) -> None:
        if self.is_owner:
            self.is_owner = False
            self.board.free(self.start)

    def __del__(self) -> None:
        self.freebuffer()


class DefaultIP:
    """Registers of one core; classes are bound to cores by `bindto`."""

    bindto: ClassVar[list[str]] = []
    classes: ClassVar[dict[str, type[DefaultIP]]] = {}

    def __init_subclass__(cls) -> None:
        DefaultIP.classes |= dict.fromkeys(cls.bindto, cls)

    def __init__(self, description: dict[str, Any]) -> None:
        self.device: SimulatedBoard = description["device"]
        self._address: int = description["phys_addr"]

    def read(self, offset: int = 0) -> int:
        return self.device.read(self._address + offset)

    def write(self, offset: int, value: int) -> None:
        self.device.write(self._address + offset, value)


class Interrupt:
    """The core's interrupt, through the board's controller, as pynq waits for it.

    Attributes:
        number: of times that it came.
    """

    def __init__(self, board: SimulatedBoard) -> None:
        self.board = board
        self.number = 0

    async def wait(self) -> None:
        at = self.board.processor.controller_at
        self.board.write(at + 0x1C, 3)  # on
        self.board.write(at + 0x10, 1)  # enabled
        while not self.board.step():
            await asyncio.sleep(0)
        self.board.write(at + 0x14, 1)  # disabled
        self.board.write(at + 0x0C, 1)  # acknowledged
        self.number += 1


class Overlay:
    """A bitstream with one core of a type, whose interrupt is not connected."""

    def __init__(self, vlnv: str, device: SimulatedBoard) -> None:
        self.jc_core_0: Any = DefaultIP.classes[vlnv](
            {"device": device, "phys_addr": device.processor.registers_at, "type": vlnv}
        )


def allocate(shape: tuple[int, ...], dtype: str, target: SimulatedBoard) -> Buffer:
    buffer = np.full(shape, 0x3C, dtype).view(Buffer)
    buffer.board = target
    buffer.first = buffer.ctypes.data
    buffer.start, buffer.is_owner = target.allocate(buffer.nbytes), True
    return buffer


def module() -> ModuleType:
    """As `import pynq` gives it."""
    made: Any = ModuleType("pynq")
    made.DefaultIP, made.Overlay, made.allocate = DefaultIP, Overlay, allocate
    return made
