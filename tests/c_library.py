"""The C kernels as a shared library for ctypes, built by the tests that need one."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
C_FOLDER = ROOT / "kernels/c"
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror")
FLAGS = ("-O3", "-ffp-contract=off", *WARNINGS)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="joulecut-test-")


@cache
def c_library(*sources: str, flags: tuple[str, ...] = (), cc: str = "gcc") -> ctypes.CDLL:
    """A library of files in kernels/c, by name; all of them if none is named."""
    paths = [C_FOLDER / name for name in sources] or sorted(C_FOLDER.glob("*.c"))
    name = hashlib.sha256(repr((paths, flags, cc)).encode()).hexdigest()[:16]
    target = Path(_folder().name) / f"{name}.so"
    command = [cc, *FLAGS, *flags, "-fPIC", "-shared", *paths, "-o", target, "-lm"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(target))


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """Where a C-contiguous array starts; keep the array alive during the call."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
