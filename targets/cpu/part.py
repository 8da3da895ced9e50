"""A part's integer Graph => its layers as kernels, in the order in which they run.

Where the target has kernels over planes, layers are fused first and values stay planes from one
kernel to the next; a step between moves what one side has in the other form. What such kernels
cannot do runs dense, by the portable kernels, and the build report says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from joulecut.compiler.graph import Graph, Value, dtype_of, name_of, op_key, shape_of
from joulecut.compiler.layers import Layer, layers
from joulecut.targets.cpu.lower import Lowered, lower
from joulecut.targets.cpu.nhwc.forms import (
    QUANTIZE,
    RENAMING,
    Forms,
    forms,
    read_by_product,
    source_of,
)
from joulecut.targets.cpu.nhwc.fusing import Group, fused
from joulecut.targets.cpu.nhwc.kernels import Kernels
from joulecut.targets.cpu.nhwc.lowering import lower_group, refusal
from joulecut.targets.cpu.nhwc.moving import pack, unpack
from joulecut.targets.cpu.nhwc.plane import BorderFill, Plane
from joulecut.targets.cpu.script import Arg, Step, Tiling


def lower_part(graph: Graph, tiling: Tiling, kernels: Kernels | None) -> list[Lowered]:
    """The kernels of a part.

    Args:
        graph: integer Graph.
        tiling: of the portable kernels.
        kernels: over planes; None if the target has none.

    Raises:
        UnsupportedError: a node is beyond all kernels.
    """
    every = layers(graph)
    if kernels is None:
        return [lower(layer, tiling) for layer in every]
    reasons = {layer: refusal(layer, kernels) for layer in every}
    groups = fused(graph, every, lambda layer: not reasons[layer])
    refused = {g.name: reasons[g.layers[0]] for g in groups if reasons[g.layers[0]]}
    found = forms(graph, groups, kernels, refused)
    return _Walk(graph, groups, found, kernels, tiling).lowered()


class _Walk:
    """Lowers groups in order, and remembers which value exists in which form."""

    def __init__(
        self,
        graph: Graph,
        groups: Sequence[Group],
        found: Forms,
        kernels: Kernels,
        tiling: Tiling,
    ) -> None:
        self._groups, self._forms = groups, found
        self._kernels, self._tiling = kernels, tiling
        self._dense = _needed_dense(graph, groups, found)
        self._packed: set[str] = set()
        self._filled: set[str] = set()

    def lowered(self) -> list[Lowered]:
        """All groups."""
        return [work for group in self._groups for work in self._group(group)]

    def _group(self, group: Group) -> Iterable[Lowered]:
        if group.name in self._forms.portable:
            reason = self._forms.portable[group.name]
            for layer in group.layers:
                yield self._portable(layer, reason)
            return
        steps: list[Step | BorderFill] = []
        for value in _read(group):
            if name_of(value) not in self._forms.made:
                steps += self._pack(value)
        plane = self._forms.planes[group.name]
        steps += self._fill(plane)
        made, macs, said = lower_group(group, self._forms, self._kernels)
        steps += made
        if group.name in self._dense and plane.name != group.name:
            dtype = dtype_of(group.output).name
            target = Arg("D", group.name, shape_of(group.output), dtype)
            steps.append(unpack(plane, target))
        yield Lowered(group.layers, tuple(steps), macs, shown=plane, kernel=said)

    def _portable(self, layer: Layer, reason: str) -> Lowered:
        work = lower(layer, self._tiling, reason)
        if work.alias is None or layer.name in self._dense:
            return work
        source = name_of(source_of(work.alias))
        if source not in self._forms.made:
            return work
        return Lowered((layer,), (), shown=self._forms.planes[source])

    def _pack(self, value: Value) -> list[Step | BorderFill]:
        """The steps that make a plane of a dense value, once."""
        plane = self._forms.planes[name_of(value)]
        if plane.name in self._packed:
            return []
        self._packed.add(plane.name)
        source = Arg("D", name_of(value), shape_of(value), dtype_of(value).name)
        return [*self._fill(plane), pack(source, plane)]

    def _fill(self, plane: Plane) -> list[Step | BorderFill]:
        """The step before the first that writes a buffer with a border."""
        if not plane.has_border or plane.name in self._filled:
            return []
        self._filled.add(plane.name)
        return [BorderFill(plane)]


def _read(group: Group) -> list[Value]:
    """The values that a group over planes reads as planes, each once."""
    if op_key(group.nodes[0]) == QUANTIZE:
        return []
    inside = {v for node in group.nodes for v in node.outputs}
    found: dict[Value, None] = {}
    for node in group.nodes:
        for value in node.inputs:
            if value is None or value in inside or value.const_value is not None:
                continue
            if op_key(node) == "joulecut.MatMul":
                source = read_by_product(node)
                value = value if source is None else source
            found[value] = None
    return list(found)


def _needed_dense(graph: Graph, groups: Sequence[Group], found: Forms) -> set[str]:
    """Names of the values that somebody reads as dense tensors."""
    needed = {name_of(value) for value in graph.graph.outputs}
    for group in reversed(groups):
        if group.name not in found.portable:
            values = [v for v in _read(group) if name_of(v) not in found.made]
            if op_key(group.nodes[0]) == QUANTIZE:
                values = list(group.layers[0].inputs)
        elif op_key(group.nodes[0]) in RENAMING and group.name not in needed:
            values = []
        else:
            values = [value for layer in group.layers for value in layer.inputs]
        needed |= {name_of(value) for value in values}
    return needed
