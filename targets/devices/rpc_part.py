"""A part's library on a borrowed board: the calls of `rpc_wrapper.c`, with bytes in and out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from joulecut.compiler.errors import DeviceError
from joulecut.compiler.graph import sizes
from joulecut.compiler.quant import TensorSpec
from joulecut.targets.cpu.rpc_client import RemoteBoard
from joulecut.targets.devices.protocol import Signature

REASON_BYTES = 160  # of struct cycles
_FAULTS = {  # enum fault
    -1: "be called as layers.json and the signature say, and was built from another graph",
    -2: "find memory for its tensors, and did not",
    -3: "be given finite numbers to code, and was not",
    -4: "show the layers of layers.json, and shows others; build the part again",
    -5: "code its link, and does not; build the part again",
}


@dataclass(frozen=True)
class RpcPart:
    """A part that a board has loaded.

    Attributes:
        board: has `librpc.so` of the part.
        signature: of the part.
        address: for messages.
    """

    board: RemoteBoard
    signature: Signature
    address: str

    def run(self, records: np.ndarray) -> list[bytes]:
        """Outputs of records of the inputs."""
        return self._call("run", records, self.signature.inputs)

    def trace(self, records: np.ndarray, layer_bytes: int) -> list[bytes]:
        """Outputs of records of the inputs, and what all layers make, `layer_bytes` a sample."""
        traced = self.board.empty((len(records), layer_bytes), "uint8")
        (outputs,) = self._call("trace", records, self.signature.inputs, traced)
        return [outputs, traced.numpy().tobytes()]

    def send(self, records: np.ndarray, frame_bytes: int) -> list[bytes]:
        """Outputs of records of what is fed, and frames, each behind its length in 32 bits."""
        frames = self.board.empty((len(records), frame_bytes), "uint8")
        counts = self.board.empty((len(records),), "int64")
        (outputs,) = self._call(
            "send", records, self.signature.fed, self._sources(), frames, counts
        )
        rows = zip(frames.numpy(), counts.numpy().tolist(), strict=True)
        coded = [n.to_bytes(4, "little") + row[:n].tobytes() for row, n in rows]
        return [outputs, b"".join(coded)]

    def frame_capacity(self) -> int:
        """Bytes that a frame has at most."""
        found = self.board.call("frame_capacity")
        self._check(min(found, 0))
        return found

    def profile(
        self, record: np.ndarray, rows: int, repeats: int
    ) -> tuple[np.ndarray, np.ndarray, str]:
        """Nanoseconds and cycles, int64 [rows, repeats], and why there are no cycles, or ""."""
        times, cycles = (self.board.empty((rows, repeats), "int64") for _ in range(2))
        reason = self.board.empty((REASON_BYTES,), "uint8")
        more = (self._sources(), times, cycles, reason)
        self._call("profile", record, self.signature.fed, *more)
        text = reason.numpy().tobytes().partition(b"\0")[0].decode(errors="replace")
        return times.numpy(), cycles.numpy(), text

    def _call(
        self, name: str, records: np.ndarray, fed: Sequence[TensorSpec], *more: Any
    ) -> list[bytes]:
        """Call a function; the outputs."""
        made = self.signature.outputs
        table = np.array([spec.nbytes for spec in (*fed, *made)], np.int64)
        outputs = self.board.empty((len(records), sizes(made)), "uint8")
        given = (self.board.array(records), self.board.array(table))
        counts = (len(self.signature.inputs), len(fed))
        self._check(self.board.call(name, *given, *counts, outputs, *more))
        return [outputs.numpy().tobytes()]

    def _sources(self) -> Any:
        """Where each tensor of the link is, among what is fed and then what is made."""
        known = [spec.name for spec in (*self.signature.fed, *self.signature.outputs)]
        found = [known.index(spec.name) for spec in self.signature.link]
        return self.board.array(np.array(found, np.int64))

    def _check(self, status: int) -> None:
        if status in _FAULTS:
            raise DeviceError(f"the part at {self.address} must {_FAULTS[status]}")
        if status != 0:
            raise DeviceError(f"model_run at {self.address} must return 0, not {status}")
