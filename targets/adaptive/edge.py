"""Runs the edge of an adaptive bundle: in this process, or as its program under an emulator."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.compiler.quant import TensorSpec
from joulecut.compiler.selection import check_channel
from joulecut.targets.devices.buffers import aligned, pointers
from joulecut.targets.devices.device import Device
from joulecut.targets.devices.elf import require_machine
from joulecut.targets.devices.local import LocalDevice, load_library
from joulecut.targets.devices.program import run_program
from joulecut.targets.devices.qemu import QemuDevice
from joulecut.targets.devices.records import check_feeds, sample_shape, to_records

NO_CUT = -1


@dataclass(frozen=True)
class EdgeRun:
    """What an edge did with N samples.

    Attributes:
        cuts: of each sample; None: no cut kept the bounds, so that nothing was computed or sent.
        messages: of each sample; empty without a cut.
        outputs: [N, ...] of every output of the whole that layers make; zeros where the edge
            does not make it.
    """

    cuts: tuple[int | None, ...]
    messages: tuple[bytes, ...]
    outputs: dict[str, np.ndarray]


@dataclass(frozen=True)
class Task:
    """What an edge is asked to do.

    Attributes:
        inputs: of the whole, in order.
        outputs: of the whole that layers make, in order.
        n_cuts: that it knows.
        feeds: [N, ...] for each input.
        channels: N of them, seconds per bit; one of fixed cuts counts for nothing.
        previous: the cut before the first sample.
        fixed: the one cut to use whatever the channel.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    n_cuts: int
    feeds: Mapping[str, np.ndarray]
    channels: Sequence[float]
    previous: int | None = None
    fixed: int | None = None

    def checked(self) -> int:
        """The number of samples.

        Raises:
            ConfigError: feeds, channels or a cut do not fit.
        """
        count = check_feeds(self.feeds, self.inputs)
        if len(self.channels) != count:
            raise ConfigError(
                f"channels must be one for each of {count} samples, not {len(self.channels)}"
            )
        for x in self.channels:
            check_channel(x, self.previous, self.n_cuts)
        if self.fixed is not None and not 0 <= self.fixed < self.n_cuts:
            raise ConfigError(f"cut must be in 0..{self.n_cuts - 1}, not {self.fixed}")
        return count


def run_edge(folder: Path, device: Device, task: Task) -> EdgeRun:
    """Choose, run, code, sample after sample.

    Args:
        folder: of the built edge.
        device: `local` or `qemu:ARCH`.
        task: what to do.

    Raises:
        ConfigError: the task does not fit.
        DeviceError: the device is another one, or the edge cannot run there.
    """
    task.checked()
    if isinstance(device, LocalDevice):
        return _run_here(folder, device, task)
    if isinstance(device, QemuDevice):
        return _run_emulated(folder, device, task)
    raise DeviceError(
        f"device of an adaptive edge must be local or qemu:ARCH, not {device.address}"
    )


@cache
def _library(path: Path, _stamp: tuple[int, int, int]) -> ctypes.CDLL:
    """The library, with types; opened once per content."""
    library = load_library(path)
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    try:
        for name, result, arguments in (
            ("model_check", ctypes.c_int32, []),
            ("model_select", ctypes.c_int32, [ctypes.c_double, ctypes.c_int32]),
            (
                "model_run_cut",
                size,
                [pointer, ctypes.c_int32, pointer, pointer, pointer, pointer, size],
            ),
            ("model_workspace_bytes", size, []),
            ("model_message_bound", size, []),
            ("model_threads_start", pointer, [ctypes.c_int32]),
            ("model_threads_stop", None, [pointer]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError as error:
        raise DeviceError(f"{path} must be an adaptive edge's library; {error}") from error
    if library.model_check() != 0:
        raise DeviceError(f"table of cuts in {path} must be as it was built; build it again")
    return library


def edge_library(folder: Path) -> Any:
    """The functions of `model.h` of an edge that was built for this machine.

    Raises:
        DeviceError: it cannot be loaded here.
    """
    path = (folder / "libmodel.so").resolve()
    try:
        stat = path.stat()
    except OSError as error:
        raise DeviceError(f"{path} must be readable, not {error.strerror}") from error
    return _library(path, (stat.st_ino, stat.st_mtime_ns, stat.st_size))


def _run_here(folder: Path, device: LocalDevice, task: Task) -> EdgeRun:
    library = edge_library(folder)
    team = library.model_threads_start(device.threads) if device.threads > 1 else None
    if device.threads > 1 and not team:
        raise DeviceError(f"{device.threads} threads must start, and do not; use fewer")
    try:
        return _each(library, team, task)
    finally:
        if team:
            library.model_threads_stop(team)


def _each(library: Any, team: int | None, task: Task) -> EdgeRun:
    given = [aligned(spec.nbytes) for spec in task.inputs]
    made = [aligned(spec.nbytes) for spec in task.outputs]
    workspace = aligned(library.model_workspace_bytes())
    message = aligned(library.model_message_bound())
    sources = [np.ascontiguousarray(task.feeds[spec.name]) for spec in task.inputs]
    cuts: list[int | None] = []
    messages: list[bytes] = []
    rows: list[bytes] = []
    previous = NO_CUT if task.previous is None else task.previous
    for index, x in enumerate(task.channels):
        for buffer, source in zip(given, sources, strict=True):
            buffer[:] = source[index].reshape(-1).view(np.uint8)
        for buffer in made:
            buffer[:] = 0
        fixed = task.fixed
        previous = library.model_select(x, previous) if fixed is None else fixed
        nbytes = 0
        if previous != NO_CUT:
            nbytes = library.model_run_cut(
                team,
                previous,
                pointers(given),
                pointers(made),
                workspace.ctypes.data,
                message.ctypes.data,
                len(message),
            )
            if nbytes == 0:
                raise DeviceError("what crosses must be finite numbers to be coded, and is not")
        cuts.append(None if previous == NO_CUT else previous)
        messages.append(message[:nbytes].tobytes())
        rows.append(b"".join(buffer.tobytes() for buffer in made))
    return EdgeRun(tuple(cuts), tuple(messages), _outputs(rows, task.outputs))


def _run_emulated(folder: Path, device: QemuDevice, task: Task) -> EdgeRun:
    program = folder / "model"
    emulator = device.emulator()
    require_machine(program, device.arch)
    options = [] if task.previous is None else ["--previous", str(task.previous)]
    options += [] if task.fixed is None else ["--cut", str(task.fixed)]
    with tempfile.TemporaryDirectory(prefix="joulecut-") as name:
        scratch = Path(name)
        source, channels, result = (scratch / each for each in ("input", "channels", "output"))
        to_records(task.feeds, task.inputs).tofile(source)
        np.asarray(task.channels, "<f8").tofile(channels)
        files = [str(path) for path in (source, channels, result)]
        command = [*emulator, str(program.resolve()), *options, *files, str(len(task.channels))]
        run_program(command, device.timeout_s)
        return read_run(result.read_bytes(), task.outputs, len(task.channels))


def read_run(raw: bytes, outputs: Sequence[TensorSpec], count: int) -> EdgeRun:
    """What an edge's program wrote of `count` samples.

    Raises:
        DeviceError: it wrote more, or less.
    """
    record_bytes = sum(spec.nbytes for spec in outputs)
    cuts: list[int | None] = []
    messages: list[bytes] = []
    rows: list[bytes] = []
    at = 0
    while at + 8 <= len(raw):
        cut = int.from_bytes(raw[at : at + 4], "little", signed=True)
        end = at + 8 + int.from_bytes(raw[at + 4 : at + 8], "little")
        cuts.append(None if cut == NO_CUT else cut)
        messages.append(raw[at + 8 : end])
        rows.append(raw[end : end + record_bytes])
        at = end + record_bytes
    if len(cuts) != count or at != len(raw):
        raise DeviceError(
            f"edge's program must write {count} samples in {len(raw)} bytes, not {len(cuts)} "
            f"in {at}; it stopped early, or was built for another network"
        )
    return EdgeRun(tuple(cuts), tuple(messages), _outputs(rows, outputs))


def _outputs(rows: Sequence[bytes], specs: Sequence[TensorSpec]) -> dict[str, np.ndarray]:
    """Arrays [N, ...] from the bytes of all outputs of each sample."""
    found: dict[str, np.ndarray] = {}
    start = 0
    for spec in specs:
        little = np.dtype(spec.dtype).newbyteorder("<")
        column = b"".join(row[start : start + spec.nbytes] for row in rows)
        array = np.frombuffer(column, little).astype(spec.dtype)
        found[spec.name] = array.reshape(len(rows), *sample_shape(spec))
        start += spec.nbytes
    return found
