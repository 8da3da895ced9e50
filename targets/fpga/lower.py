"""An integer Graph -> a program for the accelerator.

Taken are convolutions, products with constant weights, poolings, sums of two activations and
requantizations, where their types and zero points are those of docs/spec.md's int8 and uint8.
Everything else is reported, all of it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from joulecut.compiler.errors import Finding, UnsupportedError
from joulecut.compiler.graph import (
    Graph,
    Node,
    float_of,
    input_specs,
    int_of,
    ints_of,
    name_of,
    nodes,
    op_key,
    output_specs,
    shape_of,
)
from joulecut.compiler.graph import Value as GraphValue
from joulecut.compiler.windows import window_of
from joulecut.hw.config import MacArrayConfig
from joulecut.hw.descriptors import Operation
from joulecut.targets.fpga.packing import (
    pack_diagonal,
    pack_parameters,
    pack_rows,
    pack_weights,
    ungrouped,
)
from joulecut.targets.fpga.program import Program, Value
from joulecut.targets.fpga.questions import (
    NotMadeError,
    RefusedError,
    can_pack,
    fitting,
    is_unsigned,
    joins_planes,
    layer_window,
    multiplier_of,
    normal,
    operands,
    space_of,
)
from joulecut.targets.fpga.schedule import Memories, Step, listed
from joulecut.targets.fpga.tensors import ALIGNMENT, PLANE, PackedTensor, Tensor
from joulecut.targets.fpga.tiles import Made, steps_of
from joulecut.targets.fpga.work import Tiling, TilingError, Window, Work, best_tiling

_ELSEWHERE = "leave it to the processor"
_PACKED_CHANNELS = 8  # with fewer, the rows of a first layer's window are packed


def program_of(graph: Graph, config: MacArrayConfig) -> Program:
    """The program of a whole part.

    Args:
        graph: integer Graph, batch 1.
        config: the accelerator.

    Raises:
        UnsupportedError: nodes that the accelerator cannot run, each with the reason.
    """
    lowering = _Lowering(graph, config)
    findings = tuple(
        Finding(name, kind, str(error), _ELSEWHERE) for name, kind, _, error in lowering.all()
    )
    if findings:
        raise UnsupportedError(
            f"accelerator '{config.name}' must run all of the part, not without these:",
            findings,
        )
    return lowering.program()


def refusals(graph: Graph, config: MacArrayConfig) -> dict[str, str]:
    """Why nodes stay with the processor, by the name of what each makes.

    Nodes that could run but lack an operand, because its maker or the input is refused, are
    not among them: without the others in the way they may be taken.

    Args:
        graph: integer Graph, batch 1.
        config: the accelerator.
    """
    found: dict[str, str] = {}
    for _, _, value, error in _Lowering(graph, config).all():
        if isinstance(error, NotMadeError):
            continue
        readers = [user for user in nodes(graph) if value in user.inputs]
        refused = [value] if value.producer() else [node.outputs[0] for node in readers]
        found |= {name_of(each): str(error) for each in refused}
    return found


class _Lowering:
    """A program while it is made."""

    def __init__(self, graph: Graph, config: MacArrayConfig) -> None:
        self.graph, self.config = graph, config
        self.image: list[np.ndarray] = []
        self.image_bytes = 0
        self.size = 0  # of activations; addresses are theirs until the image is complete
        self.tensors: dict[str, Tensor] = {}
        self.packed: dict[str, PackedTensor] = {}
        self.flattened: dict[str, Tensor] = {}  # by name, what a Reshape made a vector of
        self.pending: dict[str, Node] = {}  # sums in 32 bits, until they are requantized
        self.works: list[tuple[Work, Tiling]] = []
        self.macs = 0

    def all(self) -> Iterator[tuple[str, str, GraphValue, RefusedError | TilingError]]:
        """Takes inputs and nodes; gives what was refused: name, kind, value, reason."""
        for value in self.graph.graph.inputs:
            try:
                self.take_input(value)
            except RefusedError as error:
                yield name_of(value), "input", value, error
        for node in nodes(self.graph):
            try:
                self.take(node)
            except (RefusedError, TilingError) as error:
                yield str(node.name), op_key(node), node.outputs[0], error

    # Where values lie

    def take_input(self, value: GraphValue) -> None:
        """Gives an input of the part its place."""
        users = [node for node in nodes(self.graph) if value in node.inputs]
        shape = space_of(value)
        few = shape.channels < _PACKED_CHANNELS
        is_packed = (
            few
            and len(users) == 1
            and op_key(users[0]) == "joulecut.Conv"
            and can_pack(users[0])
        )
        if is_packed:
            self._pack_input(value, users[0])
        else:
            self._tensor(value)

    def _pack_input(self, value: GraphValue, node: Node) -> None:
        shape = space_of(value)
        window = layer_window(node)
        width = window.pads[1] + shape.width + window.pads[3]
        pitch = -(-width * shape.channels // self.config.columns) * self.config.columns
        tensor = PackedTensor(
            name_of(value),
            0,
            shape.channels,
            shape.height,
            shape.width,
            window.pads,
            pitch,
            is_unsigned(value),
            int_of(node, "x_zero_point"),
        )
        self.packed[name_of(value)] = replace(tensor, address=self._room(tensor.nbytes))

    def _tensor(self, value: GraphValue) -> Tensor:
        shape = space_of(value)
        tensor = Tensor(
            name_of(value), 0, shape.channels, shape.height, shape.width, is_unsigned(value)
        )
        tensor = self._part(value, tensor) or replace(tensor, address=self._room(tensor.nbytes))
        self.tensors[name_of(value)] = tensor
        return tensor

    def _part(self, value: GraphValue, tensor: Tensor) -> Tensor | None:
        """The tensor as some planes of what a Concat makes; None if no one joins it so."""
        for node in nodes(self.graph):
            if value not in node.inputs or not joins_planes(node):
                continue
            (output,) = node.outputs
            whole = self.tensors.get(name_of(output)) or self._tensor(output)
            first = whole.first_plane
            for other in node.inputs:
                assert other is not None
                if other is value:
                    break
                first += space_of(other).channels // PLANE
            return replace(
                tensor,
                address=whole.address + (first - whole.first_plane) * whole.plane_bytes,
                whole=whole.whole or whole.name,
                first_plane=first,
            )
        return None

    def _room(self, nbytes: int) -> int:
        address = self.size
        self.size += -(-nbytes // ALIGNMENT) * ALIGNMENT
        return address

    def _constant(self, array: np.ndarray) -> int:
        data = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        address = self.image_bytes
        padding = -data.size % ALIGNMENT
        self.image += [data, np.zeros(padding, np.uint8)]
        self.image_bytes += data.size + padding
        return address

    def _input(self, value: GraphValue | None) -> Tensor:
        assert value is not None
        found = self.tensors.get(name_of(value))
        if found is None:
            raise NotMadeError(f"'{value.name}' must be made on the accelerator, and is not")
        return found

    # Nodes

    def take(self, node: Node) -> None:
        """Adds a node's work."""
        takers: dict[str, Callable[[Node], None]] = {
            "joulecut.Conv": self._later,
            "joulecut.MatMul": self._later,
            "joulecut.Requantize": self._requantize,
            "joulecut.Add": self._add,
            "joulecut.AveragePool": self._average,
            "MaxPool": self._largest,
            "Reshape": self._reshape,
            "Identity": self._identity,
            "Concat": self._concat,
        }
        taker = takers.get(op_key(node))
        if taker is None:
            raise RefusedError("no operation of the accelerator")
        taker(node)

    def _later(self, node: Node) -> None:
        (output,) = node.outputs
        self.pending[name_of(output)] = node
        users = [user for user in nodes(self.graph) if output in user.inputs]
        is_kept = any(value is output for value in self.graph.graph.outputs)
        if is_kept or any(op_key(user) != "joulecut.Requantize" for user in users):
            raise RefusedError("its 32-bit sums must be requantized, and are used as they are")

    def _identity(self, node: Node) -> None:
        found = self._input(node.inputs[0])
        self.tensors[name_of(node.outputs[0])] = found

    def _concat(self, node: Node) -> None:
        """Nothing to do: its operands were made where they belong."""
        whole = self.tensors.get(name_of(node.outputs[0]))
        at = whole.first_plane if whole else 0
        for value in node.inputs:
            part = self._input(value)
            key = whole.whole or whole.name if whole else ""
            if whole is None or (part.whole, part.first_plane) != (key, at):
                raise RefusedError(
                    f"channels of its operands must be multiples of {PLANE} but for the last, "
                    "and no operand may be joined twice or be an input"
                )
            at += part.planes

    def _reshape(self, node: Node) -> None:
        """[1, C, H, W] as [1, C * H * W], for products that take it as a window of H x W."""
        x, (output,) = node.inputs[0], node.outputs
        found, shape = self._input(x), shape_of(output)
        if len(shape) != 2 or shape[0] != 1:
            raise RefusedError(
                f"only [1, C, ..] to [1, N] is moved for nothing, not to {shape}"
            )
        if found.height == found.width == 1:
            self.tensors[name_of(output)] = found
            return
        users = [user for user in nodes(self.graph) if output in user.inputs]
        is_kept = any(value is output for value in self.graph.graph.outputs)
        if is_kept or any(op_key(user) != "joulecut.MatMul" for user in users):
            raise RefusedError("what it makes must be read by products only")
        self.flattened[name_of(output)] = found

    def _requantize(self, node: Node) -> None:
        x, multiplier = node.inputs
        assert x is not None
        scale = multiplier_of(multiplier)
        source = self.pending.get(name_of(x))
        if source is None:
            self._scale(node, scale)
            return
        if int_of(node, "x_zero_point"):
            raise RefusedError("sums must have zero point 0")
        if op_key(source) == "joulecut.Conv":
            self._conv(source, node, scale)
        else:
            self._matmul(source, node, scale)

    def _scale(self, node: Node, scale: np.ndarray) -> None:
        """A requantization of 8 bits: a sum over a window of one."""
        x = self._input(node.inputs[0])
        bias = np.full(x.channels, -int_of(node, "x_zero_point"), np.int64)
        self._work(node, Operation.SUM, (x,), Window(), bias=bias, scale=scale)

    def _conv(self, node: Node, end: Node, scale: np.ndarray) -> None:
        x, weights, bias = operands(node)
        if any(ints_of(node, "w_zero_point")):
            raise RefusedError("weights must have zero point 0")
        group, channels = int_of(node, "group", 1), shape_of(x)[1]
        weights = weights.reshape(*weights.shape[:2], *[1, 1, *weights.shape[2:]][-2:])
        zero_point = int_of(node, "x_zero_point")
        outputs, count = len(weights), weights.size
        is_diagonal = group == channels == outputs and group > 1
        if group > 1 and not is_diagonal:
            weights = ungrouped(weights, group)
        if is_diagonal and self.config.rows != self.config.columns:
            weights, is_diagonal = ungrouped(weights, group), False
        window = layer_window(node)
        packed = self.packed.get(name_of(x))
        folded = bias - zero_point * weights.astype(np.int64).sum(axis=(1, 2, 3))
        if packed is not None:
            tiles = pack_rows(weights, self.config)
        elif is_diagonal:
            tiles = pack_diagonal(weights, self.config)
        else:
            tiles = pack_weights(weights, self.config)
        self._work(
            end,
            Operation.MULTIPLY,
            (packed or self._input(x),),
            replace(window, pads=(0, 0, 0, 0)) if packed else window,
            bias=folded,
            scale=scale,
            weights=tiles,
            x_zero_point=zero_point,
            is_diagonal=is_diagonal,
        )
        height, width = space_of(end.outputs[0]).height, space_of(end.outputs[0]).width
        self.macs += count * height * width

    def _matmul(self, node: Node, end: Node, scale: np.ndarray) -> None:
        x, weights, bias = operands(node)
        if any(ints_of(node, "b_zero_point")):
            raise RefusedError("weights must have zero point 0")
        if len(shape_of(x)) != 2 or weights.ndim != 2:
            raise RefusedError("must multiply [1, N] with constant weights [N, M]")
        zero_point = int_of(node, "a_zero_point")
        tensor = self.flattened.get(name_of(x)) or self._input(x)
        kernel = (tensor.height, tensor.width)
        taps = weights.T.reshape(-1, tensor.channels, *kernel)
        self._work(
            end,
            Operation.MULTIPLY,
            (tensor,),
            Window(kernel=kernel),
            bias=bias - zero_point * taps.astype(np.int64).sum(axis=(1, 2, 3)),
            scale=scale,
            weights=pack_weights(taps, self.config),
            x_zero_point=zero_point,
        )
        self.macs += weights.size

    def _largest(self, node: Node) -> None:
        x = self._input(node.inputs[0])
        low, high = (0, 255) if x.is_unsigned else (-128, 127)
        self._work(
            node,
            Operation.LARGEST,
            (x,),
            layer_window(node),
            bias=np.zeros(x.channels, np.int64),
            scale=np.ones(x.channels, np.float32),
            x_zero_point=low,
            ends=(0, low, high),
        )

    def _average(self, node: Node) -> None:
        x = self._input(node.inputs[0])
        window = window_of(node, ints_of(node, "kernel_shape"))
        include = bool(int_of(node, "count_include_pad", 0))
        assert node.inputs[0] is not None
        space = shape_of(node.inputs[0])[2:]
        counts = np.unique(window.counts(space, include_pad=include))
        if len(counts) > 1:
            raise RefusedError(
                "windows must all have as many elements, and those at the border do not"
            )
        zero_point, taps = int_of(node, "x_zero_point"), int(np.prod(window.kernel))
        scale = float_of(node, "x_scale") / (
            float_of(node, "y_scale") * counts.astype(np.float32)
        )
        self._work(
            node,
            Operation.SUM,
            (x,),
            layer_window(node),
            bias=np.full(x.channels, -zero_point * taps, np.int64),
            scale=normal(np.broadcast_to(scale.astype(np.float32), x.channels)),
            x_zero_point=zero_point,
        )

    def _add(self, node: Node) -> None:
        half = len(node.inputs) // 2
        if half != 2:
            raise RefusedError(f"must have 2 operands, not {half}")
        a, b = (self._input(value) for value in node.inputs[:2])
        if (a.channels, a.height, a.width) != (b.channels, b.height, b.width):
            raise RefusedError("operands must have one shape")
        if a.is_unsigned != b.is_unsigned:
            raise RefusedError("operands must have one type")
        scales = [multiplier_of(value) for value in node.inputs[2:]]
        if scales[1].size > 1:
            raise RefusedError("the second operand must have one multiplier for all channels")
        zero_points = ints_of(node, "x_zero_points")
        self._work(
            node,
            Operation.PAIR,
            (a, b),
            Window(),
            bias=np.full(a.channels, -zero_points[0], np.int64),
            scale=scales[0],
            addend_zero_point=zero_points[1],
            addend_scale=float(scales[1][0]),
        )

    def _work(
        self,
        node: Node,
        operation: Operation,
        inputs: tuple[Tensor | PackedTensor, ...],
        window: Window,
        *,
        bias: np.ndarray,
        scale: np.ndarray,
        weights: np.ndarray | None = None,
        x_zero_point: int = 0,
        is_diagonal: bool = False,
        ends: tuple[int, int, int] | None = None,
        addend_zero_point: int = 0,
        addend_scale: float = 0.0,
    ) -> None:
        """The work of a node whose only output is an activation."""
        (output,) = node.outputs
        zero_point, low, high = ends or (
            int_of(node, "zero_point"),
            int_of(node, "low"),
            int_of(node, "high"),
        )
        tensor = self._tensor(output)
        work = Work(
            label=name_of(output),
            operation=operation,
            inputs=inputs,
            output=tensor,
            window=fitting(window),
            weights=self._constant(weights) if weights is not None else 0,
            parameters=0,
            x_zero_point=x_zero_point,
            zero_point=zero_point,
            low=low,
            high=high,
            is_diagonal=is_diagonal,
            addend_zero_point=addend_zero_point,
            addend_scale=addend_scale,
        )
        packed = pack_parameters(bias, scale, work.channels(self.config), self.config.rows)
        tiling = best_tiling(self.config, work)
        self.works.append((replace(work, parameters=self._constant(packed)), tiling))

    def program(self) -> Program:
        """All of it, with activations behind the image."""
        base = self.image_bytes

        def moved(place: Tensor | PackedTensor) -> Tensor | PackedTensor:
            return replace(place, address=place.address + base)

        memories, made = Memories.of(self.config), dict[str, Made]()
        steps: list[Step] = []
        for work, tiling in self.works:
            inputs = tuple(moved(place) for place in work.inputs)
            output = moved(work.output)
            assert isinstance(output, Tensor)
            placed = replace(work, inputs=inputs, output=output)
            steps += steps_of(self.config, memories, placed, made, len(steps), tiling)
        result = listed(steps)
        places: dict[str, Tensor | PackedTensor] = {**self.tensors, **self.packed}

        def value(name: str, shape: tuple[int, ...]) -> Value:
            return Value(name, shape, (moved(places[name]),))

        shapes = {
            name_of(output): shape_of(output)
            for node in nodes(self.graph)
            for output in node.outputs
            if name_of(output) in self.tensors
        }
        return Program(
            config=self.config,
            descriptors=tuple(result.descriptors),
            labels=tuple(result.labels),
            image=np.concatenate(self.image) if self.image else np.zeros(0, np.uint8),
            size=base + self.size,
            inputs=tuple(value(s.name, s.shape) for s in input_specs(self.graph)),
            outputs=tuple(value(s.name, s.shape) for s in output_specs(self.graph)),
            layers=tuple(value(name, shape) for name, shape in shapes.items()),
            macs=self.macs,
        )
