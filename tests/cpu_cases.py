"""One-operator cases for the kernels, many in one graph so that they build together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from joulecut.compiler.graph import DOMAIN, DOMAIN_VERSION, Graph, input_specs
from joulecut.compiler.quant import TensorSpec
from joulecut.compiler.reference import evaluate

Attributes = Mapping[str, int | float | str | Sequence[int]]


class Cases:
    """Collects nodes; each is an output of the graph under the name of its case."""

    def __init__(self, seed: int | Sequence[int] = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self._inputs: list[ir.Value] = []
        self._nodes: list[ir.Node] = []
        self._outputs: list[ir.Value] = []
        self._constants: list[ir.Value] = []
        self._samples: dict[ir.Value, np.ndarray] = {}

    def input(self, shape: Sequence[int], dtype: str = "int8") -> ir.Value:
        """An input of the graph; integers take their whole range, floats are normal."""
        value = self._value(f"in{len(self._inputs)}", shape, dtype)
        self._inputs.append(value)
        self._samples[value] = numbers(self.rng, shape, dtype)
        return value

    def constant(self, array: np.ndarray) -> ir.Value:
        """An initializer."""
        value = self._value(f"const{len(self._constants)}", array.shape, array.dtype.name)
        value.const_value = ir.tensor(array, name=value.name)
        self._constants.append(value)
        self._samples[value] = array
        return value

    def node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Attributes,
        *,
        name: str = "",
        domain: str = DOMAIN,
        shape: Sequence[int] = (),
    ) -> ir.Value:
        """A node; the reference says what shape and type it has."""
        dtype = attributes.get("dtype")
        if isinstance(dtype, str):  # ONNX's number in the graph, numpy's name in the tests
            attributes = {**attributes, "dtype": ir.DataType.from_numpy(np.dtype(dtype)).value}
        output = ir.val(name or f"v{len(self._nodes)}", ir.DataType.FLOAT, list(shape))
        made = ir.node(
            op_type, inputs, attributes, domain=domain, outputs=[output], name=f"n{output.name}"
        )
        result = evaluate(made, [None if v is None else self._samples[v] for v in inputs])
        output.shape = ir.Shape(list(result.shape))
        output.dtype = ir.DataType.from_numpy(result.dtype)
        self._nodes.append(made)
        self._samples[output] = result
        if name:
            self._outputs.append(output)
        return output

    @property
    def count(self) -> int:
        """Nodes so far."""
        return len(self._nodes)

    @property
    def last(self) -> ir.Value:
        """What the last node makes."""
        return self._nodes[-1].outputs[0]

    def requantize(
        self,
        x: ir.Value,
        name: str,
        *,
        axis: int = 1,
        dtype: str = "int8",
        x_zero_point: int | None = None,
    ) -> None:
        """A Requantize that uses the whole range of `dtype`, a multiplier per channel."""
        sample = self._samples[x]
        channels = sample.shape[axis]
        spread = max(float(np.abs(sample.astype(np.float64)).max()), 1.0)
        multiplier = (self.rng.uniform(20, 140, [channels]) / spread).astype(np.float32)
        limits = np.iinfo(dtype)
        attributes = {
            "axis": axis,
            "x_zero_point": int(self.rng.integers(-3, 4))
            if x_zero_point is None
            else x_zero_point,
            "zero_point": int(self.rng.integers(limits.min, limits.max)),
            "low": limits.min + int(self.rng.integers(3)),
            "high": limits.max - int(self.rng.integers(3)),
            "dtype": dtype,
        }
        self.node("Requantize", [x, self.constant(multiplier)], attributes, name=name)

    def graph(self) -> Graph:
        """All cases."""
        graph = ir.Graph(
            self._inputs,
            self._outputs,
            nodes=self._nodes,
            initializers=self._constants,
            opset_imports={"": 21, DOMAIN: DOMAIN_VERSION},
            name="cases",
        )
        return ir.Model(graph, ir_version=10)

    def _value(self, name: str, shape: Sequence[int], dtype: str) -> ir.Value:
        kind = ir.DataType.from_numpy(np.dtype(dtype))
        return ir.Value(name=name, shape=ir.Shape(list(shape)), type=ir.TensorType(kind))


def numbers(rng: np.random.Generator, shape: Sequence[int], dtype: str) -> np.ndarray:
    """The whole range of an 8-bit type, a wide one of int32, normal floats."""
    if dtype == "float32":
        return rng.standard_normal(shape).astype(np.float32) * np.float32(3)
    if dtype == "int32":
        return rng.integers(-(10**6), 10**6, shape).astype(np.int32)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


def samples(graph: Graph, count: int) -> list[dict[str, np.ndarray]]:
    """Feeds: random ones, then all lowest, then all highest numbers."""
    specs = input_specs(graph)
    rng = np.random.default_rng(count)
    return [
        *({s.name: numbers(rng, s.shape, s.dtype) for s in specs} for _ in range(count)),
        *({s.name: _extreme(s, pick) for s in specs} for pick in ("min", "max")),
    ]


def _extreme(spec: TensorSpec, pick: str) -> np.ndarray:
    number = getattr(np.iinfo(spec.dtype), pick) if spec.dtype in ("int8", "uint8") else 1000
    return np.full(spec.shape, number, spec.dtype)
