"""The three facts about a program that a device needs, read from its ELF file.

Asking the cross tool chain's `nm` would make running a part depend on building it.
Layout: Tool Interface Standard, Executable and Linking Format 1.2; little endian only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from joulecut.compiler.errors import DeviceError

MACHINES = {40: "armv7", 62: "x86_64", 183: "aarch64", 243: "riscv64"}  # e_machine
SYMBOL_TABLE = 2  # sh_type
FIXED_ADDRESS = 2  # e_type: the program runs at the addresses that it names


@dataclass(frozen=True)
class _Layout:
    """Offsets and formats of a class of ELF files."""

    section_offset: tuple[str, int]  # e_shoff
    section_count: tuple[str, int]  # e_shentsize, e_shnum
    section: str  # type, offset, size, link
    symbol: str  # name, value
    symbol_bytes: int


_LAYOUTS = {
    1: _Layout(("<I", 32), ("<HH", 46), "<4xI8xIII", "<II", 16),
    2: _Layout(("<Q", 40), ("<HH", 58), "<4xI16xQQI", "<I4xQ", 24),
}


def machine(path: Path) -> str:
    """The architecture that a program or library is for: `aarch64`, or `machine 20`.

    Raises:
        DeviceError: if the file cannot be read or is no little-endian ELF file.
    """
    _layout, data = _read(path)
    (number,) = struct.unpack_from("<H", data, 18)
    return MACHINES.get(number, f"machine {number}")


def require_machine(path: Path, arch: str) -> None:
    """Refuse a program for another architecture; raises DeviceError."""
    found = machine(path)
    if found != arch:
        raise DeviceError(
            f"{path} must be built for {arch}, not {found}; use a device for {found}, "
            f"or build the part for {arch}"
        )


def symbol_address(path: Path, name: str) -> int:
    """The address at which a function of a program runs.

    Raises:
        DeviceError: if the program has no such symbol, or chooses its address at run time.
    """
    layout, data = _read(path)
    if struct.unpack_from("<H", data, 16)[0] != FIXED_ADDRESS:
        raise DeviceError(
            f"{path} must be linked at a fixed address (-no-pie), not relocatable"
        )
    wanted = name.encode() + b"\0"
    try:
        for symbol_name, value in _symbols(layout, data):
            if data[symbol_name : symbol_name + len(wanted)] == wanted:
                return value
    except struct.error as error:
        raise DeviceError(f"{path} must be a whole ELF file, not cut short") from error
    raise DeviceError(f"{path} must have the symbol {name}, not be stripped of it")


def _read(path: Path) -> tuple[_Layout, bytes]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DeviceError(f"{path} must be readable, not {error.strerror}") from error
    little_endian = data[5:6] == b"\x01"
    layout = _LAYOUTS.get(data[4]) if len(data) >= 64 else None
    if not data.startswith(b"\x7fELF") or layout is None or not little_endian:
        raise DeviceError(f"{path} must be a little-endian ELF file, not another format")
    return layout, data


def _symbols(layout: _Layout, data: bytes) -> Iterator[tuple[int, int]]:
    """(offset of the name in the file, value) of every symbol."""
    (start,) = struct.unpack_from(*_at(layout.section_offset, data))
    stride, count = struct.unpack_from(*_at(layout.section_count, data))
    sections: list[tuple[int, int, int, int]] = [
        struct.unpack_from(layout.section, data, start + stride * i) for i in range(count)
    ]
    for kind, offset, size, link in sections:
        if kind == SYMBOL_TABLE and link < len(sections):
            _, names, _, _ = sections[link]
            for entry in range(offset, offset + size, layout.symbol_bytes):
                name, value = struct.unpack_from(layout.symbol, data, entry)
                yield names + name, value


def _at(place: tuple[str, int], data: bytes) -> tuple[str, bytes, int]:
    return place[0], data, place[1]
