"""Builds the QEMU plugin on first use, and reads the counters that it writes.

Counts of instructions and memory accesses are exact and repeat, which a clock under an
emulator never does; they are a cost signal without a board, not cycles.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from joulecut.compiler.errors import DeviceError
from joulecut.compiler.profile import LayerProfile, Quantity

SOURCE = Path(__file__).with_name("qemu_plugin.c")
BLOCKS = Path(__file__).with_name("qemu_blocks.c")
FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden")
QEMU_WITH_API_2 = 9  # first major version that refuses plugins of API version 1

# (name, unit) of the numbers on a line of the plugin's file, in their order
COUNTERS = (
    ("instructions", "instruction"),
    ("loads", "access"),
    ("stores", "access"),
    ("load_bytes", "B"),
    ("store_bytes", "B"),
    ("l1_misses", "line"),
    ("l2_misses", "line"),
)


@dataclass(frozen=True)
class CacheModel:
    """Two LRU levels of data cache; the default is the smallest common Cortex-A53.

    Sizes of the default: Arm Cortex-A53 MPCore Technical Reference Manual r0p4, sections 6.1
    and 7.1 (32 KiB 4-way L1 data, 512 KiB 16-way L2, 64-byte lines; both sizes are options).
    """

    l1_bytes: int = 32 << 10
    l1_ways: int = 4
    l2_bytes: int = 512 << 10
    l2_ways: int = 16
    line_bytes: int = 64

    def arguments(self) -> dict[str, int]:
        """The plugin's arguments."""
        return {
            "l1_sets": self.l1_bytes // self.l1_ways // self.line_bytes,
            "l1_ways": self.l1_ways,
            "l2_sets": self.l2_bytes // self.l2_ways // self.line_bytes,
            "l2_ways": self.l2_ways,
            "line_shift": self.line_bytes.bit_length() - 1,
        }

    def __str__(self) -> str:
        return (
            f"L1 {self.l1_bytes >> 10} KiB {self.l1_ways}-way, "
            f"L2 {self.l2_bytes >> 10} KiB {self.l2_ways}-way, "
            f"{self.line_bytes}-byte lines, LRU, no prefetch"
        )


def build_plugin(qemu: str, source: Path = SOURCE) -> Path:
    """The plugin for an emulator, compiled by the host's gcc into the user's cache.

    Raises:
        DeviceError: if the emulator takes no plugins, or there is no gcc, or it refuses.
    """
    usage, version = _say(qemu, "--help"), _say(qemu, "--version")
    if "-plugin" not in usage:
        raise DeviceError(
            f"{qemu} must be built with plugins to count instructions, and is not; "
            "install Debian's qemu-user (qemu-user-static has none)"
        )
    major = re.search(r"version (\d+)", version)
    api = 2 if major is not None and int(major[1]) >= QEMU_WITH_API_2 else 1
    flags = (*FLAGS, f"-DPLUGIN_API_VERSION={api}")
    text = source.read_bytes() + " ".join(flags).encode()
    built = _cache() / f"{source.stem}-{hashlib.sha256(text).hexdigest()[:16]}.so"
    if not built.exists():
        _compile(flags, source, built)
    return built


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "joulecut"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _say(program: str, option: str) -> str:
    done = subprocess.run([program, option], capture_output=True, text=True, check=False)
    return done.stdout


def _compile(flags: Sequence[str], source: Path, built: Path) -> None:
    """Compile beside the place and rename: another process may do the same right now."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise DeviceError(
            "gcc must be installed to count instructions under qemu, and is not; "
            "install it (Debian: gcc), or profile on the device `local`"
        )
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        fresh = Path(folder) / built.name
        command = [compiler, *flags, "-o", str(fresh), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DeviceError(f"{source.name} must compile with {compiler}:\n{done.stderr}")
        fresh.replace(built)


def read_counts(
    path: Path, stages: Sequence[tuple[str, str]], samples: int
) -> list[LayerProfile]:
    """Counts per stage, given by name and kind, of the last of `samples` runs.

    Raises:
        DeviceError: if the plugin wrote nothing, or another number of snapshots than
            `samples` runs of these stages make.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise DeviceError(
            "the qemu plugin must write its counters, and did not; "
            f"qemu must have ended before it could ({error.strerror})"
        ) from error
    expected = samples * (len(stages) + 1)
    if len(lines) != expected:
        raise DeviceError(
            f"model_hook must be called {expected} times in {samples} runs of "
            f"{len(stages)} layers, not {len(lines)}; build the part again"
        )
    rows = [[int(word) for word in line.split()] for line in lines[-len(stages) - 1 :]]
    return [
        _counted(name, kind, before, after)
        for (name, kind), before, after in zip(stages, rows[:-1], rows[1:], strict=True)
    ]


def _counted(name: str, kind: str, before: list[int], after: list[int]) -> LayerProfile:
    counts = {
        counter: Quantity(after[i] - before[i], unit, "simulated")
        for i, (counter, unit) in enumerate(COUNTERS)
    }
    return LayerProfile(name, kind, counts)
