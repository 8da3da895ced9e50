"""What LiteRT makes of a written file, beside the reference on the same integer Graph."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from graph_builder import GraphBuilder

from joulecut.compiler.errors import UnsupportedError
from joulecut.compiler.graph import Graph, input_specs
from joulecut.compiler.quant import QType
from joulecut.compiler.reference import run_reference

pytest.importorskip("ai_edge_litert", reason="pip install ai-edge-litert flatbuffers")

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SAMPLES = 8


class Builder(GraphBuilder):
    """Graphs that take codes."""

    def codes(self, *shape: int, signed: bool = True) -> ir.Value:
        """An input of 8-bit codes."""
        qtype = QType(8, signed, (0.05,), 5 if signed else 119)
        value = self._value(f"x{len(self._inputs)}", (1, *shape), qtype.dtype, qtype)
        self._inputs.append(value)
        self._rms[value] = 74.0  # of evenly spread codes
        return value


Made = Callable[[Builder], ir.Value]


def graph_of(made: Made) -> Graph:
    builder = Builder("net", 7)
    builder.output(made(builder))
    return builder.graph()


@pytest.fixture(scope="module")
def peers() -> Iterator[Any]:
    patch = pytest.MonkeyPatch()
    patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    names = ("writer", "draft")
    yield [importlib.import_module(f"peers.tflite_{name}") for name in names]
    patch.undo()


def apart(peers: Any, graph: Graph) -> tuple[np.ndarray, list[str]]:
    """Absolute differences of all outputs on random inputs, and LiteRT's operators."""
    from ai_edge_litert.interpreter import Interpreter

    writer, draft = peers
    interpreter: Any = Interpreter(model_content=writer.write_tflite(graph), num_threads=1)
    interpreter.allocate_tensors()
    operators = [entry["op_name"] for entry in interpreter._get_ops_details()]
    rng = np.random.default_rng(11)
    found: list[np.ndarray] = []
    for _ in range(SAMPLES):
        feeds = {
            spec.name: random_codes(rng, spec.shape, spec.dtype) for spec in input_specs(graph)
        }
        for detail, x in zip(interpreter.get_input_details(), feeds.values(), strict=True):
            interpreter.set_tensor(detail["index"], draft.channels_last(x))
        interpreter.invoke()
        (expected,) = run_reference(graph, feeds)
        (detail,) = interpreter.get_output_details()
        got = interpreter.get_tensor(detail["index"])
        assert got.shape == draft.in_memory(expected.shape)
        found.append(np.abs(got.astype(int) - draft.channels_last(expected)))
    return np.stack(found), operators


def random_codes(rng: np.random.Generator, shape: Sequence[int], dtype: str) -> np.ndarray:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)


# Names say what is special; all of these are exact.
SAME: dict[str, tuple[Made, list[str]]] = {
    "padding as SAME": (
        lambda b: b.requantize(b.conv(b.codes(5, 9, 8), 12, (3, 3), pads=(1, 1, 1, 1))),
        ["CONV_2D"],
    ),
    "unsigned, with a ReLU": (
        lambda b: b.requantize(
            b.conv(b.codes(5, 9, 8, signed=False), 12, (3, 3)),
            b.qtype(signed=False),
            relu=True,
        ),
        ["CONV_2D"],
    ),
    "padding more before than SAME": (
        lambda b: b.requantize(
            b.conv(b.codes(3, 12, 12), 8, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
        ),
        ["PAD", "CONV_2D"],
    ),
    "padding after alone, as SAME": (
        lambda b: b.requantize(
            b.conv(b.codes(3, 12, 12), 8, (3, 3), strides=(2, 2), pads=(0, 0, 1, 1))
        ),
        ["CONV_2D"],
    ),
    "a rest that no window reaches": (
        lambda b: b.requantize(b.conv(b.codes(3, 12, 11), 8, (5, 4), strides=(2, 3))),
        ["CONV_2D"],
    ),
    "dilated": (
        lambda b: b.requantize(
            b.conv(b.codes(3, 12, 11), 8, (3, 3), dilations=(2, 2), pads=(2, 2, 2, 2))
        ),
        ["CONV_2D"],
    ),
    "unsigned weights, no bias": (
        lambda b: b.requantize(
            b.conv(b.codes(3, 7, 6), 8, (3, 3), unsigned_weights=True, bias=False)
        ),
        ["CONV_2D"],
    ),
    "1-D": (
        lambda b: b.requantize(b.conv(b.codes(2, 64), 8, (7,), pads=(3, 3))),
        ["CONV_2D"],
    ),
    "two groups": (
        lambda b: b.requantize(b.conv(b.codes(8, 7, 6), 12, (3, 3), group=2)),
        ["CONV_2D"],
    ),
    "depthwise, three a channel": (
        lambda b: b.requantize(b.conv(b.codes(4, 7, 6), 12, (3, 3), group=4)),
        ["DEPTHWISE_CONV_2D"],
    ),
    "dense": (lambda b: b.requantize(b.matmul(b.codes(33), 10)), ["FULLY_CONNECTED"]),
    "dense after flattening": (
        lambda b: b.requantize(b.matmul(b.reshape(b.codes(4, 3, 5), (1, 60)), 10)),
        ["RESHAPE", "FULLY_CONNECTED"],
    ),
    "dense after flattening 1-D": (
        lambda b: b.requantize(b.matmul(b.reshape(b.codes(4, 5), (1, 20)), 10)),
        ["RESHAPE", "FULLY_CONNECTED"],
    ),
    "flattened for the caller": (
        lambda b: b.reshape(b.codes(4, 3, 5), (1, 60)),
        ["TRANSPOSE", "RESHAPE"],
    ),
    "reshaped": (
        lambda b: b.reshape(b.codes(4, 3, 6), (1, 6, 4, 3)),
        ["TRANSPOSE", "RESHAPE", "TRANSPOSE"],
    ),
    "unflattened": (lambda b: b.reshape(b.codes(24), (1, 2, 4, 3)), ["RESHAPE", "TRANSPOSE"]),
    "transposed": (lambda b: b.transpose(b.codes(4, 3, 6), (0, 2, 3, 1)), ["TRANSPOSE"]),
    "averaged and flattened": (
        lambda b: b.reshape(b.average_pool(b.codes(4, 9, 7), (9, 7)), (1, 4)),
        ["MEAN"],
    ),
    "averaged": (lambda b: b.average_pool(b.codes(4, 9, 7), (9, 7)), ["MEAN"]),
    "maximum": (lambda b: b.max_pool(b.codes(4, 9, 9), (2, 2), (2, 2)), ["MAX_POOL_2D"]),
    "maximum over a last window that is not full": (
        lambda b: b.max_pool(b.codes(4, 9, 9), (2, 2), (2, 2), ceil_mode=True),
        ["MAX_POOL_2D"],
    ),
    "maximum, padding more before than SAME": (
        lambda b: b.max_pool(b.codes(4, 10, 10), (3, 3), (2, 2), pads=(1, 1, 1, 1)),
        ["PADV2", "MAX_POOL_2D"],
    ),
    "maximum, 1-D": (lambda b: b.max_pool(b.codes(4, 10), (2,), (2,)), ["MAX_POOL_2D"]),
    "channels joined": (
        lambda b: b.concat([b.codes(4, 3, 3), b.codes(2, 3, 3)], 1),
        ["CONCATENATION"],
    ),
    "rows joined": (
        lambda b: b.concat([b.codes(4, 3, 3), b.codes(4, 2, 3)], 2),
        ["CONCATENATION"],
    ),
    "padded": (lambda b: b.pad(b.codes(4, 3, 3), (0, 0, 1, 2, 0, 0, 3, 0)), ["PAD"]),
    "padded, 1-D, channels too": (
        lambda b: b.pad(b.codes(4, 3), (0, 1, 1, 0, 0, 3)),
        ["PAD"],
    ),
    "renamed": (
        lambda b: b.identity(b.max_pool(b.codes(4, 9, 9), (2, 2), (2, 2))),
        ["MAX_POOL_2D"],
    ),
    "a sum": (
        lambda b: b.add([b.codes(4, 9, 9), b.codes(4, 9, 9, signed=False)], relu=True),
        ["ADD"],
    ),
    "a product": (
        lambda b: b.requantize(b.mul(b.codes(4, 9, 9), b.codes(4, 9, 9))),
        ["MUL"],
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_litert_computes_the_specification(peers: Any, name: str):
    made, operators = SAME[name]
    differences, found = apart(peers, graph_of(made))
    assert found == [*operators, "DELEGATE"]  # XNNPACK took all
    assert not differences.any()


@pytest.mark.parametrize("counted", [False, True])
def test_an_average_in_another_scale_is_rounded_twice(peers: Any, counted: bool):
    def made(b: Builder) -> ir.Value:
        pads = (1, 1, 1, 1)
        return b.average_pool(b.codes(4, 8, 8), (3, 3), pads=pads, count_include_pad=counted)

    differences, operators = apart(peers, graph_of(made))
    assert [name for name in operators if name != "DELEGATE"] == [
        *(["PAD"] if counted else []),
        "AVERAGE_POOL_2D",
        "QUANTIZE",
    ]
    assert differences.max() == 1
    assert 0 < np.count_nonzero(differences) < differences.size / 3


def test_a_change_of_scale_is_off_by_one_at_most(peers: Any):
    """XNNPACK multiplies by a fixed-point number with 8 bits behind the point."""
    differences, operators = apart(peers, graph_of(lambda b: b.requantize(b.codes(40, 30))))
    assert operators == ["QUANTIZE", "DELEGATE"]
    assert differences.max() <= 1


REAL: dict[str, Made] = {
    "a ReLU that the codes imply": lambda b: b.requantize(
        b.conv(b.codes(3, 9, 8, signed=False), 4, (3, 3), pads=(1, 1, 1, 1)),
        QType(8, False, (1.0,), 0),
        relu=True,
    ),
    "depthwise": lambda b: b.requantize(b.conv(b.codes(4, 7, 6), 8, (3, 3), group=4)),
    "dense after flattening": lambda b: b.requantize(
        b.matmul(b.reshape(b.codes(4, 3, 5), (1, 60)), 10)
    ),
    "an average, padding counted": lambda b: b.average_pool(
        b.codes(4, 8, 8), (3, 3), pads=(1, 1, 1, 1), count_include_pad=True
    ),
    "a maximum, padding more before than SAME": lambda b: b.max_pool(
        b.codes(4, 10, 10), (3, 3), (2, 2), pads=(1, 1, 1, 1)
    ),
    "joined in one scale": lambda b: b.concat(
        [b.codes(4, 3, 3), b.codes(2, 3, 3, signed=False)], 1
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_a_file_of_floats_is_what_the_integers_approximate(peers: Any, name: str):
    """Within the rounding of the one quantizer on the way, wherever that does not saturate."""
    from ai_edge_litert.interpreter import Interpreter

    writer, draft = peers
    graph = graph_of(REAL[name])
    file = writer.write_tflite(graph, real=True)
    interpreter: Any = Interpreter(model_content=file, num_threads=1)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(5)
    inputs = {
        spec.name: random_codes(rng, spec.shape, spec.dtype) for spec in input_specs(graph)
    }
    details = interpreter.get_input_details()
    for detail, value in zip(details, graph.graph.inputs, strict=True):
        x = draft.real_channels_last(inputs[str(value.name)], value)
        interpreter.set_tensor(detail["index"], x)
    interpreter.invoke()
    (codes,) = run_reference(graph, inputs)
    (value,) = graph.graph.outputs
    scale = draft.meaning_of(value).scale[0]
    low, high = (
        draft.real_channels_last(np.full((1,), end, codes.dtype), value)[0]
        for end in _ends(codes)
    )
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert got.dtype == np.float32
    expected = draft.real_channels_last(codes, value)
    np.testing.assert_allclose(np.clip(got, low, high), expected, atol=0.51 * scale)


def _ends(codes: np.ndarray) -> tuple[int, int]:
    limits = np.iinfo(codes.dtype)
    return limits.min, limits.max


REFUSED: dict[str, tuple[Made, str]] = {
    "sums that stay sums": (
        lambda b: b.add([b.conv(b.codes(4, 3, 3), 4, (1, 1)), b.codes(4, 3, 3)]),
        "it adds sums that were never rounded to 8 bits",
    ),
    "three operands": (
        lambda b: b.add([b.codes(4), b.codes(4), b.codes(4)]),
        "it must have two operands, not 3",
    ),
    "floats": (
        lambda b: b.quantize(b.input("x", (1, 4))),
        "x must be int8 or uint8, not float32",
    ),
    "floats at the end": (
        lambda b: b.dequantize(b.codes(4)),
        "outputs must be integers; take the last DequantizeLinear out",
    ),
    "few bits": (
        lambda b: b.requantize(b.matmul(b.codes(4), 3), b.qtype(4)),
        "it clamps to -8..7, which no activation function does",
    ),
    "slices": (
        lambda b: b.slice(b.codes(4, 3), 1, 0, 2),
        "LiteRT has no int8 operator for it",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_litert_cannot_say_is_named(peers: Any, name: str):
    made, reason = REFUSED[name]
    with pytest.raises(UnsupportedError) as caught:
        peers[0].write_tflite(graph_of(made))
    text = str(caught.value)
    assert text.startswith("LiteRT must take every layer:\n  ")
    assert f": {reason}; leave LiteRT out for this network" in text
