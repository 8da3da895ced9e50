"""TVM's RPC as a client: a board lent by a tracker, with our files, arrays and one library.

The server runs a library's functions if they have TVM's calling convention. It gives the board
back when the session ends, and removes what was sent.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from joulecut.compiler.errors import DeviceError

CONNECT_TIMEOUT_S = 10.0
_TRACKER_MAGIC = struct.pack("<i", 0x2F271)  # tvm/rpc/base.py: RPC_TRACKER_MAGIC
_POLL_S = 0.2


class RemoteBoard:
    """A board for the length of a session.

    Args:
        session: TVM's.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._device = session.cpu(0)
        self._library: Any = None

    def triple(self) -> str:
        """LLVM's name of what the server's own program was made for, or "" if it has no LLVM."""
        return self._say("tvm.codegen.llvm.GetProcessTriple")

    def cpu(self) -> str:
        """LLVM's name of the processor, or "" if the server has no LLVM."""
        return self._say("tvm.codegen.llvm.GetHostCPUName")

    def load(self, files: Sequence[Path]) -> None:
        """Send files; the last is the library whose functions `call` calls."""
        for path in files:
            self._session.upload(bytearray(path.read_bytes()), target=path.name)
        self._library = self._session.load_module(files[-1].name)

    def array(self, values: np.ndarray) -> Any:
        """The values in the memory of the board."""
        return _runtime().tensor(np.ascontiguousarray(values), self._device)

    def empty(self, shape: Sequence[int], dtype: str) -> Any:
        """Memory of the board that a call fills; `.numpy()` fetches it."""
        return _runtime().empty(tuple(shape), dtype, self._device)

    def call(self, name: str, *args: Any) -> int:
        """Call a function of the library that returns an integer."""
        return int(self._library[name](*args))

    def close(self) -> None:
        """Give the board back, even while somebody holds its arrays."""
        self._library = None
        with suppress(RuntimeError, AttributeError):
            self._session.get_function("CloseRPCConnection")()

    def _say(self, function: str) -> str:
        try:
            return str(self._session.get_function(function)())
        except AttributeError:
            return ""


@contextmanager
def lent_board(host: str, port: int, key: str, timeout_s: float) -> Generator[RemoteBoard]:
    """A board with a key, as long as the context lasts.

    Args:
        host: of the tracker.
        port: of the tracker.
        key: what the boards are called at the tracker.
        timeout_s: to wait for a board that others use; and then for the session, after which
            the server ends what runs.

    Raises:
        DeviceError: there is no tracker, it knows no such board, none becomes free, the session
            takes too long, or TVM says anything else.
    """
    place = f"rpc://{host}:{port}/{key}"
    _require_tracker(host, port)
    try:
        tracker = _rpc().connect_tracker(host, port)
        _wait_for(tracker, key, place, timeout_s)
        board = RemoteBoard(tracker.request(key, session_timeout=timeout_s))
        try:
            yield board
        finally:
            board.close()
            tracker.close()
    except TimeoutError as error:
        raise DeviceError(
            f"a session at {place} must end within {timeout_s:g} s, and did not; "
            "give a longer timeout"
        ) from error
    except (RuntimeError, OSError) as error:
        raise DeviceError(
            f"{place} must run the part, and did not: {_reason(error)}"
        ) from error


def _rpc() -> Any:  # untyped, as all of TVM, and seconds to import
    from tvm import rpc

    return rpc


def _runtime() -> Any:
    from tvm import runtime

    return runtime


def _require_tracker(host: str, port: int) -> None:
    """Shake hands once, with a clear word and a limit; TVM would try for a minute."""
    try:
        with socket.create_connection((host, port), CONNECT_TIMEOUT_S) as connection:
            connection.sendall(_TRACKER_MAGIC)
            answer = connection.recv(len(_TRACKER_MAGIC), socket.MSG_WAITALL)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DeviceError(
            f"a TVM RPC tracker must answer at {host}:{port}, and does not: {reason}; "
            f"start one there: `python -m tvm.exec.rpc_tracker --host 0.0.0.0 --port {port}`"
        ) from error
    if answer != _TRACKER_MAGIC:
        raise DeviceError(
            f"{host}:{port} must be a TVM RPC tracker, not something else; "
            "give the port of the tracker, not that of a server"
        )


def _wait_for(tracker: Any, key: str, place: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        summary = tracker.summary()
        known = {entry["key"].removeprefix("server:") for entry in summary["server_info"]}
        if key not in known:
            raise DeviceError(
                f"{place} must name a board that the tracker knows "
                f"({', '.join(sorted(known)) or 'it knows none'}), not '{key}'; start there: "
                f"`python -m tvm.exec.rpc_server --tracker HOST:PORT --key {key}`"
            )
        if summary["queue_info"].get(key, {}).get("free", 0) > 0:
            return
        if time.monotonic() > deadline:
            raise DeviceError(
                f"{place} must become free within {timeout_s:g} s, and did not; "
                "wait for who uses it, or give a longer timeout"
            )
        time.sleep(_POLL_S)


def _reason(error: Exception) -> str:
    """The last line that TVM says, or what it means."""
    lines = str(error).strip().splitlines() or [repr(error)]
    if "kShutdown" in lines[-1]:
        return (
            "the part's code ended the server's process; is it built for that very processor? "
            "Start the server again"
        )
    return lines[-1]
