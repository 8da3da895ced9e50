"""Compilers and emulators that tests need, and what skips a test where one is absent."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import pytest


def tool(name: str, package: str = "") -> str:
    """The path of a program; skips the test, and says how to get it, where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is absent: apt install {package or name}")
    return found


@dataclass(frozen=True)
class Machine:
    """Another machine, as its cross compiler and its emulator.

    Attributes:
        cc: of Debian's `package`.
        emulator: of Debian's qemu-user.
        package: that has the compiler.
        flags: for a static program with all the vector units that the targets have.
    """

    cc: str
    emulator: str
    package: str
    flags: tuple[str, ...] = ("-static",)

    def compiler(self) -> str:
        """The path of the compiler, or skip."""
        return tool(self.cc, self.package)

    def runner(self) -> str:
        """The path of the emulator, or skip."""
        return tool(self.emulator, "qemu-user")


EMULATED = {
    "aarch64": Machine("aarch64-linux-gnu-gcc", "qemu-aarch64", "gcc-aarch64-linux-gnu"),
    "armv7": Machine(
        "arm-linux-gnueabihf-gcc",
        "qemu-arm",
        "gcc-arm-linux-gnueabihf",
        ("-static", "-mfpu=neon"),
    ),
    "riscv64": Machine("riscv64-linux-gnu-gcc", "qemu-riscv64", "gcc-riscv64-linux-gnu"),
}
