"""A part's library behind TVM's calling convention: `libmodel.so`, and `librpc.so` that calls it."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from joulecut.compiler.errors import DeviceError
from joulecut.targets.base import Target, target, targets
from joulecut.targets.cpu import toolchains
from joulecut.targets.devices.elf import machine
from joulecut.targets.devices.records import read_target

SOURCE = Path(__file__).with_name("rpc_wrapper.c")
_RUNTIME = Path(toolchains.__file__).with_name("runtime")  # for cycles.h
_FLAGS = ("-std=c11", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror")


@contextmanager
def rpc_library(part: Path) -> Generator[tuple[Path, Path]]:
    """Compile the wrapper of a part for the part's own target.

    Yields:
        `libmodel.so`, and `librpc.so`, which looks for the other beside itself.

    Raises:
        DeviceError: the part has no library, or there is no C compiler for its target.
    """
    library = part / "libmodel.so"
    place = _target_of(part, library)
    gcc = toolchains.compiler(place)
    with tempfile.TemporaryDirectory(prefix="joulecut-") as name:
        folder = Path(name)
        shutil.copy(library, folder)
        command = [gcc, *place.toolchain.cflags, *_FLAGS, "-isystem", _tvm_headers()]
        command += ["-I", _RUNTIME, "-Wl,-rpath,$ORIGIN", "-o", "librpc.so", SOURCE]
        toolchains.run([*command, "-L.", "-l:libmodel.so"], folder)
        yield folder / "libmodel.so", folder / "librpc.so"


def _target_of(part: Path, library: Path) -> Target:
    """The target that the part names, else any of the architecture of its library."""
    arch = machine(library)
    name = read_target(part)
    if name:
        return target(name)
    found = next((each for each in targets() if each.arch == arch), None)
    if found is None:
        raise DeviceError(f"{library} must be built for a known target, not for {arch}")
    return found


def _tvm_headers() -> Path:
    """Where tvm/ffi/c_api.h is; importing the package would take seconds."""
    spec = importlib.util.find_spec("tvm_ffi")
    assert spec is not None  # joulecut depends on it
    assert spec.origin is not None
    return Path(spec.origin).parent / "include"
