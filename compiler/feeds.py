"""What a caller may feed a Graph: the names, shapes, types and ranges of its inputs.

Checked before anything is computed, so that an error names the feed and not a node deep inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, Value, float_of, input_specs, int_of, op_key
from joulecut.compiler.quant import TensorSpec


def batch_of(specs: Sequence[TensorSpec], feeds: Mapping[str, np.ndarray]) -> int | None:
    """Samples in the feeds, after a check that they are what the inputs want.

    Args:
        specs: the inputs of a graph of batch 1.
        feeds: for each its array: the spec's type and shape, or N in place of a leading 1.

    Returns:
        N, or None if some input of the graph has no leading 1 to put it in.

    Raises:
        ConfigError: a feed is missing, unknown, or of another shape, type, range or batch.
    """
    names = [spec.name for spec in specs]
    if sorted(feeds) != sorted(names):
        raise ConfigError(f"feeds must be {sorted(names)}, not {sorted(feeds)}")
    batched = all(spec.shape[:1] == (1,) for spec in specs)
    batches: set[int] = set()
    for spec in specs:
        feed = feeds[spec.name]
        free = batched and feed.ndim > 0 and len(feed) > 0
        expected = (len(feed), *spec.shape[1:]) if free else spec.shape
        if feed.shape != expected:
            raise ConfigError(
                f"feed '{spec.name}' must have shape {list(spec.shape)}"
                f"{' or N in place of the 1' if batched else ''}, not {list(feed.shape)}"
            )
        check_values(spec, feed)
        batches.add(len(feed) if batched else 1)
    if len(batches) > 1:
        raise ConfigError(f"feeds must have one batch size, not {sorted(batches)}")
    return batches.pop() if batched and batches else None


def check_values(spec: TensorSpec, feed: np.ndarray) -> None:
    """Refuse a feed of another type, one that is not finite, or integers out of range.

    Raises:
        ConfigError: naming the feed, and where in it the fault is.
    """
    if feed.dtype.name != spec.dtype:
        raise ConfigError(f"feed '{spec.name}' must be {spec.dtype}, not {feed.dtype}")
    if feed.dtype.kind == "f" and not np.isfinite(feed).all():
        place = np.argwhere(~np.isfinite(feed))[0].tolist()
        raise ConfigError(
            f"feed '{spec.name}' must be finite, not {feed[tuple(place)]} at {place}"
        )
    if spec.qtype is not None and feed.size:
        low, high = int(feed.min()), int(feed.max())
        if low < spec.qtype.low or high > spec.qtype.high:
            raise ConfigError(
                f"feed '{spec.name}' must be in {spec.qtype.low}..{spec.qtype.high}, "
                f"not {low}..{high}; quantize and clamp it"
            )


def random_feeds(graph: Graph, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Seeded samples for each input of a graph, over the range that its quantizers keep.

    Args:
        graph: integer Graph.
        count: number of samples, N.
        seed: of numpy's default generator.

    Returns:
        For each input an array [N, ...] of its type.
    """
    rng = np.random.default_rng(seed)
    feeds: dict[str, np.ndarray] = {}
    for value, spec in zip(graph.graph.inputs, input_specs(graph), strict=True):
        shape = (count, *spec.shape[1:])
        if spec.qtype is not None:
            low, high = spec.qtype.low, spec.qtype.high
            feeds[spec.name] = rng.integers(low, high, shape, spec.dtype, endpoint=True)
            continue
        low, high = _real_range(value)
        feeds[spec.name] = rng.uniform(low, high, shape).astype(spec.dtype)
    return feeds


def _real_range(value: Value) -> tuple[float, float]:
    """What the first quantizer of a float input keeps; -1 to 1 if none reads it directly."""
    for use in value.uses():
        if op_key(use.node) == "joulecut.Quantize":
            low, high = int_of(use.node, "low"), int_of(use.node, "high")
            zero_point = int_of(use.node, "zero_point")
            scale = float(float_of(use.node, "scale"))
            return (low - zero_point) * scale, (high - zero_point) * scale
    return -1.0, 1.0
