"""A quantized network written down operator by operator as a .tflite file, without TensorFlow.

The layout is TensorFlow Lite's schema version 3 (schema.fbs), through the classes that
ai-edge-litert generates from it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from joulecut.compiler.errors import DeviceError

Ints = Sequence[int]

# The first versions of the operators that take int8 with a scale per channel, or int8 at all
# (tensorflow/lite/tools/versioning/op_version.cc).
_VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "RESHAPE": 1,
}
_INT8_VERSION = 2
# Operators whose options have another name than CamelCase of the operator.
_OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "CONCATENATION": "ConcatenationOptions",
    "PADV2": "PadV2Options",
}


class TfliteFile:
    """One subgraph under construction; tensors are named by the index that `tensor` returns."""

    def __init__(self) -> None:
        try:
            self._schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
        except ImportError as error:
            raise DeviceError(
                "ai-edge-litert must be installed to write .tflite files, and is not; "
                "run pip install ai-edge-litert==2.3.0 flatbuffers"
            ) from error
        self._model = self._schema.ModelT()
        self._model.version = 3
        self._model.buffers = [self._schema.BufferT()]  # the first stands for no data
        self._graph = self._schema.SubGraphT()
        self._graph.name = b"main"
        self._graph.tensors, self._graph.operators = [], []
        self._codes: list[str] = []
        self.shapes: list[tuple[int, ...]] = []

    def tensor(
        self,
        shape: Ints,
        dtype: str,
        *,
        scale: npt.ArrayLike | None = None,
        zero_point: int = 0,
        axis: int = 0,
        data: npt.NDArray[Any] | None = None,
    ) -> int:
        """Add a tensor.

        Args:
            shape: as it lies in memory.
            dtype: `int8`, `int32` or `float32`.
            scale: one number, or one per channel along `axis`.
            zero_point: of every channel.
            axis: of the channels.
            data: for a constant.
        """
        made = self._schema.TensorT()
        made.name = f"t{len(self.shapes)}".encode()
        made.shape = np.array(shape, np.int32)
        made.type = getattr(self._schema.TensorType, dtype.upper())
        made.buffer = 0 if data is None else self._buffer(data.astype(dtype))
        if scale is not None:
            meaning = self._schema.QuantizationParametersT()
            meaning.scale = np.atleast_1d(np.asarray(scale, np.float32))
            meaning.zeroPoint = np.full(len(meaning.scale), zero_point, np.int64)
            meaning.quantizedDimension = axis
            made.quantization = meaning
        self._graph.tensors.append(made)
        self.shapes.append(tuple(shape))
        return len(self._graph.tensors) - 1

    def ints(self, values: npt.ArrayLike) -> int:
        """A constant int32 tensor: a shape, axes or paddings."""
        array = np.asarray(values, np.int32)
        return self.tensor(array.shape, "int32", data=array)

    def operator(
        self, code: str, inputs: Ints, output: int, options: Mapping[str, object] | None = None
    ) -> int:
        """Add an operator.

        Args:
            code: its name in the schema's BuiltinOperator.
            inputs: tensors.
            output: a tensor, which is returned.
            options: fields of its options.
        """
        if code not in self._codes:
            self._codes.append(code)
        table = _OPTIONS.get(code, code.title().replace("_", "") + "Options")
        made = self._schema.OperatorT()
        made.opcodeIndex = self._codes.index(code)
        made.inputs = np.array(inputs, np.int32)
        made.outputs = np.array([output], np.int32)
        made.builtinOptionsType = getattr(self._schema.BuiltinOptions, table)
        made.builtinOptions = getattr(self._schema, f"{table}T")()
        for field, value in (options or {}).items():
            assert hasattr(made.builtinOptions, field), f"{table} has no {field}"
            setattr(made.builtinOptions, field, value)
        self._graph.operators.append(made)
        return output

    def build(self, inputs: Ints, outputs: Ints) -> bytes:
        """The file."""
        import flatbuffers

        self._graph.inputs = np.array(inputs, np.int32)
        self._graph.outputs = np.array(outputs, np.int32)
        self._model.subgraphs = [self._graph]
        self._model.operatorCodes = [self._operator_code(code) for code in self._codes]
        builder: Any = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _buffer(self, data: npt.NDArray[Any]) -> int:
        made = self._schema.BufferT()
        made.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        self._model.buffers.append(made)
        return len(self._model.buffers) - 1

    def _operator_code(self, name: str) -> Any:
        made = self._schema.OperatorCodeT()
        made.builtinCode = getattr(self._schema.BuiltinOperator, name)
        made.deprecatedBuiltinCode = min(made.builtinCode, 127)  # PLACEHOLDER_FOR_GREATER
        made.version = _VERSIONS.get(name, _INT8_VERSION)
        return made
