"""A pynq `Device` whose programmable logic is the simulated accelerator.

`pynq.Overlay(bitfile, device=SimulatedDevice(board))` is then what it is on a PYNQ-Z2 or a Kria,
and the driver does not see a difference. This file runs where pynq is installed; joulecut's own
environment has a newer numpy than pynq allows.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pynq.interrupt
from pynq.buffer import PynqBuffer
from pynq.pl_server.device import Device
from pynqmetadata.frontends import Metadata
from pynqmetadata.models.zynq_proc_sys_core import ZynqProcSysCore

from joulecut.targets.fpga.simulated_board import SimulatedBoard
from joulecut.targets.fpga.simulated_interrupts import SimulatedUio

# TODO(pynq > 4.0.0): remove once pynq reads the clocks of Zynq-7000 again. pynq 4.0.0 with
# pynqmetadata 0.2.0 asks for this name, which that processor's class does not give, and ends every
# download of a Zynq-7000 overlay with a TypeError.
if "clk_freq_param_name" not in vars(ZynqProcSysCore):
    ZynqProcSysCore.clk_freq_param_name = lambda _, i: f"PCW_ACT_FPGA{i}_PERIPHERAL_FREQMHZ"


class SimulatedDevice(Device):
    """A board of simulated logic and memory; pynq's active device from then on, as a board's is.

    Interrupts come through a file that pynq finds instead of /dev/uio0; they need `close` at the end.

    Args:
        board: logic and memory.
    """

    def __init__(self, board: SimulatedBoard) -> None:
        super().__init__("joulecut_simulated")
        self.board = board
        self.name = self.tag
        self.arch = board.processor.arch
        self.capabilities = {"REGISTER_RW": True}
        self._uio = SimulatedUio(board.step)
        pynq.interrupt.get_uio_irq = self._uio_of
        Device.active_device = self

    def close(self) -> None:
        """Ends the simulation."""
        self._uio.close()
        self.board.close()

    def _uio_of(self, number: int) -> str | None:
        return self._uio.path if number == self.board.processor.interrupt_number else None

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
        """What the .hwh beside the bitstream says."""
        from pynqmetadata.views.runtime.runtime_metadata_parser import RuntimeMetadataParser

        assert not partial
        return RuntimeMetadataParser(
            Metadata(input=str(Path(bitfile_name).with_suffix(".hwh")))
        )

    def download(self, bitstream: Any, _parser: Any = None) -> None:
        """Resets the logic, as loading a bitstream does; what the file holds does not matter."""
        self.board.reset()
        bitstream.timestamp = self.timestamp = str(datetime.now())
        self.bitfile_name = bitstream.bitfile_name

    def read_registers(self, address: int, length: int) -> bytes:
        """Reads a register of the accelerator or of the processor."""
        return self.board.read(address).to_bytes(4, "little")[:length]

    def write_registers(self, address: int, data: bytes) -> None:
        """Writes a register of the accelerator or of the processor."""
        self.board.write(address, int.from_bytes(bytes(data), "little"))

    def allocate(self, shape: tuple[int, ...], dtype: Any, **_: object) -> PynqBuffer:
        """The host's copy of a new buffer, which is not coherent."""
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = self.board.allocate(nbytes)
        buffer = PynqBuffer(shape, dtype, device=self, device_address=address, bo=address)
        buffer.fill(0x3C)
        buffer.memory, buffer.pointer, buffer.return_to = self, address, self
        buffer.freed = True  # the bytes are numpy's, not a map that pynq may take away
        return buffer

    def return_pointer(self, pointer: int) -> None:
        """Takes a buffer back."""
        self.board.free(pointer)

    def flush(self, bo: int, offset: int, virtual_address: int, nbytes: int) -> None:
        """Copies from the host to the board."""
        self.board.flush(bo + offset, virtual_address, nbytes)

    def invalidate(self, bo: int, offset: int, virtual_address: int, nbytes: int) -> None:
        """Copies from the board to the host."""
        self.board.invalidate(bo + offset, virtual_address, nbytes)
