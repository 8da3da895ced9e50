"""Run a float Graph over samples, one at a time, and keep what its values did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, name_of
from joulecut.compiler.onnxrt import session
from joulecut.compiler.post_training.points import Point
from joulecut.compiler.post_training.ranges import BINS, Seen, bins_of
from joulecut.compiler.post_training.samples import Progress, Samples


def observed(
    graph: Graph, points: Sequence[Point], samples: Samples, *, counts: bool, advance: Progress
) -> list[Seen]:
    """What the values of each point did over all samples.

    Args:
        graph: float.
        points: in the order of the result.
        samples: inputs of the graph.
        counts: also count how often each part of the range is met, in a second walk.
        advance: is told of every sample of every walk.

    Raises:
        ConfigError: a value is not finite.
    """
    names = [name for point in points for name in point.sources]
    passes = 2 if counts else 1
    total = passes * len(samples)
    extremes: dict[str, tuple[float, float]] = {}
    outputs = map(name_of, graph.graph.outputs)  # some have no quantizer, and may overflow too
    for i, found in enumerate(float_values(graph, [*names, *outputs], samples)):
        for name, array in found.items():
            low, high = float(array.min()), float(array.max())
            if not (np.isfinite(low) and np.isfinite(high)):
                raise ConfigError(
                    f"'{name}' must be finite, and is not for sample {samples.chosen[i]}; the "
                    "float network overflows on it"
                )
            before = extremes.get(name, (0.0, 0.0))  # 0 belongs to every range
            extremes[name] = min(low, before[0]), max(high, before[1])
        advance(i + 1, total)
    seen = [
        Seen(
            min(extremes[name][0] for name in point.sources),
            max(extremes[name][1] for name in point.sources),
        )
        for point in points
    ]
    if not counts:
        return seen
    tables = [np.zeros(BINS, np.int64) for _ in points]
    for i, found in enumerate(float_values(graph, names, samples)):
        for point, part, table in zip(points, seen, tables, strict=True):
            for name in point.sources:
                table += bins_of(found[name], part.low, part.high)
        advance(len(samples) + i + 1, total)
    return [replace(part, counts=table) for part, table in zip(seen, tables, strict=True)]


def float_values(
    graph: Graph, names: Sequence[str], samples: Samples
) -> Iterator[Mapping[str, np.ndarray]]:
    """Values of the float Graph by name, for each sample."""
    wanted = list(dict.fromkeys(names))
    inputs = {name_of(value) for value in graph.graph.inputs}
    engine = session(_with_outputs(graph, wanted), optimize=True)
    for feed in samples.feeds():
        found = dict(zip(engine.outputs, engine.run(feed), strict=True))
        yield {name: feed[name] if name in inputs else found[name] for name in wanted}


def _with_outputs(graph: Graph, names: Sequence[str]) -> bytes:
    """The Graph with these values for its outputs, and its own."""
    model = ir.to_proto(graph)
    known = {output.name for output in model.graph.output}
    for info in model.graph.value_info:
        if info.name in names and info.name not in known:
            model.graph.output.append(info)
    return model.SerializeToString()
