"""A bundle behind the interface of an onnxruntime session: feed names, get arrays.

Whoever has code around onnxruntime can put a split network in its place and see what crosses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from joulecut.compiler.bundle import Bundle
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import input_specs, output_specs
from joulecut.compiler.quant import TensorSpec
from joulecut.targets.devices.device import Device, device
from joulecut.targets.devices.protocol import Progress
from joulecut.targets.opened import opened
from joulecut.targets.split import SplitResult, run_parts

__all__ = ["InferenceSession", "NodeArg", "SplitResult", "run_split"]

_ONNX_TYPES = {"float32": "float", "float64": "double"}  # the others have numpy's names


@dataclass(frozen=True)
class NodeArg:
    """An input or output, described as onnxruntime does.

    Attributes:
        name: of the tensor.
        shape: of one sample, the batch of 1 included.
        type: `tensor(float)`, `tensor(int8)`, ...
    """

    name: str
    shape: list[int]
    type: str


class InferenceSession:
    """A split network that is ready to run; close it, or use it in a `with` statement.

    Args:
        bundle: a bundle, or where one lies; its hashes are checked first.
        edge_device: where the edge part runs: a Device or its address; None for this machine
            if the part was built for it, else an emulator.
        cloud_device: the same for the cloud part.
    """

    def __init__(
        self,
        bundle: Bundle | str | Path,
        *,
        edge_device: Device | str | None = None,
        cloud_device: Device | str | None = None,
    ) -> None:
        self._resources = contextlib.ExitStack()
        self._split = self._resources.enter_context(opened(bundle)).split
        self._edge = _device(edge_device)
        self._cloud = _device(cloud_device)

    def get_inputs(self) -> list[NodeArg]:
        """What `run` must be fed."""
        return [_described(spec) for spec in input_specs(self._split.whole)]

    def get_outputs(self) -> list[NodeArg]:
        """What `run` can return, in order."""
        return [_described(spec) for spec in output_specs(self._split.whole)]

    def run(
        self, output_names: Sequence[str] | None, feeds: Mapping[str, np.ndarray]
    ) -> list[np.ndarray]:
        """Run the edge part, code, decode, run the cloud part.

        Args:
            output_names: which outputs, in which order; None for all.
            feeds: for each input one sample of its exact shape, or N samples: N in place of a
                leading 1, or before the shape if it has none.

        Returns:
            The outputs, of their exact shapes for one such sample, else with N samples.

        Raises:
            ConfigError: if a name is unknown or a feed does not fit its input.
            DeviceError: if a part cannot run on its device.
        """
        specs = {spec.name: spec for spec in output_specs(self._split.whole)}
        names = list(specs) if output_names is None else list(output_names)
        unknown = [name for name in names if name not in specs]
        if unknown:
            raise ConfigError(f"outputs must be among {list(specs)}, not {unknown}")
        one = {
            spec.name: spec.shape[:1] != (1,)
            and spec.name in feeds
            and np.shape(feeds[spec.name]) == spec.shape
            for spec in input_specs(self._split.whole)
        }
        samples = {
            name: np.asarray(feed)[np.newaxis] if one.get(name) else np.asarray(feed)
            for name, feed in feeds.items()
        }
        made = run_parts(self._split, samples, self._edge, self._cloud).outputs
        return [_shaped(made[name], specs[name]) for name in names]

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


def run_split(
    bundle: Bundle | str | Path,
    feeds: Mapping[str, np.ndarray],
    edge_device: Device | str | None = None,
    cloud_device: Device | str | None = None,
    *,
    batch: int = 1,
    progress: Progress | None = None,
) -> SplitResult:
    """Run N samples through a bundle and count what crosses.

    Args:
        bundle: a bundle, or where one lies; its hashes are checked first.
        feeds: N samples for each input, [N, ...].
        edge_device: a Device or its address; None for this machine if the part was built for
            it, else an emulator.
        cloud_device: the same for the cloud part.
        batch: samples that are coded together.
        progress: called as samples finish, 2 N in all.

    Raises:
        ConfigError: if the feeds, a device or the batch are not usable.
        UntrustedInputError: if the bundle is corrupt.
        DeviceError: if a part cannot run on its device.
    """
    edge, cloud = _device(edge_device), _device(cloud_device)
    with opened(bundle) as held:
        return run_parts(held.split, feeds, edge, cloud, batch=batch, progress=progress)


def _device(place: Device | str | None) -> Device | None:
    return device(place) if isinstance(place, str) else place


def _described(spec: TensorSpec) -> NodeArg:
    kind = _ONNX_TYPES.get(spec.dtype, spec.dtype)
    return NodeArg(spec.name, list(spec.shape), f"tensor({kind})")


def _shaped(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """One sample has the shape of the spec; several keep their own dimension."""
    return array.reshape(spec.shape) if len(array) == 1 else array
