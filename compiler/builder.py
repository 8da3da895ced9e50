"""Make a new Graph from an old one: the walk over nodes that every pass shares.

Passes never change a graph in place: a rule says what replaces one node, the walk asks it for
each node in order, and what nothing reads any more is left out of the new graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from joulecut.compiler.graph import (
    DOMAIN,
    DOMAIN_VERSION,
    Graph,
    is_constant,
    name_of,
    nodes,
)
from joulecut.compiler.quant import QType, set_qtype

Attribute = int | float | str | Sequence[int] | Sequence[float]
Rule = Callable[[ir.Node, list[ir.Value | None], "Builder"], list[ir.Value] | None]


class Builder:
    """Collects the nodes and constants of a new graph; every name is given out once.

    Names of the old graph are reserved: only who asks for exactly such a name gets it, so a
    value keeps its name as long as it keeps its numbers.
    """

    def __init__(self, old: Graph):
        self._old = old
        self._nodes: list[ir.Node] = []
        self._constants: dict[str, ir.Value] = {}
        self._reserved = _names(old)
        self._given: set[str] = set()

    def fresh(self, stem: str) -> str:
        """`stem` if no value has that name, else the stem and the first number that is free."""
        name, count = stem, 0
        while name in self._reserved or name in self._given:
            count += 1
            name = f"{stem}_{count}"
        self._given.add(name)
        return name

    def constant(
        self, stem: str, array: npt.NDArray[np.generic], qtype: QType | None = None
    ) -> ir.Value:
        """A new initializer."""
        name = self.fresh(stem)
        tensor = ir.tensor(np.asarray(array, order="C"), name=name)
        shape = ir.Shape(array.shape)
        value = ir.val(name, tensor.dtype, shape, const_value=tensor)
        if qtype is not None:
            set_qtype(value, qtype)
        self._constants[name] = value
        return value

    def input(self, old: ir.Value) -> ir.Value:
        """An input of the old graph for the new one."""
        return _twin(old)

    def carry(self, old: ir.Value) -> ir.Value:
        """An initializer of the old graph in the new one."""
        name = name_of(old)
        if name not in self._constants:
            self._constants[name] = _twin(old)
        return self._constants[name]

    def node(
        self,
        op: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Attribute] | None = None,
        *,
        name: str | None,
        output: str,
        shape: Sequence[int] | ir.Shape | None,
        dtype: npt.DTypeLike,
        qtype: QType | None = None,
    ) -> ir.Value:
        """A new node with one output.

        Args:
            op: `Reshape` for ONNX's own operators, `joulecut.Conv` for ours.
            inputs: values of the new graph.
            attributes: plain Python values.
            name: of the node, for people.
            output: name of the output, from `fresh` or from the old graph.
            shape: of the output.
            dtype: of the output.
            qtype: what the integers of the output mean.
        """
        domain, _, op_type = op.rpartition(".")
        element = ir.DataType.from_numpy(np.dtype(dtype))
        value = ir.val(output, element, None if shape is None else ir.Shape(list(shape)))
        if qtype is not None:
            set_qtype(value, qtype)
        made = ir.node(
            op_type, inputs, attributes or {}, domain=domain, outputs=[value], name=name
        )
        self._nodes.append(made)
        return value

    def append(self, node: ir.Node) -> None:
        """A node that was made elsewhere; its outputs have names from `fresh` or the old graph."""
        self._nodes.append(node)

    def copy(self, node: ir.Node, inputs: Sequence[ir.Value | None]) -> list[ir.Value]:
        """The node of the old graph with new inputs; names stay."""
        outputs = [_twin(value) for value in node.outputs]
        self._nodes.append(
            ir.Node(
                node.domain,
                node.op_type,
                inputs,
                list(node.attributes.values()),
                outputs=outputs,
                name=node.name or name_of(node.outputs[0]),
            )
        )
        return outputs

    def finish(self, inputs: Sequence[ir.Value], outputs: Sequence[ir.Value]) -> Graph:
        """The new graph, without nodes and constants that no output needs."""
        needed = set(outputs)
        kept: list[ir.Node] = []
        for node in reversed(self._nodes):
            if needed.intersection(node.outputs):
                kept.append(node)
                needed.update(value for value in node.inputs if value is not None)
        opsets = {
            "": max(self._old.graph.opset_imports.get("", 0), 13),
            DOMAIN: DOMAIN_VERSION,
        }
        graph = ir.Graph(
            inputs,
            outputs,
            nodes=kept[::-1],
            initializers=[value for value in self._constants.values() if value in needed],
            opset_imports=opsets,
            name=self._old.graph.name or "graph",
        )
        return ir.Model(
            graph,
            ir_version=max(self._old.ir_version, 8),
            metadata_props=dict(self._old.metadata_props),
        )


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """Replace nodes by what a rule makes of them.

    Args:
        graph: stays as it is.
        rule: gets a node, its inputs in the new graph and the builder; returns the values that
            stand for the node's outputs, or None to keep the node.
    """
    build = Builder(graph)
    inputs = [value for value in graph.graph.inputs if not is_constant(value)]
    known: dict[ir.Value, ir.Value] = {value: build.input(value) for value in inputs}

    def new(value: ir.Value | None) -> ir.Value | None:
        if value is None:
            return None
        return build.carry(value) if is_constant(value) else known[value]

    for node in nodes(graph):
        read = [new(value) for value in node.inputs]
        made = rule(node, read, build)
        known.update(zip(node.outputs, made or build.copy(node, read), strict=False))
    made_inputs = [known[value] for value in inputs]
    outputs = distinct_outputs(build, graph, [known[value] for value in graph.graph.outputs])
    return build.finish(made_inputs, outputs)


def distinct_outputs(build: Builder, old: Graph, outputs: Iterable[ir.Value]) -> list[ir.Value]:
    """Outputs under the names of the old ones; a copy where a name would have to change."""
    found: list[ir.Value] = []
    for value, wanted in zip(outputs, old.graph.outputs, strict=True):
        if value.name == wanted.name:
            found.append(value)
            continue
        assert value.dtype is not None
        copied = build.node(
            "Identity",
            [value],
            name=name_of(wanted),
            output=name_of(wanted),
            shape=value.shape,
            dtype=value.dtype.numpy(),
        )
        copied.metadata_props.update(value.metadata_props)
        found.append(copied)
    return found


def _twin(value: ir.Value) -> ir.Value:
    """The same value for another graph."""
    made = ir.val(
        name_of(value), shape=value.shape, type=value.type, const_value=value.const_value
    )
    made.metadata_props.update(value.metadata_props)
    return made


def _names(graph: Graph) -> set[str]:
    """All names of values."""
    found = {name_of(value) for value in graph.graph.inputs}
    found.update(graph.graph.initializers)
    for node in nodes(graph):
        found.update(value.name for value in node.outputs if value.name)
    return found
