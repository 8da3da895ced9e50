"""A board behind a TVM RPC tracker: runs a part's library inside a server of TVM there.

The connection is neither encrypted nor authenticated, and a server runs whatever code it is
sent: for trusted networks only.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.compiler.graph import sizes
from joulecut.compiler.profile import Profile
from joulecut.targets.cpu.rpc_client import RemoteBoard, lent_board
from joulecut.targets.devices.batches import (
    batch_samples,
    run_records,
    send_records,
    trace_records,
)
from joulecut.targets.devices.clock import read_times
from joulecut.targets.devices.elf import machine
from joulecut.targets.devices.hosts import check_host, check_name, check_port, shown_host
from joulecut.targets.devices.native import arch_of
from joulecut.targets.devices.protocol import Progress, Sent, Signature
from joulecut.targets.devices.records import check_feeds, read_layers, to_records
from joulecut.targets.devices.rpc_library import rpc_library
from joulecut.targets.devices.rpc_part import RpcPart

TRUST = "rpc is for trusted networks only: a TVM RPC server runs whatever code it is sent"


@dataclass(frozen=True)
class RpcDevice:
    """Any board that a tracker has under a key; each call borrows one.

    Attributes:
        host: of the tracker.
        port: of the tracker.
        key: of the boards.
        timeout_s: for each call: to wait for a board, and then to use it.
    """

    host: str
    port: int
    key: str
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        check_host("rpc", self.host)
        check_port("rpc", self.port)
        check_name("key of rpc", self.key)
        if not self.timeout_s > 0:
            raise ConfigError(f"timeout of rpc must be positive, not {self.timeout_s}")

    @property
    def address(self) -> str:
        """`rpc://host:port/KEY`."""
        return f"rpc://{shown_host(self.host)}:{self.port}/{self.key}"

    @property
    def arch(self) -> str:
        """The architecture of the server; borrows a board to ask."""
        with self._board() as board:
            found = _arch(board)
        if not found:
            raise DeviceError(
                f"the server at {self.address} must have TVM's LLVM to say what it is, and has "
                "not; run the part without asking"
            )
        return found

    def check(self) -> None:
        """The tracker must lend a board; see Device.check."""
        with self._board():
            pass

    def run(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """The outputs of the part; see Device.run."""
        runner = partial(self._batches, part, signature, progress)
        return run_records(runner, inputs, signature)

    def send(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> Sent:
        """Outputs and coded frames; see Device.send."""
        runner = partial(self._batches, part, signature, progress)
        return send_records(runner, inputs, signature)

    def trace(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """The output of every layer; see Device.trace."""
        runner = partial(self._batches, part, signature, progress)
        return trace_records(runner, part, inputs, signature)

    def profile(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        repeats: int = 20,
    ) -> Profile:
        """Nanoseconds per layer, measured inside the server; see Device.profile."""
        if repeats < 1:
            raise ConfigError(f"repeats must be at least 1, not {repeats}")
        check_feeds(inputs, signature.fed)
        record = to_records(inputs, signature.fed)[:1]
        names = [layer.name for layer in read_layers(part)]
        coded = bool(signature.link)
        with self._loaded(part, signature) as loaded:
            times, cycles, reason = loaded.profile(record, len(names) + coded, repeats)
            board = loaded.board
            machine_line = f"{board.cpu() or 'unknown processor'}, a TVM RPC server"
        text = _as_a_program_writes(names, times, cycles, reason)
        layers, notes = read_times(text, part, repeats, coded=coded)
        notes = (*notes, "clock: unknown, rpc does not tell it", TRUST)
        return Profile(self.address, layers, machine_line, notes)

    def _batches(
        self,
        part: Path,
        signature: Signature,
        progress: Progress | None,
        records: np.ndarray,
        wanted: Sequence[str],
    ) -> list[bytes]:
        """What the part made of all records: outputs, then the trace or the frames if wanted."""
        layer_bytes = sizes([layer.output for layer in read_layers(part)])
        columns: list[list[bytes]] = [[] for _ in ("output", *wanted)]
        with self._loaded(part, signature) as loaded:
            frame_bytes = loaded.frame_capacity() if "link" in wanted else 0
            made_bytes = sizes(signature.outputs) + frame_bytes
            made_bytes += layer_bytes if "trace" in wanted else 0
            step = batch_samples(records.shape[1] + made_bytes)
            for first in range(0, len(records), step):
                chunk = records[first : first + step]
                if "link" in wanted:
                    made = loaded.send(chunk, frame_bytes)
                elif "trace" in wanted:
                    made = loaded.trace(chunk, layer_bytes)
                else:
                    made = loaded.run(chunk)
                for column, text in zip(columns, made, strict=True):
                    column.append(text)
                if progress is not None:
                    progress(first + len(chunk), len(records))
        return [b"".join(column) for column in columns]

    @contextmanager
    def _loaded(self, part: Path, signature: Signature) -> Generator[RpcPart]:
        """The part on a borrowed board, after checking that it can run there."""
        built = machine(part / "libmodel.so")
        with rpc_library(part) as files, self._board() as board:
            found = _arch(board)
            if found not in ("", built):
                raise DeviceError(
                    f"{part / 'libmodel.so'} must be built for {found}, which the server at "
                    f"{self.address} is, not {built}; build the part for {found}, or name "
                    "another key"
                )
            board.load(files)
            yield RpcPart(board, signature, self.address)

    @contextmanager
    def _board(self) -> Generator[RemoteBoard]:
        warn_once(self.address)
        with lent_board(self.host, self.port, self.key, self.timeout_s) as board:
            yield board


@cache
def warn_once(_address: str) -> None:
    """Say whom to trust, once for each address."""
    warnings.warn(TRUST, stacklevel=1)


def _arch(board: RemoteBoard) -> str:
    """That of the server, or "" if it has no LLVM to say."""
    return arch_of(board.triple().partition("-")[0])


def _as_a_program_writes(
    names: Sequence[str], times: np.ndarray, cycles: np.ndarray, reason: str
) -> str:
    """The JSON that `model --profile` writes of the same runs."""
    tables = {"ns": times} if reason else {"ns": times, "cycles": cycles}
    rows: list[dict[str, object]] = [
        {
            f"{unit}_{name}": value
            for unit, table in tables.items()
            for name, value in (
                ("min", int(table[i].min())),
                ("median", int(np.median(table[i]))),
            )
        }
        for i in range(len(times))
    ]
    layers = [{"name": name, **row} for name, row in zip(names, rows, strict=False)]
    document: dict[str, object] = {"clock": "CLOCK_MONOTONIC", "layers": layers}
    document |= {"link": rows[-1]} if len(rows) > len(names) else {}
    document |= {"cycles": False, "cycles_reason": reason} if reason else {"cycles": True}
    return json.dumps(document)
