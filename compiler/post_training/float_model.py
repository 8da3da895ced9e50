"""Read a float ONNX file into a Graph with fixed shapes, ready to be given quantizers.

The file is checked as `load` checks it. onnxruntime's basic optimizations then fold batch
normalizations and paddings into convolutions, so that they cost nothing; they are plain ONNX.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from joulecut.compiler.errors import ConfigError, UnsupportedError
from joulecut.compiler.graph import Graph
from joulecut.compiler.load import NAMELESS, float_graph, parse
from joulecut.compiler.model_checks import check_finite, check_model, read_external_data
from joulecut.compiler.node_checks import check_nodes
from joulecut.compiler.post_training.samples import Dims
from joulecut.compiler.shapes import pin_batch
from joulecut.compiler.support import QONNX_DOMAIN, QUANTIZING, findings_of, refuse

MAX_BYTES = 2**30
PER_CHANNEL_OPSET = 13  # the first in which a DequantizeLinear has an axis
TARGET_OPSET = 17
_ERRORS_ONLY = 4  # onnxruntime's log severity: fatal; what it raises says the same


@dataclass(frozen=True)
class FloatModel:
    """A checked float file whose shapes may still have gaps.

    Attributes:
        proto: the file's message, external weights read.
        inputs: dimensions of each input by name, the batch first; None where it has no number.
    """

    proto: onnx.ModelProto
    inputs: Mapping[str, Dims]


def read_float(path: Path, shapes: Mapping[str, Sequence[int]]) -> FloatModel:
    """Read and check a float file.

    Args:
        path: an ONNX file of float32 that nothing has quantized.
        shapes: for inputs of these names, their dimensions instead of the file's.

    Raises:
        ConfigError: there is no such file, it is quantized already, or `shapes` does not fit.
        UntrustedInputError: the file is damaged or contradicts itself.
        UnsupportedError: it has nodes that joulecut cannot take, all at once.
    """
    model = parse(path, MAX_BYTES)
    check_model(model, MAX_BYTES)
    _refuse_quantized(model)
    refuse(findings_of(model), "all operators of the model")
    check_nodes(model)
    read_external_data(model, path.parent)
    check_finite(model)
    if model.graph.name in NAMELESS:
        model.graph.name = path.stem
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    names = [value.name for value in inputs]
    unknown = sorted(set(shapes) - set(names))
    if unknown:
        raise ConfigError(
            f"a given shape must be for one of the inputs {names}, not '{unknown[0]}'"
        )
    dims = {value.name: _dims(value, shapes.get(value.name)) for value in inputs}
    return FloatModel(model, dims)


def fixed(
    model: FloatModel, sample_shapes: Mapping[str, Sequence[int]]
) -> tuple[Graph, list[str]]:
    """The model as a Graph, and what had to be decided for it.

    Args:
        model: what `read_float` returned.
        sample_shapes: the shape of one sample of each input, [1, ...].

    Raises:
        UntrustedInputError: shapes contradict each other.
        UnsupportedError: a shape cannot be worked out, or onnxruntime refuses the model.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    # Older files list their weights as inputs too, and nothing is folded into what may change.
    inputs = [value for value in model.proto.graph.input if value.name in model.inputs]
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    notes: list[str] = []
    for value in proto.graph.input:
        notes += _fix(value, model.inputs[value.name], sample_shapes[value.name])
    refuse(pin_batch(proto, 1), "all inputs of the model")
    return float_graph(_optimized(_with_opset(proto))), notes


def _refuse_quantized(model: onnx.ModelProto) -> None:
    found = [
        node
        for node in model.graph.node
        if node.op_type in QUANTIZING or node.domain == QONNX_DOMAIN
    ]
    if found:
        raise ConfigError(
            f"model must be float, and its {found[0].op_type} '{found[0].name}' says that it is "
            "quantized; use it as it is: joulecut analyze, joulecut build"
        )


def _dims(value: onnx.ValueInfoProto, given: Sequence[int] | None) -> Dims:
    """The dimensions as they are given, or as they are in the file."""
    tensor = value.type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise ConfigError(
            f"input '{value.name}' must be float32, not {kind}; export the model in float32"
        )
    known = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
    found = known if given is None else list(given)
    if given is not None and (len(found) != len(known) or any(dim < 1 for dim in given)):
        raise ConfigError(
            f"given shape of '{value.name}' must be {len(known)} positive numbers, "
            f"not {list(given)}"
        )
    if not found or found[0] not in (None, 1):
        raise ConfigError(
            f"input '{value.name}' must begin with a batch of 1, not have shape {found}; "
            f"export it so, or give a shape: --shape {value.name}=1,3,224,224"
        )
    return (1, *found[1:])


def _fix(value: onnx.ValueInfoProto, dims: Dims, sample: Sequence[int]) -> list[str]:
    """Put numbers in place of names, and say so."""
    notes: list[str] = []
    for i, (dim, known, size) in enumerate(
        zip(value.type.tensor_type.shape.dim, dims, sample, strict=True)
    ):
        if dim.dim_value == size:
            continue
        was = str(dim.dim_value) if dim.dim_value > 0 else f"'{dim.dim_param or '?'}'"
        why = "the batch" if i == 0 else "as given" if known else "as in the samples"
        notes.append(f"dimension {i} of input '{value.name}' was {was} and is {size} ({why})")
        dim.dim_value = size
    return notes


def _with_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if versions.get("", versions.get("ai.onnx", 0)) >= PER_CHANNEL_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, TARGET_OPSET)
    except (RuntimeError, ValueError, IndexError) as error:
        raise UnsupportedError(
            f"operator set must be {PER_CHANNEL_OPSET} or later, and onnx cannot convert this "
            f"model ({error}); export it again with opset_version={TARGET_OPSET}"
        ) from error


def _optimized(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnxruntime

    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = _ERRORS_ONLY
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(out)
        try:
            runtime.InferenceSession(
                model.SerializeToString(),
                options,
                # Sharing would rename what the user named.
                disabled_optimizers=["ConstantSharing"],
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:
            text = " ".join(str(error).split())
            raise UnsupportedError(
                f"model must run in onnxruntime, which refuses it: {text}"
            ) from error
        made = onnx.ModelProto.FromString(out.read_bytes())
    standard = [entry for entry in made.opset_import if entry.domain in ("", "ai.onnx")]
    del made.opset_import[:]
    made.opset_import.extend(standard)
    return made
