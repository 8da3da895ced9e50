"""A Graph cut in two: the parts, and what crosses between them.

The property that everything else rests on: for every legal cut, the parts composed equal the
whole, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from joulecut.compiler.cut import Cut, edge_of
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import (
    Graph,
    input_specs,
    is_constant,
    name_of,
    output_specs,
)
from joulecut.compiler.quant import TensorSpec
from joulecut.compiler.reference import run_reference


@dataclass(frozen=True)
class Part:
    """One side of a cut: a Graph of its own.

    Attributes:
        name: "edge" or "cloud".
        graph: integer Graph; its values keep the names that they have in the whole.
    """

    name: str
    graph: Graph

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What must be fed."""
        return input_specs(self.graph)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What comes out."""
        return output_specs(self.graph)


@dataclass(frozen=True)
class Link:
    """What goes from the edge to the cloud.

    Attributes:
        specs: the tensors that cross: exactly the cloud's inputs, in their order.
        raw: names of those that are inputs of the whole. They cross as they came; the edge part
            does not make them.
    """

    specs: tuple[TensorSpec, ...]
    raw: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Two parts and the link between them, equal to the whole.

    Attributes:
        edge: makes the link's tensors, then the outputs of the whole that need no cloud.
        link: what crosses.
        cloud: reads the link's tensors alone; makes the other outputs of the whole.
        whole: the Graph that was cut.
    """

    edge: Part
    link: Link
    cloud: Part
    whole: Graph


def partition(graph: Graph, cut: Cut) -> Plan:
    """Sever a Graph at a cut.

    Args:
        graph: integer Graph; stays as it is.
        cut: one of its cuts.

    Raises:
        CutError: the cut is of another graph.
    """
    on_edge = edge_of(graph, cut)
    inputs = [name_of(value) for value in graph.graph.inputs if not is_constant(value)]
    outputs = [name_of(value) for value in graph.graph.outputs]
    raw = tuple(name for name in cut.tensors if name in inputs)
    sent = [name for name in cut.tensors if name not in raw]
    kept = [name for name in outputs if name in on_edge and name not in sent]
    rest = [name for name in outputs if name not in on_edge and name not in inputs]
    return Plan(
        Part("edge", between(graph, "edge", inputs, [*sent, *kept])),
        Link(cut.specs, raw),
        Part("cloud", between(graph, "cloud", cut.tensors, rest)),
        graph,
    )


def run_plan(plan: Plan, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """What the parts compute one after the other, by the reference.

    Args:
        plan: of an integer Graph.
        feeds: for each input of the whole its array.

    Returns:
        The outputs of the whole, in its order.

    Raises:
        ConfigError: the feeds do not fit the inputs.
    """
    names = [spec.name for spec in input_specs(plan.whole)]
    if sorted(feeds) != sorted(names):
        raise ConfigError(f"feeds must be {sorted(names)}, not {sorted(feeds)}")
    known = dict(feeds)
    for part in (plan.edge, plan.cloud):
        made = run_reference(part.graph, {spec.name: known[spec.name] for spec in part.inputs})
        known |= {spec.name: array for spec, array in zip(part.outputs, made, strict=True)}
    return [known[name_of(value)] for value in plan.whole.graph.outputs]


def between(graph: Graph, side: str, inputs: Sequence[str], outputs: Sequence[str]) -> Graph:
    """What computes some values of a Graph from others, as a Graph of its own.

    Args:
        graph: stays as it is.
        side: ends the name of the new Graph.
        inputs: names of values that shut off everything before them; those that nothing of the
            new Graph reads are left out.
        outputs: names of values.
    """
    whole = graph.graph
    part = ir.convenience.extract(whole, inputs, outputs)
    part.name = f"{whole.name}.{side}"
    read = {value for node in part for value in node.inputs}
    part.inputs[:] = [value for value in part.inputs if value in read]
    # extract collects initializers in a set: without an order, equal parts would be written
    # as different bytes.
    constants = [
        part.initializers[name] for name in whole.initializers if name in part.initializers
    ]
    part.initializers.clear()
    for value in constants:
        part.register_initializer(value)
    return _like(graph, part)


def empty(graph: Graph, side: str) -> Graph:
    """A Graph that computes nothing; `side` ends its name."""
    name = f"{graph.graph.name}.{side}"
    imports = dict(graph.graph.opset_imports)
    return _like(graph, ir.Graph([], [], nodes=[], opset_imports=imports, name=name))


def _like(graph: Graph, part: ir.Graph) -> Graph:
    """A Graph with what another says of itself."""
    return ir.Model(
        part,
        ir_version=graph.ir_version,
        producer_name=graph.producer_name,
        producer_version=graph.producer_version,
        metadata_props=dict(graph.metadata_props),
    )
