"""onnxruntime as it would run on an x86-64 without AVX-512 and VNNI, in a process of its own.

onnxruntime chooses its kernels by CPUID and has no switch for it. `mask_cpuid.c`, preloaded,
makes the processor look like one that ends with AVX2. The process times as many calls as it is
asked for and then waits, so that its blocks can alternate with those of another engine.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from peers.onnxrt_int8 import Peer, bound

from joulecut.compiler.errors import DeviceError

SOURCE = Path(__file__).with_name("mask_cpuid.c")
FLAGS = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-shared", "-fPIC")
REFUSED = 86  # what mask_cpuid.c ends with where the kernel or the processor cannot mask

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class MaskedPeer:
    """A model in the other process.

    Attributes:
        connection: to the process.
        model: its number there.
    """

    connection: Connection
    model: int

    def seconds(self, calls: int) -> float:
        """Measured over that many calls in a row, the pipe not counted."""
        return self._ask("seconds", calls)

    def outputs(self, x: Array) -> Array:
        """The output for an input."""
        return self._ask("outputs", x)

    def _ask(self, what: str, value: object) -> Any:
        self.connection.send((what, self.model, value))
        return self.connection.recv()


@contextmanager
def masked(models: list[bytes], folder: Path) -> Generator[list[MaskedPeer]]:
    """Sessions of one thread in a process that sees neither AVX-512 nor VNNI.

    Args:
        models: serialized, of one input and one output each.
        folder: where the preloaded library is kept.

    Raises:
        DeviceError: this machine cannot mask, or the process ended.
    """
    library = built(folder)
    near, far = Pipe()
    command = [sys.executable, str(Path(__file__).resolve()), str(far.fileno())]
    paths = os.pathsep.join([str(SOURCE.parent.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": paths}
    with subprocess.Popen(command, env=environment, pass_fds=[far.fileno()]) as process:
        far.close()
        with near:
            try:
                near.send(models)
                near.recv()
            except (EOFError, OSError) as gone:
                raise DeviceError(_why(process.wait())) from gone
            yield [MaskedPeer(near, number) for number in range(len(models))]


def built(folder: Path) -> Path:
    """The library to preload, compiled unless it has been.

    Raises:
        DeviceError: gcc does not compile it.
    """
    key = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:8]
    path = (folder / f"mask_cpuid-{key}.so").resolve()
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["gcc", *FLAGS, str(SOURCE), "-o", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DeviceError(f"gcc must compile {SOURCE.name}, not end with {done.stderr}")
    return path


def _why(status: int) -> str:
    if status == REFUSED:
        return (
            "CPUID must fault for a program that asks for it, and does not here; "
            "use a processor whose /proc/cpuinfo lists cpuid_fault"
        )
    return f"onnxruntime's process must wait for work, not end with {status}"


def _serve(connection: Connection) -> None:
    """Load, then answer until the other end closes."""
    models: list[bytes] = connection.recv()
    peers = [bound(model, threads=1) for model in models]
    connection.send("ready")
    what: str
    number: int
    while True:
        try:
            what, number, value = connection.recv()
        except EOFError:
            return
        peer = peers[number]
        connection.send(peer.outputs(value) if what == "outputs" else _seconds(peer, value))


def _seconds(peer: Peer, calls: int) -> float:
    call, started = peer.call, time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - started


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
