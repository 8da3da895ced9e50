"""A network of the bench as joulecut builds it: its library, ready to be called, and its sizes."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_networks import BenchNetwork

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.compiler.profile import Profile
from joulecut.targets.base import Target, target, targets
from joulecut.targets.cpu.build import BuiltPart, build_part
from joulecut.targets.devices.buffers import aligned, pointers
from joulecut.targets.devices.clock import profile_by_clock
from joulecut.targets.devices.native import native_arch, runs_here

# The best first; for each what Linux must list beyond what `runs_here` knows of.
PREFERENCE: Mapping[str, tuple[str, ...]] = {
    "x86_64_v4_vnni": (
        "avx512f",
        "avx512bw",
        "avx512cd",
        "avx512dq",
        "avx512vl",
        "avx512_vnni",
    ),
    "x86_64": (),
}


@dataclass(frozen=True, eq=False)
class Built:
    """A library and the arrays that it is called with.

    Attributes:
        part: what the build made.
        call: runs the library once, from `x` to `y`, on one thread.
        threaded: the same on two threads; None if the library has no threads.
        x: what it reads; fill it in place.
        y: what it writes.
        build_s: from the file of the model to the library, no kernel known before.
        text_bytes: machine code in the library.
        library_bytes: of the whole file, constants included.
    """

    part: BuiltPart
    call: Callable[[], object]
    threaded: Callable[[], object] | None
    x: np.ndarray
    y: np.ndarray
    build_s: float
    text_bytes: int
    library_bytes: int

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """The output for an input."""
        self.x[...] = x
        self.call()
        return self.y.copy()

    def profile(self, repeats: int) -> Profile:
        """Nanoseconds of each layer, by the part's own program."""
        return profile_by_clock("local", self.part.directory, self.x.tobytes(), repeats)


def best_target(flags: frozenset[str], name: str | None = None) -> Target:
    """The target to build for.

    Args:
        flags: of the processor, as Linux names them.
        name: of the target; None takes the best of those that this processor runs.

    Raises:
        ConfigError: there is no such target, or none that runs here.
    """
    if name is not None:
        return target(name)
    known = {key: each for each in targets() for key in (each.name, *each.aliases)}
    for wanted, needed in PREFERENCE.items():
        if wanted in known and flags.issuperset(needed) and runs_here(known[wanted]):
            return known[wanted]
    raise ConfigError(
        f"processor must run one of {', '.join(PREFERENCE)}, and {native_arch()} without "
        "AVX2 runs none; name another with --target"
    )


def built(network: BenchNetwork, place: Target, folder: Path) -> Built:
    """Build a network with an empty cache of kernels, and open its library.

    Raises:
        JoulecutError: as `build_part`; the kernels or the tools are missing.
    """
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        started = time.perf_counter()
        part = build_part(network.graph(), place, folder, cache_dir=Path(cache))
        build_s = time.perf_counter() - started
    path = folder / "libmodel.so"
    (given,), (made,) = part.inputs, part.outputs
    x = aligned(given.nbytes).view(given.dtype).reshape(given.shape)
    y = aligned(made.nbytes).view(made.dtype).reshape(made.shape)
    library = ctypes.CDLL(str(path))
    return Built(
        part=part,
        call=library_call(library, x, y),
        threaded=threaded_call(library, x, y, threads=2),
        x=x,
        y=y,
        build_s=build_s,
        text_bytes=text_bytes(path),
        library_bytes=path.stat().st_size,
    )


def library_call(library: ctypes.CDLL, x: np.ndarray, y: np.ndarray) -> Callable[[], object]:
    """A call of model_run on fixed arrays."""
    return _call(library, library.model_run, x, y)


def threaded_call(
    library: ctypes.CDLL, x: np.ndarray, y: np.ndarray, threads: int
) -> Callable[[], object] | None:
    """A call of model_run_threads on fixed arrays; None where the library has none."""
    if not hasattr(library, "model_run_threads"):
        return None
    return _call(library, library.model_run_threads, x, y, ctypes.c_int32(threads))


def _call(
    library: ctypes.CDLL, run: Callable[..., int], x: np.ndarray, y: np.ndarray, *more: object
) -> Callable[[], object]:
    arena = aligned(ctypes.c_size_t.in_dll(library, "model_arena_bytes").value)
    arguments = (pointers([x]), pointers([y]), ctypes.c_void_p(arena.ctypes.data), *more)

    def call() -> object:
        kept = (arena, x, y)  # the pointers above are of these
        return run(*arguments), kept

    return call


def text_bytes(path: Path) -> int:
    """Machine code in a library: its sections .text, as binutils' size lists them.

    Raises:
        DeviceError: size is missing or refuses.
    """
    tool = shutil.which("size")
    if tool is None:
        raise DeviceError("sizes must be read by size; run: apt-get install binutils")
    said = subprocess.run([tool, "-A", str(path)], capture_output=True, text=True, check=False)
    found = re.findall(r"^\.text\S*\s+(\d+)", said.stdout, re.MULTILINE)
    if said.returncode != 0 or not found:
        raise DeviceError(f"size must list the sections of {path}, not say: {said.stderr}")
    return sum(map(int, found))
