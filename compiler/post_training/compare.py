"""Run the float network and the integer network on the same samples and compare values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from joulecut.compiler.codes import Codes
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, name_of, output_specs, values
from joulecut.compiler.layers import layers
from joulecut.compiler.pipeline import PASSES
from joulecut.compiler.post_training.calibrate import float_values
from joulecut.compiler.post_training.points import Point
from joulecut.compiler.post_training.ranges import Seen
from joulecut.compiler.post_training.report import Check, LayerRow, OutputRow, Powers
from joulecut.compiler.post_training.samples import Progress, Samples
from joulecut.compiler.post_training.write import codes_name
from joulecut.compiler.quant import QType, qtype_of
from joulecut.compiler.reference import run_reference, trace

_TOGETHER = 16  # samples that the integer network computes at once; bounds the memory


@dataclass(frozen=True)
class Lowered:
    """An integer Graph whose values are known by the names that they had before the last pass.

    Attributes:
        graph: what `pipeline` makes.
        names: of values before ShortenNames -> in the graph.
    """

    graph: Graph
    names: Mapping[str, str]


def lowered(graph: Graph) -> Lowered:
    """The same as `pipeline`, with the names."""
    for step in PASSES[:-1]:
        graph = step(graph)
    short = PASSES[-1](graph)
    pairs = zip(values(graph), values(short), strict=True)
    return Lowered(short, {name_of(old): name_of(new) for old, new in pairs})


def compared_layers(
    graph: Graph,
    integer: Lowered,
    points: Sequence[Point],
    seen: Sequence[Seen],
    codes: Mapping[str, Codes],
    samples: Samples,
    advance: Progress,
) -> tuple[tuple[LayerRow, ...], tuple[OutputRow, ...]]:
    """Every quantized value that is computed, and the outputs.

    Args:
        graph: float.
        integer: the same network in integers.
        points: that were quantized.
        seen: what each of them did in calibration.
        codes: of every quantized value.
        samples: to compare on.
        advance: is told of every sample.
    """
    # A move has no entry of its own: it keeps the error of what it moves.
    found = {
        source: integer.names[codes_name(source)]
        for point in points
        for source in point.values
        if codes_name(source) in integer.names
    }
    meaning = {name_of(value): qtype_of(value) for value in values(integer.graph)}
    powers = {source: Powers() for source in found}
    outputs = _Outputs(integer.graph)
    wanted = [*found, *outputs.names]
    for i, (feed, floats) in enumerate(
        zip(samples.feeds(), float_values(graph, wanted, samples), strict=True)
    ):
        integers = trace(integer.graph, feed)
        for source, name in found.items():
            _add(powers[source], floats[source], _real(integers[name], meaning[name]))
        outputs.add([floats[name] for name in outputs.names], integers)
        advance(i + 1, len(samples))
    kinds = {layer.name: layer.kind for layer in layers(integer.graph)}
    extremes = {
        name: part for point, part in zip(points, seen, strict=True) for name in point.values
    }
    rows = [
        _row(source, name, kinds.get(name, ""), codes[source], extremes[source], powers[source])
        for source, name in found.items()
    ]
    return tuple(rows), outputs.rows()


def checked(graph: Graph, integer: Graph, samples: Samples, advance: Progress) -> Check:
    """Both networks on samples of their own, with accuracies if the samples have labels.

    Raises:
        ConfigError: a label is no class of the first output.
    """
    outputs = _Outputs(integer)
    first = output_specs(integer)[0]
    if samples.labels is not None:
        _check_labels(samples.labels, first.shape)
    hits = np.zeros(2)
    floats = float_values(graph, outputs.names, samples)
    done = 0
    for feed in _batches(samples):
        integers = dict(zip(outputs.names, run_reference(integer, feed), strict=True))
        count = len(next(iter(feed.values())))
        parts = [next(floats) for _ in range(count)]
        reals = [np.concatenate([part[name] for part in parts]) for name in outputs.names]
        outputs.add(reals, integers)
        if samples.labels is not None:
            labels = samples.labels[done : done + count]
            guesses = (reals[0].argmax(1), integers[first.name].argmax(1))
            hits += [int((guess == labels).sum()) for guess in guesses]
        done += count
        advance(done, len(samples))
    known = samples.labels is not None
    return Check(
        done,
        outputs.rows(),
        float(hits[0] / done) if known else None,
        float(hits[1] / done) if known else None,
    )


@dataclass
class _Outputs:
    """Powers and agreement of the outputs of a network."""

    graph: Graph
    names: list[str] = field(default_factory=list[str])
    powers: dict[str, Powers] = field(default_factory=dict[str, Powers])
    agreed: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def __post_init__(self) -> None:
        for spec in output_specs(self.graph):
            self.names.append(spec.name)
            self.powers[spec.name] = Powers()
            self.agreed[spec.name] = [0, 0]

    def add(self, reals: Sequence[np.ndarray], integers: Mapping[str, np.ndarray]) -> None:
        """Count samples [N, ...] of every output."""
        for name, real in zip(self.names, reals, strict=True):
            _add(self.powers[name], real, integers[name])
            if real.ndim > 1 and real.shape[1] > 1:
                same = real.argmax(1) == integers[name].argmax(1)
                self.agreed[name][0] += int(same.sum())
                self.agreed[name][1] += same.size

    def rows(self) -> tuple[OutputRow, ...]:
        """What was counted."""
        return tuple(
            OutputRow(
                name,
                self.powers[name].sqnr_db,
                self.agreed[name][0] / self.agreed[name][1] if self.agreed[name][1] else None,
            )
            for name in self.names
        )


def _row(
    source: str, name: str, kind: str, codes: Codes, seen: Seen, powers: Powers
) -> LayerRow:
    scale, zero = float(codes.scale[0]), int(codes.zero_point[0])
    return LayerRow(
        name=name,
        kind=kind,
        source=source,
        dtype=codes.dtype.name,
        scale=scale,
        zero_point=zero,
        low=(codes.low - zero) * scale,
        high=(codes.high - zero) * scale,
        seen_low=seen.low,
        seen_high=seen.high,
        sqnr_db=powers.sqnr_db,
    )


def _add(powers: Powers, real: np.ndarray, rounded: np.ndarray) -> None:
    exact = real.astype(np.float64)
    powers.signal += float(np.square(exact).sum())
    powers.noise += float(np.square(exact - rounded).sum())


def _real(codes: np.ndarray, meaning: QType | None) -> np.ndarray:
    """What 8-bit codes stand for."""
    assert meaning is not None
    return (codes.astype(np.float64) - meaning.zero_point) * meaning.scale[0]


def _batches(samples: Samples) -> Iterator[dict[str, np.ndarray]]:
    """The samples, some at a time."""
    held: list[dict[str, np.ndarray]] = []
    for feed in samples.feeds():
        held.append(feed)
        if len(held) == _TOGETHER:
            yield _stacked(held)
            held = []
    if held:
        yield _stacked(held)


def _stacked(feeds: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}


def _check_labels(labels: np.ndarray, shape: tuple[int, ...]) -> None:
    if len(shape) != 2:
        raise ConfigError(
            f"labels need a first output of shape [1, classes], not {list(shape)}; leave them out"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= shape[1]:
        raise ConfigError(f"labels must be in 0..{shape[1] - 1}, not {low}..{high}")
