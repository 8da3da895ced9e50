"""Which values of a part are planes, where they lie and how wide their borders are.

Decided for the whole part before any kernel is made: a border is as wide as the widest reader
needs, and an operand of a concatenation is written where the whole will lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from joulecut.compiler.graph import (
    Graph,
    Node,
    Value,
    constant_of,
    dtype_of,
    int_of,
    ints_of,
    name_of,
    op_key,
    shape_of,
)
from joulecut.compiler.windows import Window, window_of
from joulecut.targets.cpu.nhwc.fusing import Group
from joulecut.targets.cpu.nhwc.kernels import Kernels
from joulecut.targets.cpu.nhwc.plane import NO_BORDER, Border, Plane

PLANE = "#plane"  # suffix of the name of a buffer that holds a plane beside a dense tensor
QUANTIZE = "joulecut.Quantize"  # the only one over planes that reads a dense tensor
RENAMING = frozenset({"Reshape", "Flatten", "Identity"})
_SLIDING = frozenset({"joulecut.Conv", "MaxPool", "joulecut.AveragePool"})


@dataclass(frozen=True)
class Forms:
    """What phase one found.

    Attributes:
        planes: by name, for every value that some kernel wants or makes as a plane.
        made: names of values that are made as planes; the others are made dense.
        portable: why a group cannot run over planes, by its name.
    """

    planes: dict[str, Plane]
    made: frozenset[str]
    portable: dict[str, str]


@dataclass
class _Draft:
    borders: dict[str, Border] = field(default_factory=dict[str, Border])
    fills: dict[str, int] = field(default_factory=dict[str, int])
    wanted: dict[str, Value] = field(default_factory=dict[str, Value])
    made: dict[str, Value] = field(default_factory=dict[str, Value])
    portable: dict[str, str] = field(default_factory=dict[str, str])

    def want(self, value: Value, border: Border, fill: int) -> None:
        name = name_of(value)
        self.wanted[name] = value
        self.borders[name] = self.borders.get(name, NO_BORDER).covering(border)
        if border != NO_BORDER:
            self.fills[name] = fill

    def conflicts(self, value: Value, fill: int) -> bool:
        return self.fills.get(name_of(value), fill) != fill


def forms(
    graph: Graph, groups: Sequence[Group], kernels: Kernels, refusals: dict[str, str]
) -> Forms:
    """Decide for every value.

    Args:
        graph: the part.
        groups: in the order in which they run.
        kernels: of the target.
        refusals: groups that must be portable, by name, and why.
    """
    draft = _Draft(portable=dict(refusals))
    for group in groups:
        if group.name not in draft.portable:
            reason = _visit(group, draft)
            if reason:
                draft.portable[group.name] = reason
    for group in groups:
        if op_key(group.nodes[0]) == QUANTIZE and group.name not in draft.wanted:
            draft.made.pop(group.name, None)
            draft.portable.setdefault(group.name, "nobody reads it as a plane")
    outputs = {name_of(value) for value in graph.graph.outputs}
    inputs = {name_of(value) for value in graph.graph.inputs}
    planes = {
        name: _plane(value, name in draft.made, draft, kernels, outputs | inputs)
        for name, value in {**draft.wanted, **draft.made}.items()
    }
    _place_in_joins(groups, draft, planes)
    return Forms(planes, frozenset(draft.made), draft.portable)


def source_of(value: Value) -> Value:
    """The value whose elements a chain of reshapes only renames."""
    producer = value.producer()
    while producer is not None and op_key(producer) in RENAMING:
        (value, *_) = (v for v in producer.inputs if v is not None)
        producer = value.producer()
    return value


def flattens(value: Value, source: Value) -> bool:
    """Is [N, K] the source [N, C, ..] in one row a sample?"""
    shape, before = shape_of(value), shape_of(source)
    return len(shape) == 2 and len(before) in (2, 3, 4) and shape[0] == before[0]


def read_by_product(node: Node) -> Value | None:
    """What a MatMul over planes reads as its left side; None if it is not of that kind."""
    (a, b, *_) = node.inputs
    assert a is not None
    weights = constant_of(b)
    if (
        weights is None
        or weights.ndim != 2
        or len(shape_of(a)) != 2
        or constant_of(a) is not None
    ):
        return None
    source = source_of(a)
    if constant_of(source) is None and flattens(a, source):
        return source
    return a


def planar(value: Value) -> tuple[int, int, int, int]:
    """[N, C], [N, C, W] or [N, C, H, W] as (N, C, rows, columns)."""
    n, c, *rest = shape_of(value)
    rows, columns = (1, 1) if not rest else (1, rest[0]) if len(rest) == 1 else tuple(rest)
    return n, c, rows, columns


def two(numbers: Sequence[int], first: int) -> tuple[int, int]:
    """Numbers of one or two axes as those of rows and columns."""
    return (first, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def window(node: Node) -> Window:
    """The window of a node that slides."""
    if op_key(node) == "joulecut.Conv":
        weights = constant_of(node.inputs[1])
        assert weights is not None
        return window_of(node, weights.shape[2:])
    return window_of(node, ints_of(node, "kernel_shape"))


def _visit(group: Group, draft: _Draft) -> str:
    """Note what a group wants and makes as planes; returns why it cannot run over planes."""
    first = group.nodes[0]
    key = op_key(first)
    output = group.output
    inside = {v for node in group.nodes for v in node.outputs}
    others = [
        value
        for node in group.nodes[1:]
        for value in node.inputs
        if value is not None and constant_of(value) is None and value not in inside
    ]
    if key == "joulecut.MatMul":
        left = read_by_product(first)
        if left is None:
            return "the product is not of a vector and constant weights"
        draft.want(left, NO_BORDER, 0)
    elif key in _SLIDING:
        reason = _slides(first, draft, is_sum=key != "MaxPool")
        if reason:
            return reason
    elif key == QUANTIZE:
        if len(shape_of(output)) not in (2, 3, 4):
            return "the plane is not one of 1 or 2 axes"
    elif key in ("joulecut.Requantize", "joulecut.Add"):
        reason = _joins(first, draft)
        if reason:
            return reason
    elif key == "Concat":
        values = [v for v in first.inputs if v is not None]
        axis = int_of(first, "axis") % len(shape_of(output))
        if axis != 1 or not all(name_of(v) in draft.made for v in values):
            return "what is joined are not channels of planes"
        for value in values:
            draft.want(value, NO_BORDER, 0)
    else:
        return f"{key} has no kernel over planes"
    for value in others:
        draft.want(value, NO_BORDER, 0)
    draft.made[group.name] = output
    return ""


def _slides(node: Node, draft: _Draft, *, is_sum: bool) -> str:
    (x, *_), y = node.inputs, node.outputs[0]
    assert x is not None
    if len(shape_of(x)) not in (3, 4) or constant_of(x) is not None:
        return "the plane is not one of 1 or 2 axes"
    if not is_sum:
        shape = window(node)
        is_padded = any(shape.begins) or any(
            (n - 1) * s + e > size + b
            for n, s, e, b, size in zip(
                shape_of(y)[2:],
                shape.strides,
                shape.extents,
                shape.begins,
                shape_of(x)[2:],
                strict=True,
            )
        )
        if is_padded and any(d != 1 for d in shape.dilations):
            return "a dilated maximum has padding"
        if name_of(x) not in draft.made:
            return "its input is not a plane"
        if dtype_of(x).kind == "f" or dtype_of(x).itemsize > 1:
            return "it is not of 8 bits"
        draft.want(x, NO_BORDER, 0)
        return ""
    if op_key(node) != "joulecut.Conv" and name_of(x) not in draft.made:
        return "its input is not a plane"
    shape, zero_point = window(node), int_of(node, "x_zero_point")
    above, left = two(shape.begins, 0)
    outs = two(shape_of(y)[2:], 1)
    reach = [
        (n - 1) * s + e - b - size
        for n, s, e, b, size in zip(
            outs,
            two(shape.strides, 1),
            two(shape.extents, 1),
            (above, left),
            planar(x)[2:],
            strict=True,
        )
    ]
    border = Border(above, left, max(0, reach[0]), max(0, reach[1]))
    if draft.conflicts(x, zero_point):
        return "another reader pads with another zero point"
    draft.want(x, border, zero_point)
    return ""


def _joins(node: Node, draft: _Draft) -> str:
    y = node.outputs[0]
    count = 1 if op_key(node) == "joulecut.Requantize" else len(node.inputs) // 2
    values = [value for value in node.inputs[:count] if value is not None]
    rank = len(shape_of(y))
    if rank not in (2, 3, 4) or any(shape_of(v) != shape_of(y) for v in values):
        return "operands are of several shapes"
    if any(constant_of(v) is not None for v in values):
        return "an operand is a constant"
    if not any(name_of(v) in draft.made for v in values):
        return "no operand is a plane"
    sizes = [m.size for m in map(constant_of, node.inputs[count:]) if m is not None]
    if any(size > 1 for size in sizes) and int_of(node, "axis", 1) % rank != 1:
        return "scales do not lie along the channels"
    for value in values:
        draft.want(value, NO_BORDER, 0)
    return ""


def _plane(
    value: Value, made: bool, draft: _Draft, kernels: Kernels, shared: set[str]
) -> Plane:
    name = name_of(value)
    n, c, rows, columns = planar(value)
    dtype = dtype_of(value).name
    is_narrow = dtype in ("int8", "uint8")
    shift = kernels.shift_of(dtype) if is_narrow else 0
    border = draft.borders.get(name, NO_BORDER)
    fill = draft.fills.get(name, 0) + shift
    stored = kernels.dtype if is_narrow else dtype
    plane = Plane(name, n, rows, columns, c, border, c, 0, stored, shift, fill)
    if is_dense(plane, dtype) and made and not (name in shared and name in draft.wanted):
        return plane
    return replace(plane, name=name + PLANE)


def is_dense(plane: Plane, dtype: str) -> bool:
    """Are the bytes of the plane those of the dense tensor?"""
    is_flat = plane.channels == 1 or plane.rows * plane.columns == 1
    return (
        is_flat
        and plane.is_whole
        and not plane.has_border
        and plane.shift == 0
        and plane.dtype == dtype
    )


def _place_in_joins(groups: Sequence[Group], draft: _Draft, planes: dict[str, Plane]) -> None:
    """Give each operand of a concatenation its place in the whole, the last one first."""
    placed: set[str] = set()
    for group in reversed(groups):
        node = group.nodes[0]
        if op_key(node) != "Concat" or group.name in draft.portable:
            continue
        values = [value for value in node.inputs if value is not None]
        names = [name_of(value) for value in values]
        whole = planes[group.name]
        fills = {planes[n].fill for n in (group.name, *names) if planes[n].has_border}
        free = [n for n in names if n in draft.made and n not in placed and names.count(n) == 1]
        if len(fills) > 1 or not whole.is_whole:
            continue
        border = whole.border
        for name in free:
            border = border.covering(planes[name].border)
        whole = replace(
            whole,
            name=group.name + PLANE,
            border=border,
            fill=next(iter(fills), whole.fill),
        )
        planes[group.name] = whole
        first = 0
        for value, name in zip(values, names, strict=True):
            channels = shape_of(value)[1]
            if name in free:
                planes[name] = whole.slice(first, channels)
                placed.add(name)
            first += channels
