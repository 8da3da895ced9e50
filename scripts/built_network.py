"""A network of the bench as joulecut builds it: its library, ready to be called, and its sizes."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
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

Call = Callable[[], object]

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
        library: it, opened.
        call: runs it once, from `x` to `y`, on one thread.
        x: what it reads; fill it in place.
        y: what it writes.
        build_s: from the file of the model to the library, no kernel known before.
        text_bytes: machine code in the library.
        library_bytes: of the whole file, constants included.
    """

    part: BuiltPart
    library: ctypes.CDLL
    call: Call
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
        ConfigError: there is no such target, it does not run here, or none does.
    """
    if name is not None:
        place = target(name)
        if not _runs(place, flags):
            raise ConfigError(
                f"target must be one whose code this processor runs, not '{place.name}'"
            )
        return place
    known = {key: each for each in targets() for key in (each.name, *each.aliases)}
    for wanted in PREFERENCE:
        if wanted in known and _runs(known[wanted], flags):
            return known[wanted]
    raise ConfigError(
        f"processor must run code for {' or '.join(PREFERENCE)}, and this one "
        f"({native_arch()}) does not; time onnxruntime alone with --peers"
    )


def _runs(place: Target, flags: frozenset[str]) -> bool:
    return runs_here(place) and flags.issuperset(PREFERENCE.get(place.name, ()))


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
        library=library,
        call=library_call(library, x, y),
        x=x,
        y=y,
        build_s=build_s,
        text_bytes=text_bytes(path),
        library_bytes=path.stat().st_size,
    )


def library_call(library: ctypes.CDLL, x: np.ndarray, y: np.ndarray) -> Call:
    """A call of model_run on fixed arrays."""
    arena = aligned(ctypes.c_size_t.in_dll(library, "model_arena_bytes").value)
    inputs, outputs, memory = pointers([x]), pointers([y]), ctypes.c_void_p(arena.ctypes.data)

    def call() -> object:
        kept = (arena, x, y)  # the pointers above are of these
        return library.model_run(inputs, outputs, memory), kept

    return call


@contextmanager
def team_call(
    library: ctypes.CDLL, x: np.ndarray, y: np.ndarray, threads: int
) -> Generator[Call | None]:
    """A call by a team of threads, which lives as long as the block; None if there can be none.

    A library without threads has no model_run_threads; a team is no larger than the processors
    that this process may use.
    """
    if not hasattr(library, "model_run_threads"):
        yield None
        return
    library.model_threads_start.restype = ctypes.c_void_p
    team = ctypes.c_void_p(library.model_threads_start(ctypes.c_int32(threads)))
    arena = aligned(ctypes.c_size_t.in_dll(library, "model_arena_bytes").value)
    inputs, outputs, memory = pointers([x]), pointers([y]), ctypes.c_void_p(arena.ctypes.data)

    def call() -> object:
        kept = (arena, x, y)
        return library.model_run_threads(team, inputs, outputs, memory, None, None), kept

    try:
        yield call if team and library.model_threads_count(team) == threads else None
    finally:
        library.model_threads_stop(team)


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
