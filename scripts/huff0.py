"""Huff0, the Huffman coder inside Zstandard, with speeds that are taken in C.

scripts/peers/huff0.c says how its stream is laid out. It links Debian's static libzstd.
"""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SOURCE = Path(__file__).resolve().parent / "peers" / "huff0.c"
BLOCK_BYTES = 128 << 10  # the most that Huff0 codes at once
FLAGS = ("-std=c11", "-O3", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-shared", "-fPIC")

Symbols = NDArray[np.uint8]
Decoder = Literal["auto", "X1", "X2"]
WHICH: dict[Decoder, int] = {"auto": 0, "X1": 1, "X2": 2}


class MissingPeerError(Exception):
    """A peer cannot run here; the message says why and how to get it."""


@dataclass(frozen=True, eq=False)
class Huff0:
    """The built library.

    Attributes:
        library: scripts/peers/huff0.c.
        block: bytes coded with one table, 1 to 128 KiB.
    """

    library: Any
    block: int = BLOCK_BYTES

    @staticmethod
    def build(folder: Path, block: int = BLOCK_BYTES) -> Huff0:
        """Compile into a folder, unless it has been done.

        Raises:
            MissingPeerError: gcc or the static libzstd is absent, or does not fit.
        """
        if not 1 <= block <= BLOCK_BYTES:
            raise ValueError(f"block must be 1 to {BLOCK_BYTES} bytes, not {block}")
        key = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:8]
        path = folder / f"huff0-{key}.so"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            _compile(path)
        library = ctypes.CDLL(str(path))
        _declare(library)
        return Huff0(library, block)

    @property
    def has_bmi2(self) -> bool:
        """Whether Huff0 takes its BMI2 and assembly paths."""
        return bool(self.library.huff0_has_bmi2())

    def encode(self, symbols: Symbols) -> Symbols:
        """Tables and sizes of blocks included, not the number of symbols."""
        coded = self._room(symbols)
        size: int = self.library.huff0_encode(
            symbols.ctypes.data, symbols.size, self.block, coded.ctypes.data, coded.size
        )
        if size == 0 and symbols.size:
            raise ValueError("Huff0 must encode every sequence of bytes, and did not")
        return coded[:size].copy()

    def decode(self, coded: Symbols, count: int, which: Decoder = "auto") -> Symbols:
        """The symbols of what `encode` made of `count` of them.

        Raises:
            ValueError: the stream is not of so many symbols in such blocks.
        """
        symbols = np.empty(count, np.uint8)
        size = self.library.huff0_decode(
            coded.ctypes.data, coded.size, symbols.ctypes.data, count, self.block, WHICH[which]
        )
        if size != count or (count == 0 and coded.size):
            raise ValueError(f"coded must be a Huff0 stream of {count} symbols, and is not")
        return symbols

    def encode_s(self, symbols: Symbols, rounds: int) -> float:
        """Seconds of the fastest of some rounds, measured in C."""
        coded = self._room(symbols)
        return _measured(
            self.library.huff0_time_encode(
                symbols.ctypes.data, symbols.size, self.block, coded.ctypes.data, coded.size,
                rounds,
            )
        )  # fmt: skip

    def decode_s(self, coded: Symbols, count: int, which: Decoder, rounds: int) -> float:
        """Seconds of the fastest of some rounds, measured in C."""
        symbols = np.empty(count, np.uint8)
        return _measured(
            self.library.huff0_time_decode(
                coded.ctypes.data, coded.size, symbols.ctypes.data, count, self.block,
                WHICH[which], rounds,
            )
        )  # fmt: skip

    def _room(self, symbols: Symbols) -> Symbols:
        if symbols.dtype != np.uint8 or not symbols.flags.c_contiguous:
            raise ValueError(f"symbols must be contiguous uint8, not {symbols.dtype}")
        room: int = self.library.huff0_bound(symbols.size, self.block)
        return np.empty(room, np.uint8)


def _measured(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("Huff0 must code the symbols that it is timed on, and did not")
    return seconds


def _compile(path: Path) -> None:
    gcc = shutil.which("gcc")
    if gcc is None:
        raise MissingPeerError("Huff0 is left out: no gcc; run: sudo apt-get install gcc")
    asked = [gcc, "-print-file-name=libzstd.a"]
    archive = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(archive).is_absolute():
        raise MissingPeerError(
            "Huff0 is left out: no libzstd.a; run: sudo apt-get install libzstd-dev"
        )
    built = path.with_suffix(".new")
    # The archive's symbols stay inside: they may be loaded again by other libraries.
    inputs = [str(SOURCE), archive, "-Wl,--exclude-libs,ALL"]
    command = [gcc, *FLAGS, *inputs, "-o", str(built)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MissingPeerError(f"Huff0 is left out: {done.stderr.strip()[-2000:]}")
    built.replace(path)


def _declare(library: ctypes.CDLL) -> None:
    size, pointer, number = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int
    encode = [pointer, size, size, pointer, size]
    decode = [pointer, size, pointer, size, size, number]
    for name, result, arguments in (
        ("huff0_has_bmi2", number, []),
        ("huff0_bound", size, [size, size]),
        ("huff0_encode", size, encode),
        ("huff0_decode", size, decode),
        ("huff0_time_encode", ctypes.c_double, [*encode, number]),
        ("huff0_time_decode", ctypes.c_double, [*decode, number]),
    ):
        function = library[name]
        function.restype = result
        function.argtypes = arguments
        setattr(library, name, function)
