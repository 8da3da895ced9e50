"""A board without a board: the simulated accelerator's registers, and memory apart from the host's.

What the processor writes reaches the accelerator when it is flushed, and what the accelerator
writes reaches the processor when it invalidates its cache, not before: who forgets either gets
wrong data, as on the board. Nothing but numpy is needed: targets/fpga/simulated_device.py uses this
where pynq has an environment of its own.
"""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import numpy as np

from joulecut.hw.config import MacArrayConfig
from joulecut.hw.simulator import OFFSETS, Simulator
from joulecut.targets.fpga.processors import RANGE_BYTES, ZYNQ, Processor
from joulecut.targets.fpga.simulated_interrupts import InterruptController

POISON = 0xA5
_PAGE = 4096
_FIRST = 1 << 20  # address of the first buffer: 0 would hide addresses that nobody relocated
_NAMES = {offset: name for name, offset in OFFSETS.items()}


class SimulatedBoard:
    """Programmable logic with one accelerator, the memory that it sees, and the processor's clocks.

    One thread at a time reaches the logic.

    Args:
        config: of the accelerator.
        processor: beside it.
        memory_bytes: of shared memory, at addresses from 0.
        poll_cycles: that pass when the processor looks at the status.
        library: of the simulation, as `joulecut.hw.simulator.simulation_library` gave it; found
            or built now if None.

    Attributes:
        memory: what the accelerator sees.
        simulator: the accelerator.
        buffers: bytes of each that is allocated, by its address.
        system: the processor's own registers, by physical address.
    """

    def __init__(
        self,
        config: MacArrayConfig,
        *,
        processor: Processor = ZYNQ,
        memory_bytes: int = 16 << 20,
        poll_cycles: int = 10_000,
        library: Path | None = None,
    ) -> None:
        self.memory = np.full(memory_bytes, POISON, np.uint8)
        self.simulator = Simulator(config, self.memory, library=library)
        self.processor = processor
        self.poll_cycles = poll_cycles
        self.buffers: dict[int, int] = {}
        self.system = dict(processor.registers)
        self._controller = InterruptController()
        self._lock = threading.RLock()

    def close(self) -> None:
        """Ends the simulation."""
        self.simulator.close()

    # Registers

    def read(self, address: int) -> int:
        """Reads the register at a physical address.

        Raises:
            ValueError: there is none.
        """
        with self._lock:
            if address in self.system:
                return self.system[address]
            if self._is_controller(address):
                self._interrupt(1)
                return self._controller.read(address - self.processor.controller_at)
            name = self._register(address)
            if name == "status":
                self.simulator.advance(self.poll_cycles)
            return self.simulator.read(name)

    def write(self, address: int, value: int) -> None:
        """Writes the register at a physical address.

        Raises:
            ValueError: there is none.
        """
        with self._lock:
            if address in self.system:
                self.system[address] = value
            elif self._is_controller(address):
                self._controller.write(address - self.processor.controller_at, value)
                self._interrupt(1)  # it looks at its input all the time
            else:
                self.simulator.write(self._register(address), value)

    def step(self) -> bool:
        """Lets `poll_cycles` pass, or fewer until the interrupt reaches the processor: whether so.

        Raises:
            SimulationError: a rule of AXI is broken.
        """
        with self._lock:
            return self._interrupt(self.poll_cycles)

    def reset(self) -> None:
        """Resets the logic, as loading a bitstream does."""
        with self._lock:
            self.simulator.reset()
            self._controller = InterruptController()

    def _interrupt(self, cycles: int) -> bool:
        return self._controller.output(self.simulator.advance(cycles))

    def _is_controller(self, address: int) -> bool:
        return 0 <= address - self.processor.controller_at < RANGE_BYTES

    def _register(self, address: int) -> str:
        name = _NAMES.get(address - self.processor.registers_at)
        if name is None:
            raise ValueError(f"0x{address:X} is no register of the simulated board")
        return name

    # Memory

    def allocate(self, nbytes: int) -> int:
        """The address of a poisoned buffer of whole pages.

        Raises:
            MemoryError: the memory is full.
        """
        ends = [address + size for address, size in self.buffers.items()]
        address = max(ends, default=_FIRST)
        size = -(-nbytes // _PAGE) * _PAGE
        if address + size > self.memory.size:
            raise MemoryError(
                f"buffer must fit the {self.memory.size} bytes of the simulated board, not end "
                f"at {address + size}; make a board with more memory_bytes"
            )
        self.buffers[address] = size
        self.memory[address : address + size] = POISON
        return address

    def free(self, address: int) -> None:
        """Gives a buffer back."""
        del self.buffers[address]

    def flush(self, address: int, host: int, nbytes: int) -> None:
        """Copies from the processor's bytes at `host` to the accelerator's at `address`."""
        ctypes.memmove(self._at(address, nbytes), host, nbytes)

    def invalidate(self, address: int, host: int, nbytes: int) -> None:
        """Copies from the accelerator's bytes at `address` to the processor's at `host`."""
        ctypes.memmove(host, self._at(address, nbytes), nbytes)

    def _at(self, address: int, nbytes: int) -> int:
        if not any(
            begin <= address and address + nbytes <= begin + size
            for begin, size in self.buffers.items()
        ):
            raise ValueError(
                f"{nbytes} bytes at 0x{address:X} must lie in a buffer of the simulated board"
            )
        return self.memory.ctypes.data + address
