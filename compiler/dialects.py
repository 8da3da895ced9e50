"""One normal form for the three ways in which quantized ONNX files are written.

QDQ (onnxruntime) quantizes with QuantizeLinear and DequantizeLinear; QCDQ (Brevitas) adds a
Clip for fewer than 8 bits; QONNX has one Quant node with a bit width and keeps weights in
float. Here all become `joulecut.Quantize` with its range, `joulecut.Dequantize`, and weights
that are integers in an initializer; what later passes see no longer depends on the exporter.
A weight's Dequantize may have one zero point per channel; that of an activation has one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Builder, rewrite
from joulecut.compiler.codes import ROUNDINGS, Array, Codes, codes_of_quantize
from joulecut.compiler.errors import Finding, UntrustedInputError
from joulecut.compiler.graph import (
    Graph,
    constant_of,
    int_of,
    name_of,
    nodes,
    op_key,
    shape_of,
    text_of,
)
from joulecut.compiler.quant import set_qtype
from joulecut.compiler.refusal import RefusedError
from joulecut.compiler.support import QONNX_DOMAIN

DIALECT_KEY = "joulecut.dialect"
QUANT = f"{QONNX_DOMAIN}.Quant"

_RANGES: dict[ir.DataType, tuple[int, int]] = {
    ir.DataType.INT4: (-8, 7),
    ir.DataType.UINT4: (0, 15),
    ir.DataType.INT8: (-128, 127),
    ir.DataType.UINT8: (0, 255),
    ir.DataType.INT32: (-(2**31), 2**31 - 1),
}
_PER_TENSOR = "export with one scale and zero point per activation tensor"
_STATIC = "export with constant scales: freeze the quantizers before exporting"


def normalize(graph: Graph) -> tuple[Graph, tuple[Finding, ...]]:
    """QuantizeLinear, Clip, DequantizeLinear, Quant => Quantize, Dequantize, integer weights.

    Returns:
        The graph in normal form with its dialect in the metadata, and the quantizers that
        have no normal form.

    Raises:
        UntrustedInputError: a scale, zero point or bit width that no quantizer can have.
    """
    writer = _Writer()
    found = rewrite(graph, writer.rule)
    found.metadata_props[DIALECT_KEY] = _dialect(graph)
    return found, tuple(writer.findings)


def dialect_of(graph: Graph) -> str:
    """The dialect that the model was written in: QDQ, QCDQ, QONNX, or float if none."""
    return graph.metadata_props.get(DIALECT_KEY) or _dialect(graph)


def _dialect(graph: Graph) -> str:
    keys = {op_key(node) for node in nodes(graph)}
    if QUANT in keys:
        return "QONNX"
    if not keys & {"QuantizeLinear", "DequantizeLinear"}:
        return "float"
    clips = (node.inputs[0] for node in nodes(graph) if op_key(node) == "Clip")
    return "QCDQ" if any(value and value.dtype in _RANGES for value in clips) else "QDQ"


@dataclass
class _Writer:
    """The rule of this rewrite, what it refused, and the ranges of the codes it made."""

    findings: list[Finding] = field(default_factory=list[Finding])
    ranges: dict[ir.Value, tuple[int, int]] = field(
        default_factory=dict[ir.Value, tuple[int, int]]
    )

    def rule(
        self, node: ir.Node, inputs: list[ir.Value | None], build: Builder
    ) -> list[ir.Value] | None:
        rules = {
            "QuantizeLinear": self._quantize_linear,
            "Clip": self._clip,
            "DequantizeLinear": self._dequantize_linear,
            QUANT: self._quant,
        }
        found = rules.get(op_key(node))
        try:
            return None if found is None else found(node, inputs, build)
        except RefusedError as refused:
            label = node.name or name_of(node.outputs[0])
            self.findings.append(Finding(label, op_key(node), refused.reason, refused.fix))
            return None

    def _quantize_linear(
        self, node: ir.Node, inputs: list[ir.Value | None], build: Builder
    ) -> list[ir.Value]:
        codes = _codes_of_linear(node, inputs, node.outputs[0].dtype)
        return [self._quantized(node, inputs[0], codes, build)]

    def _quantized(
        self, node: ir.Node, x: ir.Value | None, codes: Codes, build: Builder
    ) -> ir.Value:
        """The codes of x: an initializer if x is constant, else a Quantize node."""
        output = node.outputs[0]
        constant = constant_of(x)
        if constant is not None:
            made = build.constant(f"{name_of(output)}_codes", codes.encode(constant))
            self.ranges[made] = (codes.low, codes.high)
            return made
        if codes.scale.size > 1 or codes.zero_point.size > 1:
            raise RefusedError("activations must have one scale", _PER_TENSOR)
        if codes.dtype == np.int32:
            reason = "activations must have at most 8 bits"
            raise RefusedError(reason, "train or quantize with 8 bits or fewer")
        made = _quantize_node(build, x, codes, node.name, output)
        self.ranges[made] = (codes.low, codes.high)
        return made

    def _clip(
        self, node: ir.Node, inputs: list[ir.Value | None], build: Builder
    ) -> list[ir.Value] | None:
        """Clip of codes: a smaller range. Clip of floats stays."""
        x = inputs[0]
        if x is None or x.dtype is None or x.dtype not in _RANGES:
            return None
        bounds = [constant_of(value) for value in (*inputs[1:], None, None)[:2]]
        low, high = self.ranges.get(x, _RANGES[x.dtype])
        low = low if bounds[0] is None else max(low, int(bounds[0].item()))
        high = high if bounds[1] is None else min(high, int(bounds[1].item()))
        if low > high:
            raise UntrustedInputError(
                f"range of Clip '{node.name}' must not be empty, not {low}..{high}"
            )
        constant = constant_of(x)
        producer = x.producer()
        if constant is not None:
            clipped = np.clip(constant, low, high).astype(constant.dtype)
            made = build.constant(f"{name_of(x)}_clipped", clipped)
        elif producer is not None and op_key(producer) == "joulecut.Quantize":
            codes = codes_of_quantize(producer)
            clipped_codes = replace(codes, low=low, high=high)
            source = producer.inputs[0]
            made = _quantize_node(build, source, clipped_codes, producer.name, node.outputs[0])
        else:
            reason = "a Clip of integers must follow their quantizer directly"
            raise RefusedError(reason, "move it to the quantizer")
        self.ranges[made] = (low, high)
        return [made]

    def _dequantize_linear(
        self, node: ir.Node, inputs: list[ir.Value | None], build: Builder
    ) -> list[ir.Value]:
        x = inputs[0]
        assert x is not None
        codes = _codes_of_linear(node, inputs, x.dtype)
        constant = constant_of(x)
        if constant is None:
            if codes.scale.size > 1 or codes.zero_point.size > 1:
                raise RefusedError("activations must have one scale", _PER_TENSOR)
            return [_dequantize_node(build, x, codes, node)]
        low, high = self.ranges.get(x, (codes.low, codes.high))
        codes = replace(codes, low=low, high=high)
        if constant.dtype != codes.dtype:  # 4-bit storage
            x = build.constant(f"{name_of(x)}_codes", constant.astype(codes.dtype))
        qtype = codes.qtype
        if qtype is not None:
            set_qtype(x, qtype)
        return [_dequantize_node(build, x, codes, node)]

    def _quant(
        self, node: ir.Node, inputs: list[ir.Value | None], build: Builder
    ) -> list[ir.Value]:
        codes = _codes_of_quant(node, inputs)
        x, output = inputs[0], node.outputs[0]
        mode = text_of(node, "rounding_mode", "ROUND").upper()
        rounding = ROUNDINGS.get(mode)
        constant = constant_of(x)
        if rounding is None or (constant is None and rounding is not np.rint):
            reason = f"rounding_mode of activations must be ROUND, not {mode}"
            raise RefusedError(reason, "train with rounding to nearest")
        if constant is not None:
            stored = codes.encode(constant, rounding)
            made = build.constant(f"{name_of(output)}_codes", stored, codes.qtype)
        else:
            made = self._quantized_float(node, x, codes, build)
        return [_dequantize_node(build, made, codes, node)]

    def _quantized_float(
        self, node: ir.Node, x: ir.Value | None, codes: Codes, build: Builder
    ) -> ir.Value:
        """A Quantize whose output is new: the node's own output is the float beside it."""
        output = node.outputs[0]
        integer = ir.val(build.fresh(f"{output.name}_codes"), output.dtype, output.shape)
        stand_in = ir.node("Quant", [], outputs=[integer], name=node.name)
        return self._quantized(stand_in, x, codes, build)


def _quantize_node(
    build: Builder, x: ir.Value | None, codes: Codes, name: str | None, output: ir.Value
) -> ir.Value:
    return build.node(
        "joulecut.Quantize",
        [x],
        codes.attributes,
        name=name,
        output=name_of(output),
        shape=output.shape,
        dtype=codes.dtype,
        qtype=codes.qtype,
    )


def _dequantize_node(build: Builder, x: ir.Value, codes: Codes, node: ir.Node) -> ir.Value:
    output = node.outputs[0]
    zero_points = [int(number) for number in codes.zero_point]
    return build.node(
        "joulecut.Dequantize",
        [x, build.constant(f"{name_of(output)}_scale", codes.scale)],
        {
            "axis": codes.axis,
            "zero_point": zero_points if len(zero_points) > 1 else zero_points[0],
        },
        name=node.name,
        output=name_of(output),
        shape=output.shape,
        dtype=np.float32,
    )


def _codes_of_linear(
    node: ir.Node, inputs: list[ir.Value | None], dtype: ir.DataType | None
) -> Codes:
    """The codes of a QuantizeLinear or DequantizeLinear that reads or makes `dtype`."""
    if dtype is None or dtype not in _RANGES:
        reason = f"codes must be int8, uint8 or int32, not {dtype}"
        raise RefusedError(reason, "quantize activations and weights to 8 bits or fewer")
    if int_of(node, "block_size", 0):
        raise RefusedError("scales must be per tensor or channel, not per block", _PER_TENSOR)
    scale = constant_of(inputs[1])
    zero = inputs[2] if len(inputs) > 2 else None
    zero_point = np.zeros(1, np.int64) if zero is None else constant_of(zero)
    if scale is None or zero_point is None:
        raise RefusedError("scale and zero point must be constants", _STATIC)
    if zero is not None and zero.dtype != dtype:
        raise UntrustedInputError(
            f"zero point of {node.op_type} '{node.name}' must be {dtype}, not {zero.dtype}"
        )
    storage = np.dtype(np.int32 if dtype == ir.DataType.INT32 else np.int8)
    if dtype in (ir.DataType.UINT8, ir.DataType.UINT4):
        storage = np.dtype(np.uint8)
    low, high = _RANGES[dtype]
    axis = int_of(node, "axis", 1)
    rank = len(shape_of(node.outputs[0]))
    return _checked(node, scale, zero_point, (low, high), storage, axis % max(rank, 1))


def _codes_of_quant(node: ir.Node, inputs: list[ir.Value | None]) -> Codes:
    """The codes of a QONNX Quant (x, scale, zero point, bit width)."""
    scale, zero_point, width = (constant_of(value) for value in inputs[1:4])
    if scale is None or zero_point is None or width is None:
        raise RefusedError("scale, zero point and bit width must be constants", _STATIC)
    bits = float(width.reshape(-1)[0]) if width.size == 1 else float("nan")
    signed, narrow = bool(int_of(node, "signed")), bool(int_of(node, "narrow"))
    if not 1 <= bits <= 32 or bits != int(bits) or bits - signed < 1:
        raise UntrustedInputError(
            f"bit width of Quant '{node.name}' must be one whole number from 1 to 32 "
            f"(2 if signed), not {width.reshape(-1)[:4].tolist()}"
        )
    if (zero_point != np.rint(zero_point)).any():
        raise RefusedError("zero point must be an integer", "quantize with integer zero points")
    low = -(2 ** (int(bits) - 1)) + narrow if signed else 0
    high = 2 ** (int(bits) - signed) - 1 - (narrow and not signed)
    rank = len(shape_of(node.outputs[0]))
    axis = _channel_axis(node, scale if scale.size > 1 else zero_point, rank)
    storage = np.dtype(np.int8 if signed else np.uint8) if bits <= 8 else np.dtype(np.int32)
    if not signed and bits > 31:
        raise RefusedError("codes must fit in int32", "use a signed quantizer")
    return _checked(node, scale, zero_point, (low, high), storage, axis)


def _channel_axis(node: ir.Node, numbers: Array, rank: int) -> int:
    """The one axis along which scales that broadcast to `rank` dimensions differ."""
    if numbers.size == 1:
        return 0
    long = [axis for axis, size in enumerate(numbers.shape) if size > 1]
    if len(long) != 1:
        reason = f"scales of '{node.name}' must differ along one axis, not {numbers.shape}"
        raise RefusedError(reason, _PER_TENSOR)
    return rank - numbers.ndim + long[0]


def _checked(
    node: ir.Node,
    scale: Array,
    zero_point: Array,
    bounds: tuple[int, int],
    storage: np.dtype[Any],
    axis: int,
) -> Codes:
    low, high = bounds
    label = f"{node.op_type} '{node.name}'"
    scales = scale.astype(np.float32).reshape(-1)
    if not scales.size or not (np.isfinite(scales) & (scales > 0)).all():
        raise UntrustedInputError(
            f"scale of {label} must be finite and positive, not {_worst(scales)}"
        )
    given = zero_point.reshape(-1)
    if not given.size or not ((given >= low) & (given <= high)).all():
        raise UntrustedInputError(
            f"zero point of {label} must be in {low}..{high}, not {given.tolist()[:4]}"
        )
    zeros = given.astype(np.int64)
    output = shape_of(node.outputs[0])
    for what, numbers in (("scale", scales), ("zero point", zeros)):
        if numbers.size > 1 and (axis >= len(output) or numbers.size != output[axis]):
            raise UntrustedInputError(
                f"{what} of {label} must have 1 entry or one per index of axis {axis} of "
                f"{list(output)}, not {numbers.size}"
            )
    if (zeros == zeros[0]).all():
        zeros = zeros[:1]
    return Codes(scales, zeros, low, high, storage, axis)


def _worst(scales: Array) -> float | None:
    """The first entry that is no scale."""
    bad = scales[~(np.isfinite(scales) & (scales > 0))]
    return float(bad[0]) if bad.size else None
