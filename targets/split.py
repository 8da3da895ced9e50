"""Runs a split network as it would be deployed: edge, code, decode, cloud.

Nothing is short-circuited: the cloud sees only what the codec gives back, so the bytes counted
here are the bytes that would be sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from joulecut.compiler import codec
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, input_specs, output_specs, sizes
from joulecut.compiler.quant import TensorSpec
from joulecut.targets.base import Target
from joulecut.targets.devices.device import Device, device_for
from joulecut.targets.devices.protocol import Progress, Signature
from joulecut.targets.devices.records import check_feeds

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
    """

    name: str
    graph: Graph
    directory: Path
    target: Target

    @cached_property
    def signature(self) -> Signature:
        """What it reads and makes."""
        return Signature.of(self.graph)

    def run(
        self, known: Arrays, device: Device | None, progress: Progress | None = None
    ) -> dict[str, np.ndarray]:
        """Run on a device (None: where its program can run); `known` must hold the inputs."""
        place = device or device_for(self.target)
        return place.run(self.directory, self.inputs_of(known), self.signature, progress)

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
        codec: how they are coded.
    """

    whole: Graph
    edge: Side
    cloud: Side
    link: tuple[TensorSpec, ...]
    codec: CodecConfig

    @property
    def sides(self) -> tuple[Side, Side]:
        """Edge, then cloud."""
        return self.edge, self.cloud


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
        batch: samples that are coded together.
        progress: called as samples finish, 2 N in all: on the edge, then in the cloud.

    Raises:
        ConfigError: if the feeds do not fit the network or the batch is not positive.
        DeviceError: if a part cannot run on its device.
    """
    if batch < 1:
        raise ConfigError(f"batch must be at least 1, not {batch}")
    count = check_feeds(feeds, input_specs(split.whole))
    known = dict(feeds)
    known |= split.edge.run(known, edge_device, _half(progress, 0))
    sent = {spec.name: known[spec.name] for spec in split.link}
    received, coded_bytes = through_codec(sent, split.codec, count, batch)
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
    tensors: Arrays, config: CodecConfig, count: int, batch: int = 1
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What the other side decodes, and each sample's share of the coded bytes.

    Args:
        tensors: [N, ...] each.
        config: of the codec.
        count: N.
        batch: samples in a frame.

    Returns:
        The decoded tensors [N, ...], and float64 [N].
    """
    options = codec_options(config)
    frames: list[list[np.ndarray]] = []
    coded_bytes = np.empty(count)
    for first in range(0, count, batch):
        chunk = slice(first, min(first + batch, count))
        blob = codec.pack([tensor[chunk] for tensor in tensors.values()], **options)
        frames.append(codec.unpack(blob))
        coded_bytes[chunk] = len(blob) / (chunk.stop - chunk.start)
    columns = zip(*frames, strict=True)
    decoded = {
        name: np.concatenate(column) for name, column in zip(tensors, columns, strict=True)
    }
    return decoded, coded_bytes


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
