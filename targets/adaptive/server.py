"""The server of an adaptive bundle: it answers messages of any of its cuts.

Every piece is there once and every cut uses the same ones, so that a server that holds all tails
holds each weight once. Messages are untrusted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from joulecut.compiler import message
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.graph import output_specs
from joulecut.targets.adaptive import layout as places
from joulecut.targets.adaptive.opened import Adaptive
from joulecut.targets.devices.device import Device, device_for
from joulecut.targets.devices.protocol import Signature
from joulecut.targets.devices.records import sample_shape

Answer = dict[str, np.ndarray]


class AdaptiveServer:
    """Runs, for each message, the pieces that its edge did not.

    Args:
        adaptive: an open bundle.
        device: where pieces run; None for this machine if they were built for it, else an
            emulator.
    """

    def __init__(self, adaptive: Adaptive, device: Device | None = None) -> None:
        self._adaptive = adaptive
        self._device = device_for(adaptive.targets["cloud"]) if device is None else device
        self._signatures = [Signature.of(piece.graph) for piece in adaptive.pieces]
        self._outputs = {spec.name: spec for spec in output_specs(adaptive.whole)}

    def answer(self, blob: bytes) -> Answer:
        """The outputs of the whole that the edge left to the server, by name.

        Raises:
            UntrustedInputError: the message is damaged, hostile, or of another bundle.
            DeviceError: a piece cannot run.
        """
        (found,) = self.answers([blob])
        return found

    def answers(self, messages: Sequence[bytes]) -> list[Answer]:
        """The same for several messages; those of one cut run together."""
        n_cuts = len(self._adaptive.codes)
        by_cut: dict[int, list[int]] = {}
        received: list[Answer] = []
        for index, blob in enumerate(messages):
            cut, frame = message.split(blob, n_cuts)
            by_cut.setdefault(cut, []).append(index)
            received.append(self._received(cut, frame))
        found: list[Answer] = [{} for _ in messages]
        for cut, indices in by_cut.items():
            together = {
                name: np.concatenate([received[i][name] for i in indices])
                for name in received[indices[0]]
            }
            made = self._run(cut, together)
            for row, index in enumerate(indices):
                found[index] = {name: made[name][row] for name in made}
        return found

    def _received(self, cut: int, frame: bytes) -> Answer:
        """What crossed, [1, ...] each."""
        code = self._adaptive.codes[cut]
        try:
            arrays = code.unpack(frame)
        except ConfigError as error:  # the tables that it names are those of another cut
            raise UntrustedInputError(f"frame must be one of cut {cut}: {error}") from error
        if any(len(array) != 1 for array in arrays):
            raise UntrustedInputError(
                f"frame of a message must hold one sample, not {len(arrays[0])}"
            )
        return {
            spec.name: array.reshape(1, *sample_shape(spec))
            for spec, array in zip(code.specs, arrays, strict=True)
        }

    def _run(self, cut: int, received: Answer) -> Answer:
        """The outputs that the server makes or was sent, [N, ...] each."""
        known = dict(received)
        for number, piece in enumerate(self._adaptive.pieces):
            if cut in piece.cuts:
                continue
            signature = self._signatures[number]
            fed = {spec.name: known[spec.name] for spec in signature.inputs}
            folder = self._adaptive.folder / places.cloud_folder(number)
            known |= self._device.run(folder, fed, signature)
        return {name: known[name] for name in self._outputs if name in known}
