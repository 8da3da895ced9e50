"""Which layers of a part run on the accelerator, and the runs of layers that this cuts it into.

A run is a Graph of its own: everything in it is on one side, and it reads only what runs before it
have made. Runs alternate; values go from one side to the other between them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from joulecut.compiler.graph import Graph, input_specs, name_of
from joulecut.compiler.layers import Layer, layers
from joulecut.compiler.plan import between
from joulecut.hw.config import MacArrayConfig
from joulecut.targets.fpga.lower import refusals

Place = Literal["array", "processor"]

_MOVES_NOTHING = "nothing around it runs on the accelerator"


@dataclass(frozen=True)
class Segment:
    """Layers that run one after the other in one place.

    Attributes:
        place: of all of them.
        graph: of them alone.
    """

    place: Place
    graph: Graph


@dataclass(frozen=True)
class Assignment:
    """Where the layers of a part run.

    Attributes:
        segments: in the order in which they run.
        reasons: for each layer that stays with the processor why, by its name.
    """

    segments: tuple[Segment, ...]
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])

    def on_array(self) -> frozenset[str]:
        """Names of the layers on the accelerator."""
        return frozenset(
            layer.name
            for segment in self.segments
            if segment.place == "array"
            for layer in layers(segment.graph)
        )


def assigned(
    graph: Graph, config: MacArrayConfig, kept: Mapping[str, str] | None = None
) -> Assignment:
    """The segments of a part: on the accelerator all that it can run.

    Args:
        graph: integer Graph, batch 1.
        config: the accelerator.
        kept: layers that stay with the processor all the same, and why.
    """
    every = layers(graph)
    owner = {name_of(node.outputs[0]): layer.name for layer in every for node in layer.nodes}
    reasons = dict(kept or {})
    while True:
        found = segments(graph, {layer.name for layer in every} - reasons.keys())
        more: dict[str, str] = {}
        for segment in found:
            if segment.place == "processor":
                continue
            refused = refusals(segment.graph, config)
            more |= {owner[name]: reason for name, reason in refused.items()}
            if not more and not _computes(segment.graph):
                more |= {layer.name: _MOVES_NOTHING for layer in layers(segment.graph)}
        if not more:
            return Assignment(tuple(found), reasons)
        reasons |= more


def _computes(graph: Graph) -> bool:
    """Does it do more than give bytes other names?"""
    renaming = {"Reshape", "Identity", "Concat"}
    return any(layer.kind not in renaming for layer in layers(graph))


def segments(graph: Graph, on_array: Collection[str]) -> list[Segment]:
    """The runs of a part, as few as a list of layers in two places can be cut into.

    Args:
        graph: integer Graph.
        on_array: names of the layers that run on the accelerator.
    """
    every = layers(graph)
    starts: tuple[Place, ...] = ("processor", "array")
    runs = min((_runs(graph, every, on_array, start) for start in starts), key=len)
    return [Segment(place, _graph_of(graph, every, run)) for place, run in runs]


def _runs(
    graph: Graph, every: Sequence[Layer], on_array: Collection[str], start: Place
) -> list[tuple[Place, list[Layer]]]:
    """Everything that can run in one place, then in the other, until nothing is left."""
    made = {spec.name for spec in input_specs(graph)}
    waiting, place = list(every), start
    found: list[tuple[Place, list[Layer]]] = []
    while waiting:
        run: list[Layer] = []
        rest: list[Layer] = []
        for layer in waiting:
            is_here = (layer.name in on_array) == (place == "array")
            is_ready = all(name_of(value) in made for value in layer.inputs)
            (run if is_here and is_ready else rest).append(layer)
            if run and run[-1] is layer:
                made.add(layer.name)
        if run:
            found.append((place, run))
        waiting, place = rest, "processor" if place == "array" else "array"
    return found


def _graph_of(graph: Graph, every: Sequence[Layer], run: Sequence[Layer]) -> Graph:
    """A run as a Graph: what it reads from outside, and what is read there of it."""
    own = {layer.name for layer in run}
    read = [name_of(value) for layer in run for value in layer.inputs]
    inputs = [name for name in dict.fromkeys(read) if name not in own]
    elsewhere = {
        name_of(value) for layer in every if layer.name not in own for value in layer.inputs
    }
    elsewhere |= {name_of(value) for value in graph.graph.outputs}
    outputs = [layer.name for layer in run if layer.name in elsewhere]
    return between(graph, run[0].name, inputs, outputs)
