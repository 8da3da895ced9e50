"""Graph files: deterministic, complete, and not believed before they are looked at."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import onnx
import onnx_ir as ir
import pytest
from integer_graphs import NETWORKS, conv1d, random_graph

from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.graph import Graph, name_of, values
from joulecut.compiler.graph_file import graph_from_bytes, graph_to_bytes
from joulecut.compiler.quant import QTYPE_KEY, qtype_of

GRAPHS: list[Callable[[], Graph]] = [
    *NETWORKS.values(),
    *(partial(random_graph, seed, floats=True) for seed in range(10)),
]


@pytest.mark.parametrize("make", GRAPHS)
def test_graphs_come_back(make: Callable[[], Graph]) -> None:
    graph = make()
    again = graph_from_bytes(graph_to_bytes(graph), "g")
    assert graph_to_bytes(again) == graph_to_bytes(graph) == graph_to_bytes(make())
    for before, after in zip(values(graph), values(again), strict=True):
        assert name_of(before) == name_of(after)
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
        assert qtype_of(before) == qtype_of(after)


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = onnx.load_model_from_string(graph_to_bytes(conv1d()))
    change(model)
    return model.SerializeToString(deterministic=True)


def make_external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")


def set_meaning(model: onnx.ModelProto, text: str) -> None:
    for value in model.graph.value_info:
        for entry in value.metadata_props:
            if entry.key == QTYPE_KEY:
                entry.value = text
                return
    raise AssertionError("no value has a meaning")


def drop_types(model: onnx.ModelProto) -> None:
    del model.graph.value_info[:]


def use_version_2(model: onnx.ModelProto) -> None:
    for entry in model.opset_import:
        if entry.domain == "joulecut":
            entry.version = 2


SIGNED = '{"bits":8,"signed":%s,"scale":[1.0],"zero_point":0,"narrow":false,"axis":null}'


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"hello", r"'g' must be an ONNX model, not other bytes"),
        (b"", r"'g' must use version 1 of the 'joulecut' operators, not None; build it again"),
        (
            changed(use_version_2),
            r"'g' must use version 1 of the 'joulecut' operators, not 2",
        ),
        (changed(make_external), r"of 'g' must be inside of the file, not external"),
        (
            changed(lambda m: set_meaning(m, "{")),
            r"joulecut\.qtype of '.*' in 'g' must describe",
        ),
        (changed(lambda m: set_meaning(m, "[]")), r"must describe integers"),
        (changed(lambda m: set_meaning(m, '{"scale": [1.0]}')), r"must describe integers"),
        (changed(lambda m: set_meaning(m, SIGNED % "false")), r"must be uint8 as its joulecut"),
        (changed(drop_types), r"of 'g' must have a type and a shape of numbers"),
        (changed(lambda m: m.graph.initializer[0].dims.append(3)), r"truncated or damaged"),
    ],
)
def test_unsound_graphs_are_refused(data: bytes, text: str) -> None:
    with pytest.raises(UntrustedInputError, match=text):
        graph_from_bytes(data, "g")


def test_size_is_capped() -> None:
    with pytest.raises(UntrustedInputError, match="must take at most 1000 bytes together"):
        graph_from_bytes(graph_to_bytes(conv1d()), "g", max_bytes=1000)


def test_truncated_files_are_refused() -> None:
    data = graph_to_bytes(conv1d())
    for end in range(0, len(data) - 1, len(data) // 50):
        with pytest.raises(UntrustedInputError):
            graph_from_bytes(data[:end], "g")


def test_float_values_have_no_meaning() -> None:
    graph = graph_from_bytes(graph_to_bytes(conv1d()), "g")
    assert qtype_of(graph.graph.inputs[0]) is None
    assert graph.graph.inputs[0].dtype == ir.DataType.FLOAT
