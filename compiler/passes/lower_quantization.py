"""Turn float arithmetic between quantizers into integer arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Builder, distinct_outputs
from joulecut.compiler.codes import Codes, codes_of_quantize
from joulecut.compiler.errors import Finding, UnsupportedError
from joulecut.compiler.graph import (
    Graph,
    constant_of,
    dtype_of,
    int_of,
    ints_of,
    is_constant,
    name_of,
    nodes,
    op_key,
)
from joulecut.compiler.lowering import accumulate, elementwise, moving
from joulecut.compiler.lowering.forms import (
    Bare,
    Broken,
    Constant,
    Floats,
    Form,
    Ints,
    Pending,
    Weight,
)
from joulecut.compiler.lowering.quantize import quantize
from joulecut.compiler.lowering.state import Lowering
from joulecut.compiler.passes.infra import Pass, still_there
from joulecut.compiler.quant import set_qtype
from joulecut.compiler.refusal import RefusedError
from joulecut.compiler.support import fix_for


@dataclass(frozen=True)
class LowerQuantization(Pass):
    """Lower to docs/spec.md by abstract interpretation; see `compiler/lowering/forms.py`.

    Dequantize -> f -> Quantize  =>  the integer operator of f -> Requantize

    A value that is in integers under a quantizer keeps the quantizer's name; `v_acc` is the
    accumulator of a float value v, `v_q` its codes where no quantizer has named them.

    Refuses, all at once as an UnsupportedError:
        1. a layer whose input or weights nothing quantized: float convolution is not exact;
        2. a sum that could leave int32;
        3. weights, biases or operands that are computed where a constant is needed;
        4. operators without a rule.
    """

    def requires(self, graph: Graph) -> str | None:
        """Quantizers must be in normal form, and other passes have spelled the rest."""
        return still_there(graph, "QuantizeLinear", "DequantizeLinear", "Split")

    def rewrite(self, graph: Graph) -> Graph:
        """The new graph."""
        build = Builder(graph)
        lowering = Lowering(build)
        inputs = [value for value in graph.graph.inputs if not is_constant(value)]
        made = {value: build.input(value) for value in inputs}
        for old, new in made.items():
            is_float = dtype_of(old) == np.float32
            lowering.forms[old] = Floats(new) if is_float else Bare(new)
        findings = _walk(lowering, graph)
        outputs = [] if findings else _outputs(lowering, graph, findings)
        if findings:
            text = f"all nodes must have an integer form, and {len(findings)} have none:"
            raise UnsupportedError(text, tuple(findings))
        named = distinct_outputs(build, graph, outputs)
        return build.finish(list(made.values()), named)


def _walk(lowering: Lowering, graph: Graph) -> list[Finding]:
    """Give every value its form; refused nodes are listed, and what they make is Broken."""
    findings: list[Finding] = []
    for node in nodes(graph):
        read = [lowering.form(value) for value in node.inputs if value is not None]
        form: Form = Broken()
        if not any(isinstance(value, Broken) for value in read):
            try:
                form = _rule_for(node)(lowering, node)
            except RefusedError as refused:
                findings.append(_finding(node, refused))
        lowering.forms[node.outputs[0]] = form
        lowering.forms.update(dict.fromkeys(node.outputs[1:], Broken()))
    return findings


def _outputs(lowering: Lowering, graph: Graph, findings: list[Finding]) -> list[ir.Value]:
    """The values of the new graph for the outputs of the old one."""
    found: list[ir.Value] = []
    for old in graph.graph.outputs:
        form = lowering.form(old)
        try:
            if isinstance(form, Ints | Bare) and dtype_of(old).kind in "iu":
                found.append(form.value)
            else:
                found.append(lowering.floats(old))
        except RefusedError as refused:
            producer = old.producer()
            assert producer is not None
            findings.append(_finding(producer, refused))
    return found


def _finding(node: ir.Node, refused: RefusedError) -> Finding:
    label = node.name or name_of(node.outputs[0])
    return Finding(label, op_key(node), refused.reason, refused.fix)


def _quantize(lowering: Lowering, node: ir.Node) -> Form:
    codes = codes_of_quantize(node)
    form = lowering.form(node.inputs[0])
    name = name_of(node.outputs[0])
    if isinstance(form, Ints | Pending):
        return quantize(lowering.build, form, codes, name, node.name or name)
    made = lowering.build.copy(node, [lowering.floats(node.inputs[0])])[0]
    return _ints(made, codes)


def _dequantize(lowering: Lowering, node: ir.Node) -> Form:
    old = node.inputs[0]
    scale = constant_of(node.inputs[1])
    assert scale is not None
    zero_points = np.array(ints_of(node, "zero_point"))
    form = lowering.form(old)
    if isinstance(form, Constant):
        axis = int_of(node, "axis", 1)
        return Weight(form.value, form.array, scale, zero_points, axis)
    zero_point, scale = int(zero_points[0]), scale.astype(np.float32)
    if isinstance(form, Ints):
        return replace(form, scale=scale[0], zero_point=zero_point)
    if not isinstance(form, Bare) or dtype_of(form.value).itemsize != 1:
        reason = "it must read codes of 8 bits"
        raise RefusedError(reason, "feed the graph int8, uint8 or float")
    limits = np.iinfo(dtype_of(form.value))
    dtype = dtype_of(form.value)
    codes = Codes(scale, zero_points, int(limits.min), int(limits.max), dtype)
    qtype = codes.qtype
    assert qtype is not None
    set_qtype(form.value, qtype)
    return _ints(form.value, codes)


def _ints(value: ir.Value, codes: Codes) -> Ints:
    zero_point = int(codes.zero_point[0])
    return Ints(value, np.float32(codes.scale[0]), zero_point, codes.low, codes.high)


def _refuse(_: Lowering, node: ir.Node) -> Form:
    raise RefusedError("it has no integer form here", fix_for(node.op_type))


Rule = Callable[[Lowering, ir.Node], Form]
RULES: dict[str, Rule] = {
    "joulecut.Quantize": _quantize,
    "joulecut.Dequantize": _dequantize,
    "Conv": accumulate.conv,
    "Gemm": accumulate.gemm,
    "MatMul": accumulate.matmul,
    "Add": elementwise.add,
    "Sub": elementwise.subtract,
    "Mul": elementwise.multiply,
    "Div": elementwise.divide,
    "Relu": elementwise.clip,
    "Clip": elementwise.clip,
    "AveragePool": moving.average_pool,
    "Concat": moving.concat,
    **dict.fromkeys(("MaxPool", "Reshape", "Transpose", "Slice", "Pad"), moving.move),
}


def _rule_for(node: ir.Node) -> Rule:
    return RULES.get(op_key(node), _refuse)
