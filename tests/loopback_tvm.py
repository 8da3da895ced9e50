"""A TVM RPC tracker and servers of the test's own, on loopback."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from loopback_sshd import free_port

from joulecut.compiler.errors import DeviceError
from joulecut.targets.devices.rpc import RpcDevice

PACKAGES = ("cloudpickle", "psutil", "tornado")  # of the server and the tracker
STARTS_S = 120.0


@contextmanager
def tracker(folder: Path, *keys: str) -> Generator[int]:
    """The port of a tracker with one server for each key; skips the test without their packages."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"TVM's RPC server needs: pip install {' '.join(missing)}")
    port = free_port()
    processes = [_start(folder, "rpc_tracker", port)]
    try:
        for key in keys:
            more = ["--tracker", f"127.0.0.1:{port}", "--key", key]
            processes.append(_start(folder, "rpc_server", free_port(), *more))
        for key in keys:
            _await(port, processes, key)
        yield port
    finally:
        for process in processes:  # with the workers that they would leave behind
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _start(folder: Path, module: str, port: int, *more: str) -> subprocess.Popen[bytes]:
    ports = ["--host", "127.0.0.1", "--port", str(port), "--port-end", str(port + 1)]
    command = [sys.executable, "-m", f"tvm.exec.{module}", *ports, *more]
    with (folder / f"{module}-{port}.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _await(port: int, processes: list[subprocess.Popen[bytes]], key: str) -> None:
    """Until the tracker answers, and has a server for the key."""
    deadline = time.monotonic() + STARTS_S
    while (said := _said(port, key)) != "ready":
        assert time.monotonic() < deadline, said
        assert all(process.poll() is None for process in processes), said
        time.sleep(0.3)


def _said(port: int, key: str) -> str:
    try:
        RpcDevice("127.0.0.1", port, key).check()
    except DeviceError as error:
        return str(error)
    return "ready"
