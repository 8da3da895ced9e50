"""Which operators joulecut takes, and for the others why not and what to do instead.

All offenders of a model are listed at once: who exports a model again wants to fix it once.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from joulecut.compiler.errors import Finding, UnsupportedError

QONNX_DOMAIN = "qonnx.custom_op.general"

QUANTIZING = frozenset({"QuantizeLinear", "DequantizeLinear"})
ACCUMULATING = frozenset({"Conv", "Gemm", "MatMul"})
ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Relu", "Clip", "BatchNormalization"})
POOLING = frozenset(
    {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"}
)
MOVING = frozenset(
    {
        *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Pad", "Slice", "Split"),
        *("Concat", "Identity", "Dropout", "Constant"),
    }
)
# These may only work out the shape for a Reshape; they are gone once every shape is a number.
SHAPE_ONLY = frozenset({"Shape", "Gather", "Cast", "ConstantOfShape", "Range", "Expand"})

SUPPORTED = QUANTIZING | ACCUMULATING | ELEMENTWISE | POOLING | MOVING

_KEEPS_ARGMAX = "argmax is unchanged without it: export the model without its final {op}"
_REPLACE_ACTIVATION = "train with ReLU or ReLU6 in its place"
_CONTROL_FLOW = "export with torch.onnx.export(dynamo=False) so that tracing unrolls it"
_RECURRENT = "replace it by convolutions over time, or keep it on the host"
_FIXES = {
    "Softmax": _KEEPS_ARGMAX.format(op="Softmax"),
    "LogSoftmax": _KEEPS_ARGMAX.format(op="LogSoftmax"),
    "ArgMax": "take the argmax on the host",
    "ConvTranspose": "replace it by an upsampling on the host and a Conv",
    "Resize": "resize on the host",
    "Upsample": "resize on the host",
    **dict.fromkeys(("If", "Loop", "Scan"), _CONTROL_FLOW),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _RECURRENT),
    **dict.fromkeys(
        ("Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "PRelu", "Gelu"),
        _REPLACE_ACTIVATION,
    ),
    **dict.fromkeys(
        ("LayerNormalization", "InstanceNormalization", "GroupNormalization", "LRN"),
        "train with BatchNormalization, which folds into the layer before it",
    ),
    **dict.fromkeys(
        ("QLinearConv", "QLinearMatMul", "QLinearAdd", "ConvInteger", "MatMulInteger"),
        "quantize in QDQ format: quant_format=QuantFormat.QDQ",
    ),
    "DynamicQuantizeLinear": "quantize statically: use quantize_static with calibration data",
    "BipolarQuant": "use a Quant of 2 bits; 1-bit bipolar codes have no zero",
    "Trunc": "replace the truncating average pool by an average pool and a Quant",
}


def findings_of(model: onnx.ModelProto) -> tuple[Finding, ...]:
    """Everything in the model that joulecut has no rule for, in graph order."""
    return (
        *_functions(model),
        *(finding for node in model.graph.node for finding in _node(node)),
        *_sparse(model.graph.sparse_initializer),
    )


def refuse(findings: Iterable[Finding], what: str) -> None:
    """Raise UnsupportedError with all findings, if there is one."""
    found = tuple(findings)
    if found:
        raise UnsupportedError(f"{what} must be supported, and {len(found)} are not:", found)


def fix_for(op_type: str) -> str:
    """The nearest way out of an operator that has no rule."""
    return _FIXES.get(op_type, "express it by the operators that docs/spec.md lists")


def label(node: onnx.NodeProto) -> str:
    """The name of a node for people: its own, or that of what it makes."""
    return node.name or next(iter(node.output), "")


def _node(node: onnx.NodeProto) -> Iterable[Finding]:
    if any(attribute.HasField("sparse_tensor") for attribute in node.attribute):
        reason = "sparse tensors are not supported"
        yield Finding(label(node), node.op_type, reason, "store the tensor densely")
        return
    if node.domain == QONNX_DOMAIN and node.op_type == "Quant":
        return
    if node.domain not in ("", "ai.onnx"):
        yield Finding(
            label(node),
            f"{node.domain}.{node.op_type}",
            f"operators of the domain '{node.domain}' are not known",
            _FIXES.get(node.op_type, "export it as standard ONNX operators"),
        )
    elif node.op_type not in SUPPORTED | SHAPE_ONLY:
        reason = "it has no integer form here"
        yield Finding(label(node), node.op_type, reason, fix_for(node.op_type))


def _functions(model: onnx.ModelProto) -> Iterable[Finding]:
    for function in model.functions:
        reason = "functions defined in the model are not supported"
        yield Finding(function.name, "Function", reason, "inline it with onnx.inliner")


def _sparse(tensors: Iterable[onnx.SparseTensorProto]) -> Iterable[Finding]:
    for tensor in tensors:
        reason = "sparse tensors are not supported"
        yield Finding(tensor.values.name, "Initializer", reason, "store the tensor densely")
