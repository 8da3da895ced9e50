"""Runs programs on the accelerator of a board: one file, which needs numpy and pynq alone.

Copy the folder that `joulecut.targets.fpga.program_files` wrote, this file included, to the board,
and the bitstream and its .hwh beside it. There:

    import pynq
    import driver  # before the overlay: importing it binds the class to the accelerator

    overlay = pynq.Overlay("joulecut.bit")
    with overlay.jc_core_0.load(".") as network:
        outputs, counters = network.run({"x": image})

Python 3.10, numpy 1.26 and pynq 3.0 are enough, hence no newer syntax here.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pynq

# Registers: written by joulecut.hw.regs.
VLNV = "joulecut:accelerator:jc_core:1.0"
IDENTITY = 0x4A434D41
VERSION = 1
DESCRIPTOR_BYTES = 64
ALIGNMENT = 128
FIRST_COUNTER = "cycles"
REGISTERS = {
    "id": 0,
    "version": 4,
    "array": 8,
    "inputs": 12,
    "weights": 16,
    "outputs": 20,
    "parameters": 24,
    "control": 28,
    "status": 32,
    "interrupt": 36,
    "interrupt_enable": 40,
    "descriptors": 44,
    "count": 48,
    "scratch": 52,
    "cycles": 56,
    "mac_cycles": 60,
    "vector_cycles": 64,
    "idle_cycles": 68,
    "load_stalls": 72,
    "store_stalls": 76,
    "weight_stalls": 80,
    "sum_stalls": 84,
    "beats_in": 88,
    "beats_out": 92,
    "activation_reads": 96,
    "weight_reads": 100,
    "bias_reads": 104,
    "scale_reads": 108,
    "sum_updates": 112,
    "sum_drains": 116,
    "output_writes": 120,
    "finished": 124,
}
STATUS = {
    "busy": 1,
    "done": 2,
    "error": 4,
}
CONTROL = {
    "start": 1,
    "clear": 2,
}
SIZES = {
    "rows": ("array", 0, 8),
    "columns": ("array", 8, 8),
    "strip": ("array", 16, 8),
    "lanes": ("array", 24, 8),
    "activation_words": ("inputs", 0, 32),
    "weight_words": ("weights", 0, 32),
    "output_words": ("outputs", 0, 32),
    "parameter_words": ("parameters", 0, 32),
}
ERRORS = {
    "opcode": 1,
    "read": 2,
    "write": 3,
}
OPCODES = {
    "nothing": 0,
    "load": 1,
    "compute": 2,
    "store": 3,
}
MOVE = {
    "opcode": (0, 0, 4),
    "address": (3, 0, 32),
    "row_stride": (4, 0, 32),
    "plane_stride": (5, 0, 32),
    "row_beats": (6, 0, 16),
    "rows": (6, 16, 16),
    "planes": (7, 0, 16),
    "word": (8, 0, 16),
    "plane_words": (8, 16, 16),
    "plane_beats": (9, 0, 16),
}
# End of registers.

FORMAT = 1  # of program.json
BEAT_BYTES = 8  # of the bus, and channels of a plane
ADDRESSES = 1 << 32  # bytes that the accelerator can address
POLL_S = 50e-6  # between two looks at the status

# Memory of runs that have not ended, by its address. pynq frees a buffer that nobody refers to,
# and after a timeout the accelerator may still write there.
_IN_USE: dict[int, Any] = {}


class AcceleratorError(RuntimeError):
    """The accelerator does not suit the program, did not end, or reported an error."""


class Run(NamedTuple):
    """What a run gave.

    Attributes:
        outputs: arrays by name, of the network's shapes.
        counters: cycles, stalls, beats and accesses by name, counted by the accelerator.
    """

    outputs: dict[str, np.ndarray]
    counters: dict[str, int]


class Accelerator(pynq.DefaultIP):
    """The accelerator of an overlay; pynq makes one for each that the bitstream has."""

    bindto = [VLNV]  # noqa: RUF012 - pynq reads a list
    irq: Any = None  # pynq.Interrupt, where the overlay connects it

    def load(self, folder: str | Path) -> Network:
        """Puts a program into memory that the accelerator sees, ready to run.

        Args:
            folder: with program.json, image.bin and descriptors.bin.

        Raises:
            AcceleratorError: the bitstream is not what the program was compiled for, or a file
                is not what was written; nothing has started then.
        """
        folder = Path(folder)
        described = json.loads((folder / "program.json").read_text(encoding="utf-8"))
        if (described["format"], described["registers"]) != (FORMAT, VERSION):
            raise AcceleratorError(
                f"{folder / 'program.json'} must have format {FORMAT} and registers {VERSION}, "
                f"not {described['format']} and {described['registers']}; use the driver.py "
                "that was written with it"
            )
        self.check(described["config"])
        image, descriptors = (
            _content(folder / name, described["sha256"][name])
            for name in ("image.bin", "descriptors.bin")
        )
        return Network(self, described, image, descriptors)

    def check(self, config: Mapping[str, Any]) -> None:
        """Compares identity, version and sizes with those of a program.

        Raises:
            AcceleratorError: with everything that differs.
        """
        identity = self.get("id")
        if identity != IDENTITY:
            raise AcceleratorError(
                f"id of the accelerator must be 0x{IDENTITY:08X}, not 0x{identity:08X}; "
                "load a bitstream of joulecut, with the .hwh of the same build beside it"
            )
        found = {"version": self.get("version"), **self.sizes()}
        wanted = {"version": VERSION, **{name: config[name] for name in SIZES}}
        differing = [
            f"{name} must be {wanted[name]}, not {found[name]}"
            for name in wanted
            if wanted[name] != found[name]
        ]
        if differing:
            raise AcceleratorError(
                f"accelerator must be '{config['name']}', for which the program was compiled: "
                + ", ".join(differing)
                + "; load the bitstream of that configuration, or compile for this one"
            )

    def sizes(self) -> dict[str, int]:
        """How large the accelerator is, by the names of its configuration."""
        return {
            name: self.get(register) >> lsb & (1 << width) - 1
            for name, (register, lsb, width) in SIZES.items()
        }

    def counters(self) -> dict[str, int]:
        """The counters as they stand."""
        names = list(REGISTERS)
        return {name: self.get(name) for name in names[names.index(FIRST_COUNTER) :]}

    def get(self, register: str) -> int:
        """Reads a register by its name."""
        return int(self.read(REGISTERS[register])) & 0xFFFFFFFF  # signed in PYNQ.remote 3.1

    def put(self, register: str, value: int) -> None:
        """Writes a register by its name."""
        self.write(REGISTERS[register], int(value))  # pynq takes no integer of numpy's

    def is_busy(self) -> bool:
        """Whether a list is being run."""
        return bool(self.get("status") & STATUS["busy"])

    def execute(self, address: int, count: int, timeout_s: float) -> None:
        """Runs a list of descriptors by one doorbell, and looks at the status until it has ended.

        Args:
            address: of the list, as the accelerator sees it, a multiple of 128.
            count: of its descriptors.
            timeout_s: seconds after which it is given up.

        Raises:
            AcceleratorError: an earlier list is still running, this one did not end in time, or
                the accelerator reports an error; the last two with all counters.
        """
        self._start(address, count, has_interrupt=False)
        end = time.monotonic() + timeout_s
        is_late = False
        while not (status := self._status()) & STATUS["done"]:
            if is_late:  # so the last look is after the time
                raise self._late(timeout_s, status)
            time.sleep(POLL_S)
            is_late = time.monotonic() > end

    async def execute_async(self, address: int, count: int, timeout_s: float) -> None:
        """The same, waiting for the accelerator's interrupt.

        Raises:
            AcceleratorError: as `execute`, or there is no interrupt.
        """
        if not inspect.iscoroutinefunction(getattr(self.irq, "wait", None)):
            raise AcceleratorError(
                "interrupt (irq) of the accelerator must reach the processor through an axi_intc "
                "and a UIO device, and pynq has found none, as always over PYNQ.remote; "
                "call run, which needs none"
            )
        self._start(address, count, has_interrupt=True)
        try:
            await asyncio.wait_for(self._interrupted(), timeout_s)
        except asyncio.TimeoutError:  # noqa: UP041 - not TimeoutError before Python 3.11
            status = self._status()
            if status & STATUS["done"]:
                raise AcceleratorError(
                    f"interrupt must come within {timeout_s:g} s, and did not, though the "
                    "accelerator has ended; await in the event loop in which the accelerator was "
                    "first used after the overlay was loaded, or call run"
                ) from None
            raise self._late(timeout_s, status) from None
        finally:
            self.put("interrupt_enable", 0)

    async def _interrupted(self) -> None:
        while True:
            await self.irq.wait()
            self.put("interrupt", 1)  # clears it
            if self._status() & STATUS["done"]:  # else a controller has kept an earlier one
                return

    def _start(self, address: int, count: int, *, has_interrupt: bool) -> None:
        if self.is_busy():
            raise AcceleratorError(
                "accelerator must be idle before a run, and is still busy with an earlier one; "
                "load the overlay again"
            )
        self.put("control", CONTROL["clear"])
        self.put("interrupt", 1)  # clears it
        self.put("interrupt_enable", int(has_interrupt))
        self.put("descriptors", address)
        self.put("count", count)
        self.put("control", CONTROL["start"])

    def _status(self) -> int:
        status = self.get("status")
        if status & STATUS["error"]:
            names = {code: name for name, code in ERRORS.items()}
            code = status >> 8 & 15
            raise AcceleratorError(
                f"accelerator reports an error of kind '{names.get(code, code)}': "
                f"{self._counted(status)}; load the overlay again"
            )
        return status

    def _late(self, timeout_s: float, status: int) -> AcceleratorError:
        return AcceleratorError(
            f"accelerator must end within {timeout_s:g} s, and did not: "
            f"{self._counted(status)}; load the overlay again"
        )

    def _counted(self, status: int) -> str:
        counters = ", ".join(f"{name} {value}" for name, value in self.counters().items())
        return f"status 0x{status:08X}, {counters}"


class Network:
    """A program in memory.

    Args:
        accelerator: that it is for.
        described: program.json.
        image: constants, from address 0.
        descriptors: the list, addresses from 0.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        described: Mapping[str, Any],
        image: bytes,
        descriptors: bytes,
    ) -> None:
        self.accelerator = accelerator
        self.inputs = described["inputs"]
        self.outputs = described["outputs"]
        self.count = len(descriptors) // DESCRIPTOR_BYTES
        size = int(described["size"])
        self._list = -(-size // ALIGNMENT) * ALIGNMENT  # where the descriptors begin
        self._buffer: Any = pynq.allocate(
            shape=(self._list + len(descriptors),), dtype="u1", target=accelerator.device
        )
        self._base: int = self._buffer.device_address
        try:
            words = relocated(descriptors, self._base, size)
            self._buffer[: len(image)] = np.frombuffer(image, np.uint8)
            self._buffer[self._list :] = words.view(np.uint8).reshape(-1)
        except AcceleratorError:
            self.close()
            raise
        # Parts of a buffer know their address, but on a board that PYNQ.remote reaches: there only
        # the whole can be flushed.
        self._has_parts = self._buffer[ALIGNMENT:].device_address == self._base + ALIGNMENT
        # All of it, once: lines that the processor's cache still held of the room for
        # activations would be written over what the accelerator has stored there.
        self._buffer.flush()

    def run(self, feeds: Mapping[str, np.ndarray], *, timeout_s: float = 10.0) -> Run:
        """Runs one sample.

        Args:
            feeds: an array for every input, of its type and shape.
            timeout_s: seconds after which the accelerator is given up.

        Raises:
            ValueError: an input is missing, or not of its type and shape; or it was closed.
            AcceleratorError: the accelerator did not end, or reported an error.
        """
        address = self._feed(feeds)
        self.accelerator.execute(address, self.count, timeout_s)
        return self._taken(address)

    async def run_async(
        self, feeds: Mapping[str, np.ndarray], *, timeout_s: float = 10.0
    ) -> Run:
        """`run` that leaves the processor to others until the accelerator's interrupt.

        pynq hears of interrupts in the event loop in which the accelerator was first used after
        the overlay was loaded, and in no other: a notebook has one loop; elsewhere take
        `asyncio.get_event_loop().run_until_complete`, not `asyncio.run`. If this is cancelled, the
        accelerator runs on. After a timeout make a new `pynq.Overlay`, and call `run` until the
        process ends: pynq keeps the wait that was given up, which takes the next interrupt.

        Args:
            feeds: an array for every input, of its type and shape.
            timeout_s: seconds after which the accelerator is given up.

        Raises:
            ValueError: as `run`.
            AcceleratorError: as `run`, or there is no interrupt, or it did not come.
        """
        address = self._feed(feeds)
        await self.accelerator.execute_async(address, self.count, timeout_s)
        return self._taken(address)

    def _feed(self, feeds: Mapping[str, np.ndarray]) -> int:
        """Puts the inputs in their places, and gives the address of the list."""
        if self._buffer is None:
            raise ValueError("network must be open to run, and is closed; load it again")
        for value in self.inputs:
            _check_feed(value, feeds.get(value["name"]))
        written: list[tuple[int, int]] = []  # address and bytes
        for value in self.inputs:
            for place in value["places"]:
                data = laid_out(place, feeds[value["name"]])
                self._buffer[place["address"] : place["address"] + data.size] = data
                written.append((place["address"], data.size))
        for part in self._parts(written):
            part.flush()
        address = self._base + self._list
        _IN_USE[address] = self._buffer
        return address

    def _taken(self, address: int) -> Run:
        """Outputs and counters of a run that has ended."""
        del _IN_USE[address]
        spans = [_span(value["places"][0]) for value in self.outputs]
        for part in self._parts(spans):
            part.invalidate()
        outputs: dict[str, np.ndarray] = {}
        for value, (begin, nbytes) in zip(self.outputs, spans):  # noqa: B905
            (place,) = value["places"]
            data = np.array(self._buffer[begin : begin + nbytes])
            array = taken_out(place, data, value["dtype"])
            outputs[value["name"]] = array.reshape(value["shape"])
        return Run(outputs, self.accelerator.counters())

    def close(self) -> None:
        """Gives the memory back.

        Raises:
            AcceleratorError: the accelerator is busy and may still write there; the memory is
                kept.
        """
        if self._buffer is None:
            return
        if self.accelerator.is_busy():
            raise AcceleratorError(
                "memory must be kept while the accelerator is busy, for it may write there; "
                "load the overlay again, then close"
            )
        _IN_USE.pop(self._base + self._list, None)
        self._buffer.freebuffer()
        self._buffer = None

    def __enter__(self) -> Network:  # noqa: PYI034 - Python 3.10 has no Self
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None or not self.accelerator.is_busy():  # do not hide a timeout
            self.close()

    def _parts(self, spans: list[tuple[int, int]]) -> list[Any]:
        """What to flush for some bytes at addresses: lines of the processor's cache, or all."""
        if not self._has_parts:
            return [self._buffer]
        return [
            self._buffer[
                address // ALIGNMENT * ALIGNMENT : -(-(address + nbytes) // ALIGNMENT)
                * ALIGNMENT
            ]
            for address, nbytes in spans
        ]


def relocated(descriptors: bytes, base: int, size: int) -> np.ndarray:
    """Descriptors whose addresses count from 0, as uint32 [n, 16] for a memory that lies elsewhere.

    Args:
        descriptors: as they were written.
        base: address of the memory, as the accelerator sees it.
        size: its bytes; nothing may be read or written behind them.

    Raises:
        AcceleratorError: the memory cannot be addressed, or a descriptor leaves it.
    """
    words = np.frombuffer(descriptors, "<u4").reshape(-1, DESCRIPTOR_BYTES // 4).copy()
    nbytes = -(-size // ALIGNMENT) * ALIGNMENT + words.nbytes
    if base % ALIGNMENT or base + nbytes > ADDRESSES:
        raise AcceleratorError(
            f"memory must lie below 0x{ADDRESSES:X} at a multiple of {ALIGNMENT}, and "
            f"{nbytes} bytes are at 0x{base:X}; give the Linux kernel a region "
            "of contiguous memory (cma=) below 4 GiB"
        )
    opcode = _field(words, "opcode")
    moves = (opcode == OPCODES["load"]) | (opcode == OPCODES["store"])
    end = (
        _field(words, "address")
        + np.maximum(_field(words, "planes") - 1, 0) * _field(words, "plane_stride")
        + np.maximum(_field(words, "rows") - 1, 0) * _field(words, "row_stride")
        + _field(words, "row_beats") * BEAT_BYTES
    )
    outside = np.flatnonzero(moves & (end > size))
    if outside.size:
        first = int(outside[0])
        raise AcceleratorError(
            f"descriptor {first} must stay within the {size} bytes of its program, and reaches "
            f"{int(end[first])}; compile the network again"
        )
    words[moves, MOVE["address"][0]] += np.uint32(base)
    return words


def _field(words: np.ndarray, name: str) -> np.ndarray:
    word, lsb, width = MOVE[name]
    return words[:, word].astype(np.int64) >> lsb & (1 << width) - 1


def laid_out(place: Mapping[str, Any], array: np.ndarray) -> np.ndarray:
    """An input [1, ..] as the bytes that the accelerator reads."""
    channels, height, width = place["channels"], place["height"], place["width"]
    x = array.reshape(channels, height, width)
    if place["layout"] == "packed":  # [H, pitch]: the channels of a pixel side by side
        top, left, bottom, right = place["pads"]
        border = ((0, 0), (top, bottom), (left, right))
        pixels = np.pad(x, border, constant_values=place["zero_point"]).transpose(1, 2, 0)
        rows = np.zeros((len(pixels), place["pitch"]), array.dtype)
        rows[:, : pixels.shape[1] * channels] = pixels.reshape(len(pixels), -1)
        return rows.view(np.uint8).reshape(-1)
    planes = -(-channels // BEAT_BYTES)  # [planes, H, W, 8]
    full = np.zeros((planes * BEAT_BYTES, height, width), array.dtype)
    full[:channels] = x
    blocks = full.reshape(planes, BEAT_BYTES, height, width).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(blocks).view(np.uint8).reshape(-1)


def _span(place: Mapping[str, Any]) -> tuple[int, int]:
    """Address and bytes of what the accelerator writes."""
    planes = -(-place["channels"] // BEAT_BYTES)
    return place["address"], planes * place["height"] * place["width"] * BEAT_BYTES


def taken_out(place: Mapping[str, Any], data: np.ndarray, dtype: str) -> np.ndarray:
    """[C, H, W] from the bytes that the accelerator wrote."""
    shape = (-1, place["height"], place["width"], BEAT_BYTES)
    planes = data.view(dtype).reshape(shape).transpose(0, 3, 1, 2)
    channels = planes.reshape(-1, place["height"], place["width"])
    return np.ascontiguousarray(channels[: place["channels"]])


def _check_feed(value: Mapping[str, Any], array: np.ndarray | None) -> None:
    shape = list(value["shape"])
    if array is None or array.dtype != value["dtype"] or list(array.shape) != shape:
        found = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
        raise ValueError(
            f"input '{value['name']}' must be {value['dtype']} {shape}, not {found}"
        )


def _content(path: Path, sha256: str) -> bytes:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise AcceleratorError(
            f"{path} must be what program.json was written with, and is not; "
            "copy the folder again"
        )
    return data
