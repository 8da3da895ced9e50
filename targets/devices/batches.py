"""What run, send and trace have in common where a part's own program takes batches of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from joulecut.compiler.quant import TensorSpec
from joulecut.targets.devices.protocol import Sent, Signature
from joulecut.targets.devices.records import (
    check_feeds,
    from_frames,
    from_records,
    read_layers,
    to_records,
)

BATCH_SAMPLES = 64  # at most: short enough to show progress
BATCH_BYTES = (
    16 << 20
)  # at most, if it is more than a sample: a board has little room for files

# (records, what else is wanted: "trace" or "link") -> outputs, then what each wanted option gives
Runner = Callable[[np.ndarray, Sequence[str]], list[bytes]]


def run_records(
    runner: Runner, inputs: Mapping[str, np.ndarray], signature: Signature
) -> dict[str, np.ndarray]:
    """The outputs; see Device.run."""
    count = check_feeds(inputs, signature.inputs)
    (raw,) = runner(to_records(inputs, signature.inputs), ())
    return from_records(raw, signature.outputs, count)


def send_records(
    runner: Runner, inputs: Mapping[str, np.ndarray], signature: Signature
) -> Sent:
    """Outputs and coded frames; see Device.send."""
    count = check_feeds(inputs, signature.fed)
    raw, frames = runner(to_records(inputs, signature.fed), ("link",))
    return Sent(from_records(raw, signature.outputs, count), from_frames(frames, count))


def trace_records(
    runner: Runner, part: Path, inputs: Mapping[str, np.ndarray], signature: Signature
) -> dict[str, np.ndarray]:
    """The output of every layer; see Device.trace."""
    count = check_feeds(inputs, signature.inputs)
    specs: list[TensorSpec] = [layer.output for layer in read_layers(part)]
    _, raw = runner(to_records(inputs, signature.inputs), ("trace",))
    return from_records(raw, specs, count)


def batch_samples(sample_bytes: int) -> int:
    """How many samples go into one batch, if each needs that many bytes there."""
    return max(1, min(BATCH_SAMPLES, BATCH_BYTES // max(1, sample_bytes)))
