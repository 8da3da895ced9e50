"""An adaptive bundle from end to end: the edge chooses for each sample, the server answers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from joulecut.compiler.bundle import Bundle
from joulecut.compiler.graph import input_specs, output_specs
from joulecut.targets.adaptive import layout as places
from joulecut.targets.adaptive.edge import EdgeRun, Task, run_edge
from joulecut.targets.adaptive.opened import opened_adaptive
from joulecut.targets.adaptive.server import AdaptiveServer
from joulecut.targets.devices.device import Device, device, device_for


@dataclass(frozen=True)
class AdaptiveResult:
    """What N samples became.

    Attributes:
        cuts: of each sample; None: no cut kept the bounds, and nothing was computed or sent.
        messages: what the edge sent for each sample; empty without a cut.
        outputs: [N, ...] of each output of the whole; zeros without a cut.
    """

    cuts: tuple[int | None, ...]
    messages: tuple[bytes, ...]
    outputs: dict[str, np.ndarray]


class AdaptiveSession:
    """An adaptive bundle that is ready to run; close it, or use it in a `with` statement.

    Args:
        bundle: a bundle, or where one lies; its hashes are checked first.
        edge_device: where the edge runs: `local` or `qemu:ARCH`; None for this machine if the
            edge was built for it, else an emulator.
        cloud_device: where the server's pieces run: any device; None as above.
    """

    def __init__(
        self,
        bundle: Bundle | str | Path,
        *,
        edge_device: Device | str | None = None,
        cloud_device: Device | str | None = None,
    ) -> None:
        edge = device(edge_device) if isinstance(edge_device, str) else edge_device
        cloud = device(cloud_device) if isinstance(cloud_device, str) else cloud_device
        self._resources = contextlib.ExitStack()
        self.adaptive = self._resources.enter_context(opened_adaptive(bundle))
        self._edge = edge or device_for(self.adaptive.targets["edge"])
        self.server = AdaptiveServer(self.adaptive, cloud)
        self._previous: int | None = None

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        seconds_per_bit: Sequence[float],
        *,
        cut: int | None = None,
    ) -> AdaptiveResult:
        """Choose, run the edge, send, run the server; goes on from the last cut of the call before.

        Args:
            feeds: N samples for each input, [N, ...].
            seconds_per_bit: the channel at each sample, 0 to infinity.
            cut: use this one whatever the channel.

        Raises:
            ConfigError: feeds, channels or cut do not fit.
            DeviceError: a side cannot run.
        """
        adaptive = self.adaptive
        task = Task(
            input_specs(adaptive.whole),
            adaptive.outputs,
            len(adaptive.codes),
            feeds,
            tuple(seconds_per_bit),
            self._previous,
            cut,
        )
        ran = run_edge(adaptive.folder / places.EDGE, self._edge, task)
        self._previous = ran.cuts[-1]
        return AdaptiveResult(ran.cuts, ran.messages, self._joined(feeds, ran))

    def _joined(self, feeds: Mapping[str, np.ndarray], ran: EdgeRun) -> dict[str, np.ndarray]:
        """What the edge kept, with what the server answers."""
        sent = [i for i, cut in enumerate(ran.cuts) if cut is not None]
        answers = self.server.answers([ran.messages[i] for i in sent])
        known = {**feeds, **{name: array.copy() for name, array in ran.outputs.items()}}
        for index, answer in zip(sent, answers, strict=True):
            for name, array in answer.items():
                if name in ran.outputs:
                    known[name][index] = array
        return {spec.name: known[spec.name] for spec in output_specs(self.adaptive.whole)}

    def close(self) -> None:
        """Remove what the session unpacked."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()
