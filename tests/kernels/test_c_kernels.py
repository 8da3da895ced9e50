"""The C kernels alone: strict warnings from both compilers, nothing needed, nothing kept."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cross_tools import EMULATED, tool

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "kernels/c").glob("*.c"))
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror")
FLAGS = ("-O2", "-ffp-contract=off", "-fno-stack-protector")
COMPILERS = {
    "gcc": "gcc",
    "clang": "clang",
    **{machine.cc: machine.package for machine in EMULATED.values()},
}
FROM_LIBC = {"memcpy", "memset", "memmove", "memcmp"}
FROM_COMPILER = {"__cpu_model", "__cpu_indicator_init"}  # libgcc: which instructions there are


@pytest.mark.tool
@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_warning(compiler: str, tmp_path: Path):
    cc = tool(compiler, COMPILERS[compiler])
    command = [cc, *WARNINGS, *FLAGS, "-c", *map(str, SOURCES)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.tool
def test_kernels_need_no_allocator_and_no_io(tmp_path: Path):
    """What the kernels take from the C library, and that they keep no state."""
    cc, nm = tool("gcc"), tool("nm", "binutils")
    subprocess.run([cc, "-std=c11", *FLAGS, "-c", *map(str, SOURCES)], check=True, cwd=tmp_path)
    outside: set[str] = set()
    for built in sorted(tmp_path.glob("*.o")):
        listing = subprocess.run([nm, built], check=True, capture_output=True, text=True).stdout
        symbols = [line.split()[-2:] for line in listing.splitlines()]
        state = [name for kind, name in symbols if kind in "DdBbC"]
        assert not state, f"state in {built.name}: {state}"
        outside |= {name for kind, name in symbols if kind == "U"}
    outside = {name for name in outside if not name.startswith(("jc_", "_GLOBAL_OFFSET"))}
    assert outside <= FROM_LIBC | FROM_COMPILER
