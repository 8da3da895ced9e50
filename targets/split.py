"""Runs a split network as it would be deployed: the edge codes, the cloud decodes.

Nothing is short-circuited: the cloud sees only what the codec gives back, so the bytes counted
here are the bytes that would be sent. The edge's program wrote them, one sample a frame; frames
of several samples, which only a host that waits for them can write, are coded here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from joulecut.compiler import codec
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.errors import ConfigError, DeviceError
from joulecut.compiler.graph import Graph, input_specs, output_specs, sizes
from joulecut.compiler.link_code import LinkCode
from joulecut.compiler.quant import TensorSpec
from joulecut.targets.base import Target
from joulecut.targets.devices.device import Device, device_for
from joulecut.targets.devices.fpga_sim import FpgaSimDevice
from joulecut.targets.devices.protocol import Progress, Sent, Signature
from joulecut.targets.devices.records import check_feeds, sample_shape

Arrays = Mapping[str, np.ndarray]


class CodecOptions(TypedDict):
    """Arguments of `codec.pack`."""

    quantizer: Literal["sq", "lloyd", "rdo", "tcq"] | None
    bits: int | None
    rate: float | None
    entropy: Literal["best", "fast", "huffman"]


@dataclass(frozen=True)
class Side:
    """A part and what was built from it.

    Attributes:
        name: "edge" or "cloud".
        graph: its integer Graph.
        directory: of the built part, from a bundle whose hashes were checked.
        target: what it was built for.
        link: what its program codes; nothing, unless it was built to.
    """

    name: str
    graph: Graph
    directory: Path
    target: Target
    link: tuple[TensorSpec, ...] = ()

    @cached_property
    def signature(self) -> Signature:
        """What it reads and makes, and sends."""
        return Signature.of(self.graph, self.link)

    def place(self, device: Device | None) -> Device:
        """Where it runs: on a device, or where its program can run.

        Raises:
            DeviceError: it has layers for an accelerator, and the device has none.
        """
        config = self.target.accelerator
        if device is None:
            return device_for(self.target)
        if config is not None and not isinstance(device, FpgaSimDevice):
            raise DeviceError(
                f"device of the {self.name} must have the accelerator '{config.name}', for "
                f"which some of its layers are built, not be {device.address}; use fpga-sim, or "
                f"build the part for {self.target.processor.name}"
            )
        return device

    def run(
        self, known: Arrays, device: Device | None, progress: Progress | None = None
    ) -> dict[str, np.ndarray]:
        """Run on a device (None: where its program can run); `known` must hold the inputs."""
        return self.place(device).run(
            self.directory, self.inputs_of(known), self.signature, progress
        )

    def send(
        self, known: Arrays, device: Device | None, progress: Progress | None = None
    ) -> Sent:
        """Run, and let the program code its link; `known` must hold inputs and what passes."""
        fed = {spec.name: known[spec.name] for spec in self.signature.fed}
        return self.place(device).send(self.directory, fed, self.signature, progress)

    def inputs_of(self, known: Arrays) -> dict[str, np.ndarray]:
        """Those of the known arrays that it reads."""
        return {spec.name: known[spec.name] for spec in self.signature.inputs}


@dataclass(frozen=True)
class Split:
    """Both sides of a cut network, and what lies between them.

    Attributes:
        whole: the Graph that was cut.
        edge: the first part.
        cloud: the second part.
        link: the tensors that cross.
        codec: how they shall be coded.
        code: how they are coded, frozen when the parts were built; None in bundles of older
            versions, whose tensors are fitted and coded by the host, each by itself.
    """

    whole: Graph
    edge: Side
    cloud: Side
    link: tuple[TensorSpec, ...]
    codec: CodecConfig
    code: LinkCode | None = None

    @property
    def sides(self) -> tuple[Side, Side]:
        """Edge, then cloud."""
        return self.edge, self.cloud

    def pack(self, arrays: Sequence[np.ndarray]) -> bytes:
        """A frame of the tensors that cross, by the host."""
        if self.code is not None:
            return self.code.pack(arrays)
        return codec.pack(arrays, **codec_options(self.codec))

    def unpack(self, frame: bytes) -> list[np.ndarray]:
        """What the host makes of a frame."""
        return codec.unpack(frame) if self.code is None else self.code.unpack(frame)


@dataclass(frozen=True)
class SplitResult:
    """What a split network made, and what it sent.

    Attributes:
        outputs: every output of the whole, [N, ...], in its order.
        link: what the cloud decoded, [N, ...] for each tensor that crosses.
        coded_bytes: float64 [N]: each sample's share of the frame that it was sent in.
        raw_bytes: of one sample's tensors in memory.
        entropy_bytes: of one sample, the order-0 entropy of what crossed, pooled over the
            samples, tensor by tensor and byte by byte of wider types.
    """

    outputs: dict[str, np.ndarray]
    link: dict[str, np.ndarray]
    coded_bytes: np.ndarray
    raw_bytes: int
    entropy_bytes: float


def run_parts(
    split: Split,
    feeds: Arrays,
    edge_device: Device | None = None,
    cloud_device: Device | None = None,
    *,
    batch: int = 1,
    progress: Progress | None = None,
) -> SplitResult:
    """Run the edge part, code what crosses, decode it, run the cloud part.

    Args:
        split: the parts.
        feeds: N samples for each input of the whole.
        edge_device: where the edge runs; None: natively if it can, else emulated.
        cloud_device: the same for the cloud.
        batch: samples in a frame: 1 for what the edge writes, more for frames by the host.
        progress: called as samples finish, 2 N in all: on the edge, then in the cloud.

    Raises:
        ConfigError: if the feeds do not fit the network or the batch is not positive.
        DeviceError: if a part cannot run on its device.
    """
    if batch < 1:
        raise ConfigError(f"batch must be at least 1, not {batch}")
    count = check_feeds(feeds, input_specs(split.whole))
    known = dict(feeds)
    if batch == 1 and split.edge.link:
        sent = split.edge.send(known, edge_device, _half(progress, 0))
        known |= sent.outputs
        received, coded_bytes = _decoded(split, sent.frames, count, 1)
    else:
        known |= split.edge.run(known, edge_device, _half(progress, 0))
        received, coded_bytes = through_codec(split, known, count, batch)
    made = split.cloud.run(received, cloud_device, _half(progress, count))
    known |= made
    return SplitResult(
        outputs={spec.name: known[spec.name] for spec in output_specs(split.whole)},
        link=received,
        coded_bytes=coded_bytes,
        raw_bytes=sizes(split.link),
        entropy_bytes=entropy_bytes(received, count),
    )


def through_codec(
    split: Split, known: Arrays, count: int, batch: int = 1
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What the cloud decodes if the host codes, and each sample's share of the coded bytes.

    Args:
        split: says what crosses, and how.
        known: [N, ...] of each tensor that crosses, at least.
        count: N.
        batch: samples in a frame.

    Returns:
        The decoded tensors [N, ...], and float64 [N].
    """
    frames = [
        split.pack([known[spec.name][first : first + batch] for spec in split.link])
        for first in range(0, count, batch)
    ]
    return _decoded(split, frames, count, batch)


def _decoded(
    split: Split, frames: Sequence[bytes], count: int, batch: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The tensors of all frames, and each of `count` samples' share of their bytes."""
    columns = zip(*(split.unpack(frame) for frame in frames), strict=True)
    arrays = {
        spec.name: np.concatenate(column).reshape(count, *sample_shape(spec))
        for spec, column in zip(split.link, columns, strict=True)
    }
    samples = [min(batch, count - first) for first in range(0, count, batch)]
    shares = [len(frame) / n for frame, n in zip(frames, samples, strict=True)]
    return arrays, np.repeat(shares, samples)


def codec_options(config: CodecConfig) -> CodecOptions:
    """A configuration as the codec takes it."""
    if config.quantizer == "none":
        return {"quantizer": None, "bits": None, "rate": None, "entropy": config.entropy}
    return {
        "quantizer": config.quantizer,
        "bits": config.bits if config.rate is None else None,
        "rate": config.rate,
        "entropy": config.entropy,
    }


def entropy_bytes(tensors: Arrays, count: int) -> float:
    """Order-0 entropy of one of `count` samples, pooled over all, tensor by tensor.

    Wider types count byte by byte, as they are coded.
    """
    total_bits = 0.0
    for tensor in tensors.values():
        planes = np.ascontiguousarray(tensor).reshape(-1).view(np.uint8)
        planes = planes.reshape(tensor.size, tensor.itemsize)
        total_bits += sum(codec.entropy_bits(plane) * tensor.size for plane in planes.T)
    return total_bits / 8 / count


def _half(progress: Progress | None, before: int) -> Progress | None:
    """One side's part of the progress of both."""
    if progress is None:
        return None
    return lambda done, total: progress(before + done, 2 * total)
