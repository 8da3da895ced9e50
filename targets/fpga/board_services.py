"""What a board that runs PYNQ.remote's server answers, with a simulated board behind it.

The remote procedures that pynq's client (pynq.pl_server.remote_device) calls to load an overlay, to
allocate memory and to reach registers; targets/fpga/remote_board.py serves them over gRPC. Nothing
but numpy is needed here.

Data pass three memories: the host's array, the cache of the board's processor, the board's memory.
`write` and `read` go between the first two, `flush` and `invalidate` between the last two: whoever
leaves one out gets wrong data, as on the board.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from joulecut.targets.fpga.simulated_board import SimulatedBoard

Reply = dict[str, object]

_CHUNK_BYTES = 1 << 20  # of an answer
_FIRMWARE = "/lib/firmware/"
_MANAGER = "/sys/class/fpga_manager/fpga0/"


class _Buffer(NamedTuple):
    """Bytes as the board's processor sees them, and where they lie in its memory."""

    cache: np.ndarray
    address: int


class BoardServices:
    """A board's server: files, registers and buffers.

    Requests are objects with the fields of the procedure's message, answers are fields by name.

    Args:
        board: logic and memory.

    Attributes:
        files: content by path; a bitstream begins to work when the FPGA manager is given its name.
        procedures: by service and name, as gRPC calls them.
    """

    def __init__(self, board: SimulatedBoard) -> None:
        self.board = board
        self.files = {
            "/proc/version": f"Linux version 6.12 (simulated) {board.processor.arch}\n".encode(),
            "/proc/device-tree/chosen/pynq_board": b"joulecut_simulated\0",
            _MANAGER + "state": b"operating\n",
            _MANAGER + "flags": b"0\n",
        }
        self._ranges: list[tuple[int, int]] = []
        self._buffers: dict[str, _Buffer] = {}
        self._made = 0
        self.procedures: Mapping[str, Callable[[Any], Any]] = {
            "remote_device.RemoteDevice/existsfile": self.exists_file,
            "remote_device.RemoteDevice/readfile": self.read_file,
            "remote_device.RemoteDevice/writefile": self.write_file,
            "remote_device.RemoteDevice/set_bitstream_attrs": lambda _: {"status": True},
            "mmio.Mmio/get_mmio": self.get_mmio,
            "mmio.Mmio/read": self.read_register,
            "mmio.Mmio/write": self.write_register,
            "buffer.RemoteBuffer/allocate": self.allocate,
            "buffer.RemoteBuffer/write": self.write_buffer,
            "buffer.RemoteBuffer/read": self.read_buffer,
            "buffer.RemoteBuffer/flush": self.flush,
            "buffer.RemoteBuffer/invalidate": self.invalidate,
            "buffer.RemoteBuffer/freebuffer": self.free,
            "buffer.RemoteBuffer/physical_address": lambda request: {
                "address": self._buffer(request).address
            },
            "buffer.RemoteBuffer/virtual_address": lambda request: {
                "address": self._buffer(request).cache.ctypes.data
            },
            "buffer.RemoteBuffer/cacheable": lambda request: {
                "cacheable": bool(self._buffer(request))
            },
        }

    # Files

    def exists_file(self, request: Any) -> Reply:
        """Whether there is a file."""
        return {"exists": request.file_path in self.files}

    def read_file(self, request: Any) -> Iterator[Reply]:
        """What a file holds.

        Raises:
            FileNotFoundError: there is none.
        """
        if request.file_path not in self.files:
            raise FileNotFoundError(f"{request.file_path} must be on the board, and is not")
        return _chunks("data", self.files[request.file_path])

    def write_file(self, requests: Iterable[Any]) -> Reply:
        """Writes a file anew; the FPGA manager's loads the bitstream that it names.

        Raises:
            ValueError: no path was given.
            FileNotFoundError: there is no bitstream of that name.
        """
        parts = list(requests)
        if not parts:
            raise ValueError("a file must have a path, and no part of one was sent")
        path, content = parts[0].file_path, b"".join(part.data for part in parts)
        if path == _MANAGER + "firmware":
            bitstream = _FIRMWARE + content.decode().strip()
            if not self.files.get(bitstream):
                raise FileNotFoundError(
                    f"{bitstream} must be on the board to be loaded, and is not; write it first"
                )
            self.board.reset()
        self.files[path] = content
        return {}

    # Registers

    def get_mmio(self, request: Any) -> Reply:
        """A name for a range of physical addresses."""
        self._ranges.append((request.base_addr, request.length))
        return {"status": True, "mmio_id": str(len(self._ranges) - 1)}

    def read_register(self, request: Any) -> Reply:
        """Reads a register, or its low bytes.

        Raises:
            ValueError: there is none, or the answer would have more than 4 bytes.
        """
        if request.length > 4:
            raise ValueError(f"a register must be read by 4 bytes, not {request.length}")
        value = self.board.read(self._address(request, request.length))
        return {"status": True, "data": value & (1 << 8 * request.length) - 1}

    def write_register(self, request: Any) -> Reply:
        """Writes a register.

        Raises:
            ValueError: there is none, or the data are not 4 bytes.
        """
        if len(request.data) != 4:
            raise ValueError(f"a register must be written by 4 bytes, not {len(request.data)}")
        address = self._address(request, len(request.data))
        self.board.write(address, int.from_bytes(request.data, "little"))
        return {"status": True}

    def _address(self, request: Any, nbytes: int) -> int:
        number = int(request.mmio_id)
        if number >= len(self._ranges):
            raise ValueError(f"no range of registers has the name '{number}'")
        base, length = self._ranges[number]
        if request.offset + nbytes > length:
            raise ValueError(
                f"{nbytes} bytes at {request.offset} must lie in the {length} of their range"
            )
        return base + request.offset

    # Memory

    def allocate(self, request: Any) -> Reply:
        """A name for a new buffer, whose two copies hold different things.

        Raises:
            MemoryError: the board's memory is full.
        """
        address = self.board.allocate(request.size)
        name, self._made = f"buffer {self._made}", self._made + 1
        self._buffers[name] = _Buffer(np.full(request.size, 0x5A, np.uint8), address)
        return {"buffer_id": name}

    def write_buffer(self, requests: Iterable[Any]) -> Reply:
        """Fills the cache, from the beginning of the buffer.

        Raises:
            ValueError: there is no such buffer, or the data are longer.
        """
        place = 0
        for request in requests:
            cache, end = self._buffer(request).cache, place + len(request.data)
            if end > cache.size:
                raise ValueError(
                    f"data must fit the {cache.size} bytes of the buffer, not {end}"
                )
            cache[place:end] = np.frombuffer(request.data, np.uint8)
            place = end
        return {}

    def read_buffer(self, request: Any) -> Iterator[Reply]:
        """All that the cache holds of a buffer.

        Raises:
            ValueError: there is no such buffer.
        """
        return _chunks("data", self._buffer(request).cache.tobytes())

    def flush(self, request: Any) -> Reply:
        """Cache -> memory.

        Raises:
            ValueError: there is no such buffer.
        """
        cache, address = self._buffer(request)
        self.board.flush(address, cache.ctypes.data, cache.size)
        return {}

    def invalidate(self, request: Any) -> Reply:
        """Memory -> cache.

        Raises:
            ValueError: there is no such buffer.
        """
        cache, address = self._buffer(request)
        self.board.invalidate(address, cache.ctypes.data, cache.size)
        return {}

    def free(self, request: Any) -> Reply:
        """Gives a buffer back.

        Raises:
            ValueError: there is no such buffer.
        """
        self.board.free(self._buffer(request).address)
        del self._buffers[request.buffer_id]
        return {}

    def _buffer(self, request: Any) -> _Buffer:
        found = self._buffers.get(request.buffer_id)
        if found is None:
            raise ValueError(
                f"no buffer has the name '{request.buffer_id}'; allocate it, or another board did"
            )
        return found


def _chunks(field: str, data: bytes) -> Iterator[Reply]:
    for begin in range(0, len(data), _CHUNK_BYTES):
        yield {field: data[begin : begin + _CHUNK_BYTES]}
