"""This program once more, on a processor that seems to end with AVX2.

onnxruntime chooses its kernels by CPUID and has no switch for it. `mask_cpuid.c`, preloaded,
hides what is behind AVX2 from whoever asks, so that all engines of a bench can stay in one
process and alternate.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from joulecut.compiler.errors import DeviceError

SOURCE = Path(__file__).with_name("mask_cpuid.c")
FLAGS = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-shared", "-fPIC")
REFUSED = 86  # what mask_cpuid.c ends with where the kernel or the processor cannot mask


def is_masked() -> bool:
    """Has `run_masked` started this program?"""
    return "MASKED_BY" in os.environ


def run_masked(folder: Path) -> None:
    """Replace this program by itself under the mask; does not return.

    Args:
        folder: where the library that is preloaded is kept.

    Raises:
        DeviceError: gcc does not compile it, or this machine cannot mask.
    """
    environment = {**os.environ, "LD_PRELOAD": str(built(folder))}
    tried = subprocess.run([sys.executable, "-c", ""], env=environment, check=False)
    if tried.returncode != 0:
        raise DeviceError(_why(tried.returncode))
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def built(folder: Path) -> Path:
    """The library to preload, compiled unless it has been.

    Raises:
        DeviceError: gcc does not compile it.
    """
    key = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:8]
    path = (folder / f"{SOURCE.stem}-{key}.so").resolve()
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["gcc", *FLAGS, str(SOURCE), "-o", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DeviceError(f"gcc must compile {SOURCE.name}, not end with {done.stderr}")
    return path


def _why(status: int) -> str:
    if status == REFUSED:
        return (
            "CPUID must fault for a program that asks for it, and does not here; "
            "use a processor whose /proc/cpuinfo lists cpuid_fault"
        )
    return f"Python must run under {SOURCE.name}, not end with {status}"
