"""How an interrupt reaches pynq, without a board: AMD's axi_intc, then Linux's UIO device.

A board has /dev/uio0; here a pseudo-terminal stands for it, since pynq opens it by its path, writes
to enable the interrupt, and reads when it came.
"""

from __future__ import annotations

import os
import threading
import time
import tty
from collections.abc import Callable


class InterruptController:
    """AMD's axi_intc (PG099) with one level-sensitive input, and the registers that pynq uses."""

    def __init__(self) -> None:
        self._is_pending = self._is_enabled = False
        self._master = 0  # bit 0: the output, bit 1: the input

    def output(self, level: bool) -> bool:
        """The interrupt to the processor, where the input is up or not.

        An input that was up stays pending until it is acknowledged.
        """
        self._is_pending |= level and bool(self._master & 2)
        return self._is_pending and self._is_enabled and bool(self._master & 1)

    def read(self, offset: int) -> int:
        """Reads a register.

        Raises:
            ValueError: there is none, or it is not modelled.
        """
        values = {
            0x00: self._is_pending,
            0x04: self._is_pending and self._is_enabled,
            0x08: self._is_enabled,
            0x1C: self._master,
        }
        if offset not in values:
            raise ValueError(
                f"register 0x{offset:X} of the interrupt controller is not modelled"
            )
        return int(values[offset])

    def write(self, offset: int, value: int) -> None:
        """Writes a register.

        Raises:
            ValueError: there is none, or it is not modelled.
        """
        bit = bool(value & 1)
        if offset == 0x08:
            self._is_enabled = bit
        elif offset == 0x0C:
            self._is_pending &= not bit
        elif offset == 0x10:
            self._is_enabled |= bit
        elif offset == 0x14:
            self._is_enabled &= not bit
        elif offset == 0x1C:
            self._master = value & 3
        else:
            raise ValueError(
                f"register 0x{offset:X} of the interrupt controller is not modelled"
            )


class SimulatedUio:
    """A file that can be read once for each time that the interrupt was enabled and came.

    Args:
        step: lets a little time pass, and says whether the interrupt is up.

    Attributes:
        path: of the file.
    """

    def __init__(self, step: Callable[[], bool]) -> None:
        self._step = step
        self._board, self._device = os.openpty()
        tty.setraw(self._device)
        self.path = os.ttyname(self._device)
        self._is_open = True
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends; nothing is stepped any more."""
        self._is_open = False
        os.write(self._device, bytes(4))
        self._thread.join()
        os.close(self._device)
        os.close(self._board)

    def _serve(self) -> None:
        number = 0
        while self._is_open:
            is_enabled = any(os.read(self._board, 4))
            while is_enabled and self._is_open:
                time.sleep(50e-6)  # to others who wait for the board
                if self._step():
                    number, is_enabled = number + 1, False
                    os.write(self._board, number.to_bytes(4, "little"))
