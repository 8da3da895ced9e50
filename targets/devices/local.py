"""This machine: runs a part inside this process, through `libmodel.so`.

ctypes lets go of the interpreter lock during a call and every call owns its arena and its
tensors, so that threads may run one part side by side.
"""

from __future__ import annotations

import ctypes
import shutil
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.compiler.profile import Profile
from joulecut.compiler.quant import TensorSpec
from joulecut.targets.devices.buffers import aligned, pointers
from joulecut.targets.devices.clock import profile_by_clock
from joulecut.targets.devices.elf import require_machine
from joulecut.targets.devices.link_coder import LinkCoder
from joulecut.targets.devices.native import native_arch, require_runnable
from joulecut.targets.devices.protocol import Progress, Sent, Signature
from joulecut.targets.devices.records import (
    BuiltLayer,
    check_feeds,
    read_layers,
    sample_shape,
    to_records,
)

_OBSERVER = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_size_t
)


@dataclass(frozen=True)
class LocalDevice:
    """The processor that runs this program.

    Attributes:
        threads: that share a part's work; no more than there are processors take part.
    """

    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigError(f"threads of local must be at least 1, not {self.threads}")

    @property
    def address(self) -> str:
        """`local`, or `local,threads=2`."""
        return "local" if self.threads == 1 else f"local,threads={self.threads}"

    @property
    def arch(self) -> str:
        """This machine's architecture."""
        return native_arch()

    def check(self) -> None:
        """This machine is always here."""

    def run(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """The outputs of the part; see Device.run."""
        library = _load(part)

        with library.team(self.threads) as run:
            return _each(library, inputs, signature, run, progress)

    def send(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> Sent:
        """Outputs and coded frames; see Device.send."""
        library = _load(part)
        coder = LinkCoder(library.handle, library.path)
        frames: list[bytes] = []

        with library.team(self.threads) as run:

            def call(sample: _Sample) -> None:
                run(sample)
                frames.append(coder.frame(sample.link))

            outputs = _each(library, inputs, signature, call, progress, coded=True)
        return Sent(outputs, tuple(frames))

    def trace(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """The output of every layer; see Device.trace."""
        library = _load(part)
        recorder = _Recorder(read_layers(part), library.read_layer)
        observer = _OBSERVER(recorder.observe)

        def call(sample: _Sample) -> None:
            done = library.run_observed(
                sample.inputs, sample.outputs, sample.arena, observer, None
            )
            library.check(done)
            recorder.end_sample()

        _each(library, inputs, signature, call, progress)
        return recorder.arrays()

    def profile(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        repeats: int = 20,
    ) -> Profile:
        """Nanoseconds per layer, measured by the part's own program; see Device.profile."""
        check_feeds(inputs, signature.fed)
        record = to_records(inputs, signature.fed)[:1].tobytes()
        coded = bool(signature.link)
        return profile_by_clock(
            self.address, part, record, repeats, coded=coded, threads=self.threads
        )


@dataclass(frozen=True)
class _Library:
    path: Path
    handle: ctypes.CDLL
    run: Callable[..., int]
    run_observed: Callable[..., int]
    read_layer: Callable[..., None]
    arena_bytes: int

    def check(self, returned: int) -> None:
        if returned != 0:
            raise DeviceError(f"model_run of {self.path} must return 0, not {returned}")

    @contextmanager
    def team(self, threads: int) -> Generator[Callable[[_Sample], None]]:
        """What runs one sample, by so many threads."""
        if threads == 1:
            yield lambda sample: self.check(
                self.run(sample.inputs, sample.outputs, sample.arena)
            )
            return
        start, run, stop = _team_functions(self.handle)
        team = start(threads)
        if not team:
            raise DeviceError(f"{threads} threads must start, and do not; use fewer")
        try:
            yield lambda sample: self.check(
                run(team, sample.inputs, sample.outputs, sample.arena, None, None)
            )
        finally:
            stop(team)


@dataclass(frozen=True)
class _Sample:
    """The arguments of one call: arrays of pointers, and the arena."""

    inputs: Any
    outputs: Any
    link: Any
    arena: int


def _team_functions(handle: ctypes.CDLL) -> tuple[Any, Any, Any]:
    start, run, stop = (
        handle.model_threads_start,
        handle.model_run_threads,
        handle.model_threads_stop,
    )
    start.argtypes, start.restype = [ctypes.c_int32], ctypes.c_void_p
    run.argtypes, run.restype = [ctypes.c_void_p] * 6, ctypes.c_int32
    stop.argtypes, stop.restype = [ctypes.c_void_p], None
    return start, run, stop


_loaded: dict[tuple[Path, int, int, int], _Library] = {}
_loading = threading.Lock()


def _load(part: Path) -> _Library:
    """The part's library, opened once per content."""
    path = (part / "libmodel.so").resolve()
    try:
        stat = path.stat()
    except OSError as error:
        raise DeviceError(
            f"{path} must be readable, not {error.strerror}; build the part for this machine"
        ) from error
    key = (path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    with _loading:
        if key not in _loaded:
            _loaded[key] = _open(path)
        return _loaded[key]


def load_library(path: Path) -> ctypes.CDLL:
    """Open a private copy: the loader would hand out an older library of the same name.

    Raises:
        DeviceError: this processor cannot run it, or it is no library.
    """
    require_machine(path, native_arch())
    require_runnable(path.parent)
    with tempfile.TemporaryDirectory(prefix="joulecut-") as folder:
        try:
            return ctypes.CDLL(shutil.copy(path, folder))
        except OSError as error:
            raise DeviceError(f"{path} must be a built part's library; {error}") from error


def _open(path: Path) -> _Library:
    library = load_library(path)
    try:
        run, observed = library.model_run, library.model_run_observed
        read_layer = library.model_read_layer
        arena_bytes = ctypes.c_size_t.in_dll(library, "model_arena_bytes").value
    except (AttributeError, ValueError) as error:
        raise DeviceError(f"{path} must be a built part's library; {error}") from error
    run.argtypes = [ctypes.c_void_p] * 3
    observed.argtypes = [*[ctypes.c_void_p] * 3, _OBSERVER, ctypes.c_void_p]
    run.restype = observed.restype = ctypes.c_int32
    read_layer.argtypes = [ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p]
    read_layer.restype = None
    return _Library(path, library, run, observed, read_layer, arena_bytes)


def _each(
    library: _Library,
    inputs: Mapping[str, np.ndarray],
    signature: Signature,
    call: Callable[[_Sample], None],
    progress: Progress | None,
    *,
    coded: bool = False,
) -> dict[str, np.ndarray]:
    """Call once per sample, with tensors and arena that only this run knows."""
    fed = signature.fed if coded else signature.inputs
    count = check_feeds(inputs, fed)
    given = [aligned(spec.nbytes) for spec in fed]
    made = [aligned(spec.nbytes) for spec in signature.outputs]
    arena = aligned(library.arena_bytes)
    specs = (*fed, *signature.outputs)
    known = {spec.name: buffer for spec, buffer in zip(specs, [*given, *made], strict=True)}
    sample = _Sample(
        pointers(given[: len(signature.inputs)]),
        pointers(made),
        pointers([known[spec.name] for spec in signature.link] if coded else []),
        arena.ctypes.data,
    )
    sources = [np.ascontiguousarray(inputs[spec.name]) for spec in fed]
    results = [np.empty((count, *sample_shape(spec)), spec.dtype) for spec in signature.outputs]
    for index in range(count):
        for buffer, source in zip(given, sources, strict=True):
            buffer[:] = source[index].reshape(-1).view(np.uint8)
        call(sample)
        for buffer, spec, result in zip(made, signature.outputs, results, strict=True):
            result[index] = buffer.view(spec.dtype).reshape(sample_shape(spec))
        if progress is not None:
            progress(index + 1, count)
    return {spec.name: result for spec, result in zip(signature.outputs, results, strict=True)}


class _Recorder:
    """Copies what the observer shows; an exception cannot cross C, so faults are kept."""

    def __init__(self, layers: Sequence[BuiltLayer], read_layer: Callable[..., None]) -> None:
        self._read_layer = read_layer
        self._specs: list[TensorSpec] = [layer.output for layer in layers]
        self._seen: list[list[bytes]] = [[] for _ in layers]
        self._samples = 0
        self._fault = ""

    def observe(self, _user: int, layer: int, output: int, nbytes: int) -> None:
        if not 0 <= layer < len(self._specs):
            self._fault = f"layer must be in 0..{len(self._specs) - 1}, not {layer}"
        elif nbytes != self._specs[layer].nbytes:
            spec = self._specs[layer]
            self._fault = f"layer '{spec.name}' must make {spec.nbytes} bytes, not {nbytes}"
        else:
            dense = ctypes.create_string_buffer(nbytes)
            self._read_layer(layer, output, dense)
            self._seen[layer].append(dense.raw)

    def end_sample(self) -> None:
        self._samples += 1
        for spec, seen in zip(self._specs, self._seen, strict=True):
            if len(seen) != self._samples and not self._fault:
                self._fault = f"layer '{spec.name}' must be observed once per sample"
        if self._fault:
            raise DeviceError(f"{self._fault}; layers.json and libmodel.so do not match")

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            spec.name: np.frombuffer(bytearray(b"".join(seen)), spec.dtype).reshape(
                self._samples, *sample_shape(spec)
            )
            for spec, seen in zip(self._specs, self._seen, strict=True)
        }
