"""This machine: its architecture, its name for people, and what its processor lacks.

Code for a processor that this one is not would end the whole process with SIGILL.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from joulecut.compiler.errors import DeviceError
from joulecut.targets.base import Target, target
from joulecut.targets.devices.records import read_target

_ARCHES = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "aarch64": "aarch64",
    "arm64": "aarch64",
    "armv7l": "armv7",
    "armv8l": "armv7",
    "riscv64": "riscv64",
}


def native_arch() -> str:
    """This machine's architecture as targets name it."""
    return arch_of(platform.machine())


def arch_of(machine: str) -> str:
    """The architecture as targets name it, from what `uname -m` says."""
    return _ARCHES.get(machine.lower(), machine)


def machine_line() -> str:
    """One line that names the processor, the cores and the system."""
    model = _cpuinfo("model name") or platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


# Linux's names of what x86-64 psABI 1.0, table 3.1, adds at each level, from level 2 on.
_LEVEL_2 = ("cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3")
_LEVEL_3 = (*_LEVEL_2, "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave")
_LEVEL_4 = (*_LEVEL_3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
_LEVELS = {"x86-64": (), "x86-64-v2": _LEVEL_2, "x86-64-v3": _LEVEL_3, "x86-64-v4": _LEVEL_4}
_FEATURES = {"+avx512vnni": "avx512_vnni", "+avxvnni": "avx_vnni"}  # LLVM's names: Linux's


def missing_features(place: Target) -> list[str]:
    """What the code of an x86-64 target needs and this processor does not list.

    Levels that are not known need nothing that could be said.
    """
    flags = set(_cpuinfo("flags").split())
    needed = [*_LEVELS.get(str(place.llvm.get("mcpu", "")), ())]
    needed += [_FEATURES[name] for name in place.llvm.get("mattr", ()) if name in _FEATURES]
    return [feature for feature in needed if flags and feature not in flags]


def runs_here(place: Target) -> bool:
    """Can this processor run the code of a target?"""
    return place.arch == native_arch() and not missing_features(place)


def require_runnable(part: Path) -> None:
    """Refuse a built part whose code this processor cannot run.

    Raises:
        DeviceError: naming the instruction sets that are missing.
    """
    name = read_target(part)
    missing = missing_features(target(name)) if name else []
    if missing:
        raise DeviceError(
            f"processor must have {', '.join(missing)} to run {part} of target '{name}', and "
            f"lacks them; use the device `qemu:{target(name).arch}`"
        )


def _cpuinfo(key: str) -> str:
    """The first entry of a key in Linux's description of the processors, or ""."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    found = (line.partition(":")[2].strip() for line in lines if line.startswith(key))
    return next(found, "")
