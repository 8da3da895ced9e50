"""The accelerator's RTL, simulated cycle by cycle, behind its registers.

What a board offers through memory-mapped registers and shared memory, `Simulator` offers with
`read`, `write` and an array. Time passes in `wait`; reads and writes of registers take a few
cycles as well.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np
import numpy.typing as npt

from joulecut.hw.config import MacArrayConfig
from joulecut.hw.cycles import Counts
from joulecut.hw.descriptors import Descriptor, pack
from joulecut.hw.regs import COUNTERS, ERRORS, REGISTERS
from joulecut.hw.verilator import build_library

RTL = Path(__file__).parent / "rtl"
OFFSETS = MappingProxyType({register.name: register.offset for register in REGISTERS})

_FAULTS = {
    1: "a burst crosses a page of 4 KiB or has more than 16 beats",
    2: "an address lies outside of the memory",
    3: "an address is not a multiple of 8",
    4: "an address or a beat changed before it was taken",
    5: "the last beat of a burst is not marked, or none was asked for",
}
_HANG = 6


class SimulationError(RuntimeError):
    """The simulated accelerator broke a rule, reported an error or did not end."""


def sources() -> list[Path]:
    """The SystemVerilog files, packages first, and what they include."""
    files = sorted(
        RTL.glob("*.sv"), key=lambda path: (not path.stem.endswith("_pkg"), path.name)
    )
    return [*files, *sorted(RTL.glob("*.svh")), *sorted(RTL.glob("*.vlt"))]


class Simulator:
    """An accelerator and its memory.

    Args:
        config: its sizes.
        memory: shared with the accelerator, which sees addresses from 0.
        latency: cycles from the address of a burst to its first beat, 2 or more, and from the
            last beat of a write to its answer.
        seed: if not 0, memory and buses pause at random instead.
        library: of this configuration, as `simulation_library` gave it; found or built now if
            None, for which Verilator is needed.
    """

    def __init__(
        self,
        config: MacArrayConfig,
        memory: npt.NDArray[np.uint8],
        *,
        latency: int = 20,
        seed: int = 0,
        library: Path | None = None,
    ) -> None:
        self.config = config
        self.memory = memory
        self._library = _loaded(library or simulation_library(config))
        self._handle = self._library.jc_new(memory.ctypes.data, memory.size, latency)
        self._library.jc_random(self._handle, seed)

    def close(self) -> None:
        """Frees the simulation; it may not be used any more."""
        if self._handle:
            self._library.jc_free(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reset(self) -> None:
        """Pulls the reset for a few cycles; what the memory still owes is forgotten."""
        self._library.jc_reset(self._handle)

    def tick(self, cycles: int) -> None:
        """Lets time pass."""
        self._library.jc_ticks(self._handle, cycles)

    def write(self, register: str, value: int) -> None:
        """Writes a register by its name in hw/regs.py."""
        self._library.jc_write(self._handle, OFFSETS[register], value)

    def read(self, register: str) -> int:
        """Reads a register by its name in hw/regs.py."""
        return int(self._library.jc_read(self._handle, OFFSETS[register]))

    def advance(self, cycles: int) -> bool:
        """Lets time pass until the interrupt is up, and returns whether it is.

        Raises:
            SimulationError: a rule of AXI is broken.
        """
        fault = self._library.jc_run(self._handle, cycles)
        if fault and fault != _HANG:
            raise SimulationError(f"AXI: {_FAULTS[fault]}")
        return not fault

    def wait(self, cycles: int) -> None:
        """Lets time pass until the interrupt is up.

        Raises:
            SimulationError: it is not up after as many cycles, or a rule of AXI is broken.
        """
        if not self.advance(cycles):
            raise SimulationError(f"no interrupt after {cycles} cycles: {self.counts()}")

    def counts(self) -> Counts:
        """The counters as they stand."""
        return Counts(**{name: self.read(name) for name in COUNTERS})

    def run(
        self, descriptors: Sequence[Descriptor], address: int, *, cycles: int = 1 << 28
    ) -> Counts:
        """Writes a list into the memory, runs it, and returns the counters.

        Args:
            descriptors: the list.
            address: where it goes, a multiple of 128.
            cycles: after which it is given up.

        Raises:
            SimulationError: it did not end, reported an error, or broke a rule of AXI.
        """
        data = np.frombuffer(pack(descriptors), np.uint8)
        self.memory[address : address + data.size] = data
        self.write("control", 2)
        self.write("interrupt", 1)
        self.write("interrupt_enable", 1)
        self.write("descriptors", address)
        self.write("count", data.size // 64)
        self.write("control", 1)
        self.wait(cycles)
        status = self.read("status")
        if status & 4:
            names = {code: name for name, code in ERRORS.items()}
            raise SimulationError(
                f"the accelerator reports an error: {names[status >> 8 & 15]}"
            )
        return self.counts()


def simulation_library(config: MacArrayConfig) -> Path:
    """The simulated accelerator as a shared library, built now if it never was."""
    return build_library(
        "jc_core", sources(), RTL / "jc_simulation.cpp", parameters=config.parameters
    )


def _loaded(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    handle, word = ctypes.c_void_p, ctypes.c_uint32
    signatures = {
        "jc_new": ([handle, ctypes.c_uint64, ctypes.c_int], handle),
        "jc_free": ([handle], None),
        "jc_reset": ([handle], None),
        "jc_random": ([handle, word], None),
        "jc_write": ([handle, word, word], None),
        "jc_read": ([handle, word], word),
        "jc_run": ([handle, ctypes.c_uint64], ctypes.c_int),
        "jc_ticks": ([handle, ctypes.c_uint64], None),
    }
    for name, (arguments, result) in signatures.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    return library
