"""What every place that can run a built part has in common.

A device takes the directory of a part (`libmodel.so`, `model`, `layers.json`), N samples, and
gives N results, or the coded frames of what crosses. It never looks at the graph: what it must know about the tensors is a Signature.
The directory must come from a bundle whose hashes were checked: a device runs what lies there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from joulecut.compiler.graph import Graph, input_specs, output_specs
from joulecut.compiler.profile import Profile
from joulecut.compiler.quant import TensorSpec

Progress = Callable[[int, int], None]  # (samples done, samples in all)

CODING = ("link: encode", "codec")  # name and kind of the row of a profile that is no layer


@dataclass(frozen=True)
class Signature:
    """What a part reads and makes, in the order of its records, and what it codes by itself."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    link: tuple[TensorSpec, ...] = ()

    @staticmethod
    def of(graph: Graph, link: tuple[TensorSpec, ...] = ()) -> Signature:
        """The signature of a part's graph, with the tensors that its program codes."""
        return Signature(input_specs(graph), output_specs(graph), link)

    @property
    def passed(self) -> tuple[TensorSpec, ...]:
        """Tensors of the link that the part neither reads nor makes."""
        known = {spec.name for spec in (*self.inputs, *self.outputs)}
        return tuple(spec for spec in self.link if spec.name not in known)

    @property
    def fed(self) -> tuple[TensorSpec, ...]:
        """What must be given so that the link can be coded: inputs, and what is passed."""
        return (*self.inputs, *self.passed)


@dataclass(frozen=True)
class Sent:
    """What a part made of N samples, and what it would send.

    Attributes:
        outputs: [N, ...] by name.
        frames: for each sample the coded tensors of the link.
    """

    outputs: dict[str, np.ndarray]
    frames: tuple[bytes, ...]


class Device(Protocol):
    """A place where a built part can run.

    Arrays hold N samples: [N, ...] where ... is the shape of the spec without its batch of 1
    (the whole shape, if the spec does not begin with 1).
    """

    @property
    def address(self) -> str:
        """What `device()` would parse to this device: `local`, `qemu:aarch64,cpu=cortex-a53`."""
        ...

    @property
    def arch(self) -> str:
        """The architecture that a part must be built for to run here."""
        ...

    def check(self) -> None:
        """Is everything here that the device needs, before any part is built for it?

        Raises:
            DeviceError: something is missing; the message says what, and how to get it.
        """
        ...

    def run(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """The outputs of the part for N samples, by name.

        Raises:
            ConfigError: if the inputs do not fit the signature.
            DeviceError: if the part cannot run here, or stops early.
        """
        ...

    def send(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> Sent:
        """Outputs and coded frames for N samples of what is `fed`; raises as `run` does."""
        ...

    def trace(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        """The output of every layer for N samples, by the layer's name; raises as `run` does."""
        ...

    def profile(
        self,
        part: Path,
        inputs: Mapping[str, np.ndarray],
        signature: Signature,
        repeats: int = 20,
    ) -> Profile:
        """What each layer costs for the first sample of what is `fed`; raises as `run` does.

        If the part codes its link, a last row says what that costs.
        """
        ...
