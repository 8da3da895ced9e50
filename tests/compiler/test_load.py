"""Loading: one normal form, every refusal by its text, every broken file refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from qdq_models import NETWORKS, QdqBuilder, network, write

from joulecut.compiler.errors import (
    ConfigError,
    JoulecutError,
    UnsupportedError,
    UntrustedInputError,
)
from joulecut.compiler.graph import int_of, ints_of, nodes, op_key, shape_of, values
from joulecut.compiler.load import dialect_of, load
from joulecut.compiler.quant import qtype_of

Damage = Callable[[onnx.ModelProto], None]


def small(dialect: str = "QCDQ") -> onnx.ModelProto:
    b = QdqBuilder(1, dialect=dialect)
    x = b.quantize(b.input("x", ("N", 4)), signed=False, bits=4)
    b.output(b.gemm(x, 3, 4, name="fc"))
    return b.model()


def tensor(model: onnx.ModelProto, name: str) -> TensorProto:
    return next(item for item in model.graph.initializer if item.name == name)


# What a sound file becomes


@pytest.mark.parametrize("dialect", ["QDQ", "QCDQ", "QONNX"])
@pytest.mark.parametrize("name", NETWORKS)
def test_dialects_are_recognized(name: str, dialect: str, tmp_path: Path):
    graph = load(write(network(name, dialect=dialect), tmp_path))
    assert dialect_of(graph) == dialect
    foreign = {"QuantizeLinear", "DequantizeLinear", "Identity", "Constant", "Flatten"}
    assert not {op_key(node) for node in nodes(graph)} & foreign
    for value in values(graph):
        assert all(size > 0 for size in shape_of(value))


@pytest.mark.parametrize(("given_name", "name"), [("main_graph", "digits"), ("mine", "mine")])
def test_a_graph_without_a_name_of_its_own_gets_that_of_its_file(
    given_name: str, name: str, tmp_path: Path
):
    model = small()
    model.graph.name = given_name
    assert load(write(model, tmp_path, "digits.onnx")).graph.name == name


@pytest.mark.parametrize("dialect", ["QCDQ", "QONNX"])
def test_bit_widths_survive(dialect: str, tmp_path: Path):
    graph = load(write(small(dialect), tmp_path))
    quantize = next(node for node in nodes(graph) if op_key(node) == "joulecut.Quantize")
    assert (int_of(quantize, "low"), int_of(quantize, "high")) == (0, 15)
    qtype = qtype_of(quantize.outputs[0])
    assert qtype is not None
    assert (qtype.bits, qtype.signed) == (4, False)
    weights = [
        qtype_of(node.inputs[0])
        for node in nodes(graph)
        if op_key(node) == "joulecut.Dequantize"
        if node.inputs[0] is not None and node.inputs[0].const_value is not None
    ]
    assert [(w.bits, w.narrow) for w in weights if w is not None] == [(8, True), (32, False)]


def test_the_batch_is_pinned(tmp_path: Path):
    path = write(small(), tmp_path)
    assert shape_of(load(path).graph.inputs[0]) == (1, 4)
    assert shape_of(load(path, batch=3).graph.inputs[0]) == (3, 4)
    with pytest.raises(ConfigError, match="batch must be 1 or more, not 0"):
        load(path, batch=0)


def test_auto_pad_is_resolved(tmp_path: Path):
    b = QdqBuilder()
    x = b.quantize(b.input("x", (1, 1, 6, 7)))
    b.output(b.conv(x, (2, 1, 3, 2), auto_pad="SAME_UPPER", strides=[2, 2]))
    graph = load(write(b.model(), tmp_path))
    conv = next(node for node in nodes(graph) if op_key(node) == "Conv")
    assert ints_of(conv, "pads") == (0, 0, 1, 1)


def test_a_shape_that_is_computed_is_resolved(tmp_path: Path):
    b = QdqBuilder()
    x = b.quantize(b.input("x", ("N", 2, 3)))
    shape = b.node("Shape", [x])
    batch = b.node("Gather", [shape, b.constant(np.array([0], np.int64))], axis=0)
    rest = b.constant(np.array([-1], np.int64))
    b.output(b.gemm(b.node("Reshape", [x, b.node("Concat", [batch, rest], axis=0)]), 3, 6))
    graph = load(write(b.model(), tmp_path))
    assert "Shape" not in {op_key(node) for node in nodes(graph)}
    assert "Reshape" in {op_key(node) for node in nodes(graph)}


def test_external_weights_are_read(tmp_path: Path):
    model = small()
    moved = onnx.ModelProto.FromString(model.SerializeToString())
    data = bytearray()
    for item in moved.graph.initializer:
        raw = numpy_helper.to_array(item).tobytes()
        item.ClearField("raw_data")
        item.data_location = TensorProto.EXTERNAL
        entries = {"location": "m.bin", "offset": str(len(data)), "length": str(len(raw))}
        for key, value in entries.items():
            item.external_data.add(key=key, value=value)
        data += raw
    (tmp_path / "m.bin").write_bytes(data)
    inside, outside = load(write(model, tmp_path)), load(write(moved, tmp_path, "m.onnx"))
    for a, b in zip(
        inside.graph.initializers.values(), outside.graph.initializers.values(), strict=True
    ):
        assert a.const_value is not None
        assert b.const_value is not None
        assert np.array_equal(a.const_value.numpy(), b.const_value.numpy())


# Sound models that joulecut cannot take


def test_all_unsupported_operators_are_listed_at_once(tmp_path: Path):
    b = QdqBuilder()
    x = b.node("Softmax", [b.quantize(b.input("x", (1, 4)))], "probabilities")
    b.output(b.node("Fancy", [b.node("Tanh", [x], "act")], "fancy", domain="acme"))
    with pytest.raises(UnsupportedError) as caught:
        load(write(b.model(), tmp_path))
    text = str(caught.value)
    assert "all operators of the model must be supported, and 3 are not:" in text
    assert "export the model without its final Softmax" in text
    assert "Tanh 'act_node': it has no integer form here; train with ReLU" in text
    assert "acme.Fancy 'fancy_node': operators of the domain 'acme' are not known" in text
    assert [finding.node for finding in caught.value.findings] == [
        "probabilities_node",
        "act_node",
        "fancy_node",
    ]


@pytest.mark.parametrize(
    ("op", "fix"),
    [
        ("ConvTranspose", "upsampling on the host"),
        ("Loop", "dynamo=False"),
        ("LSTM", "convolutions over time"),
        ("LayerNormalization", "BatchNormalization"),
        ("QLinearConv", "QDQ format"),
    ],
)
def test_the_nearest_fix_is_named(op: str, fix: str, tmp_path: Path):
    b = QdqBuilder()
    b.output(b.node(op, [b.quantize(b.input("x", (1, 4)))]))
    with pytest.raises(UnsupportedError, match=fix):
        load(write(b.model(), tmp_path))


def test_a_float_model_is_told_to_quantize(tmp_path: Path):
    b = QdqBuilder()
    b.output(b.conv_float(b.input("x", (1, 2, 4, 4)), (3, 2, 1, 1), "conv"))
    with pytest.raises(UnsupportedError, match="the model has no quantizers; quantize first"):
        load(write(b.model(), tmp_path))


def test_only_the_batch_may_be_dynamic(tmp_path: Path):
    b = QdqBuilder()
    b.output(b.quantize(b.input("x", ("N", 3, "H"))))
    with pytest.raises(UnsupportedError, match="dimension 2 of the input must be a number"):
        load(write(b.model(), tmp_path))


def test_activations_have_one_scale(tmp_path: Path):
    b = QdqBuilder()
    scales, zeros = b.constant(np.ones(3, np.float32)), b.constant(np.zeros(3, np.int8))
    codes = b.node("QuantizeLinear", [b.input("x", (1, 3)), scales, zeros], axis=1)
    b.output(b.node("DequantizeLinear", [codes, scales, zeros], axis=1))
    with pytest.raises(UnsupportedError, match="activations must have one scale"):
        load(write(b.model(), tmp_path))


def test_rounding_must_be_to_nearest(tmp_path: Path):
    model = small("QONNX")
    quant = model.graph.node[0]
    next(a for a in quant.attribute if a.name == "rounding_mode").s = b"FLOOR"
    with pytest.raises(UnsupportedError, match="must be ROUND, not FLOOR"):
        load(write(model, tmp_path))


# Broken and hostile files


def _set(name: str, array: Any) -> Damage:
    def damage(model: onnx.ModelProto) -> None:
        tensor(model, name).CopyFrom(numpy_helper.from_array(np.asarray(array), name))

    return damage


def _truncate_raw(model: onnx.ModelProto) -> None:
    weights = tensor(model, "weight_codes")
    weights.raw_data = weights.raw_data[:-1]


def _huge(model: onnx.ModelProto) -> None:
    weights = tensor(model, "weight_codes")
    del weights.dims[:]
    weights.dims.extend([2**40, 2**40])


def _negative(model: onnx.ModelProto) -> None:
    tensor(model, "weight_codes").dims[0] = -3


def _strings(model: onnx.ModelProto) -> None:
    tensor(model, "weight_codes").data_type = TensorProto.STRING


def _twice_a_tensor(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(tensor(model, "weight_codes"))


def _twice_a_value(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["fc"], ["fc"]))


def _dangling(model: onnx.ModelProto) -> None:
    model.graph.node[-1].input[0] = "nowhere"


def _cycle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "fc"


def _no_maker(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "nothing"


def _old(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 9


def _two_opsets(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("ai.onnx", 17))


def _nested(model: onnx.ModelProto) -> None:
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    for _ in range(6):
        node = helper.make_node("If", ["x"], ["y"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "g", [], [])
    model.graph.node.append(graph.node[0])


def _clash(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5


def _attribute(index: int, **fields: Any) -> Damage:
    def damage(model: onnx.ModelProto) -> None:
        node = model.graph.node[index]
        for key, value in fields.items():
            kept = [item for item in node.attribute if item.name != key]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute(key, value)])

    return damage


def _third_input(model: onnx.ModelProto) -> None:
    del model.graph.node[-1].input[1:]


def _external(location: str, **fields: str) -> Damage:
    def damage(model: onnx.ModelProto) -> None:
        weights = tensor(model, "weight_codes")
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **fields}.items():
            weights.external_data.add(key=key, value=value)

    return damage


DAMAGES: dict[str, tuple[Damage, str]] = {
    "attribute of another type": (
        _attribute(-1, transB="yes"),
        "attribute 'transB' of Gemm 'fc_node' must be INT, not STRING",
    ),
    "attribute unknown": (
        _attribute(-1, color=3),
        "'color' .* must be defined by the operator",
    ),
    "operand missing": (_third_input, "Gemm 'fc_node' must have 2 to 3 inputs, not 1"),
    "no outputs": (lambda m: m.graph.ClearField("output"), "graph must have an output"),
    "empty graph": (lambda m: m.graph.Clear(), "must contain a graph with nodes"),
    "raw data too short": (_truncate_raw, "must hold 12 bytes, not 11"),
    "product too large": (_huge, "must have fewer than 2\\^31 elements"),
    "negative size": (_negative, "dimensions of 'weight_codes' must be 0 or more"),
    "strings": (_strings, "must hold numbers, not ONNX data type 8"),
    "tensor twice": (_twice_a_tensor, "initializer 'weight_codes' must be defined once"),
    "value twice": (_twice_a_value, "value 'fc' must be defined once"),
    "dangling input": (_dangling, "input 'nowhere' of Gemm 'fc_node' must be defined"),
    "cycle": (_cycle, "graph must have no cycle"),
    "output from nowhere": (_no_maker, "output 'nothing' must be made by a node"),
    "old operator set": (_old, "ONNX operator set must be 11 to 24, not 9"),
    "two operator sets": (_two_opsets, "domain '' must be imported once"),
    "deep nesting": (_nested, "nested at most 4 deep"),
    "shapes that clash": (_clash, "shapes must agree along the graph"),
    "scale of zero": (
        _set("x_quant_scale", np.float32(0)),
        "scale of QuantizeLinear .* must be finite and positive, not 0.0",
    ),
    "scale below zero": (_set("x_quant_scale", np.float32(-1)), "positive, not -1.0"),
    "infinite scale": (_set("x_quant_scale", np.float32(np.inf)), "positive, not inf"),
    "scale not a number": (_set("x_quant_scale", np.float32(np.nan)), "1 of its 1 are NaN"),
    "zero point of another type": (_set("x_quant_zero", np.int8(0)), "shapes must agree|zero"),
    "empty range": (_set("bound", np.uint8(99)), "range of Clip .* must not be empty"),
    "scales that do not fit": (
        _set("weight_scale", np.ones(2, np.float32)),
        "scale of DequantizeLinear .* must have 1 entry or one per index of axis 0",
    ),
    "climbing path": (_external("../w.bin"), "must stay in the model's folder"),
    "absolute path": (_external("/etc/passwd"), "must be relative"),
    "missing file": (_external("none.bin"), "must be a plain file"),
    "beyond the end": (_external("w.bin", offset="95"), "must lie within the 100 bytes"),
    "huge offset": (_external("w.bin", offset="9" * 30), "must be a whole number"),
    "negative offset": (_external("w.bin", offset="-1"), "must be a whole number"),
    "wrong length": (_external("w.bin", length="13"), "must be 12 bytes long, not 13"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_models_are_refused(name: str, tmp_path: Path):
    damage, message = DAMAGES[name]
    model = small()
    load(write(model, tmp_path))  # sound before
    damage(model)
    (tmp_path / "w.bin").write_bytes(bytes(100))
    with pytest.raises(UntrustedInputError, match=message) as caught:
        load(write(model, tmp_path))
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("x_quant_bits", 0, "bit width of Quant .* must be one whole number from 1 to 32"),
        ("x_quant_bits", 2.5, "bit width of Quant"),
        ("x_quant_bits", 64, "bit width of Quant"),
        ("x_quant_bits", np.inf, "bit width of Quant"),
        ("x_quant_zero", 99, "zero point of Quant .* must be in 0..15, not"),
        ("x_quant_scale", -1, "scale of Quant .* must be finite and positive"),
    ],
)
def test_quant_nodes_are_checked(field: str, value: float, message: str, tmp_path: Path):
    model = small("QONNX")
    _set(field, np.array(value, np.float32))(model)
    with pytest.raises(UntrustedInputError, match=message):
        load(write(model, tmp_path))


def test_names_must_be_text(tmp_path: Path):
    path = tmp_path / "m.onnx"
    path.write_bytes(small().SerializeToString().replace(b"weight_codes", b"weight\xffcodes"))
    with pytest.raises(UntrustedInputError, match="input must be UTF-8 text, not b'weight"):
        load(path)


def test_sizes_are_checked_before_parsing(tmp_path: Path):
    path = write(small(), tmp_path)
    with pytest.raises(UntrustedInputError, match="must be at most 10 bytes, not"):
        load(path, max_bytes=10)


def test_declared_tensors_count_before_they_are_read(tmp_path: Path):
    model = small()
    _external("w.bin")(model)
    weights = tensor(model, "weight_codes")
    weights.dims[0] = 2**28
    with pytest.raises(UntrustedInputError, match="'weight_codes' is the one that exceeds it"):
        load(write(model, tmp_path), max_bytes=2**20)


def test_what_is_no_model_is_refused(tmp_path: Path):
    path = tmp_path / "m.onnx"
    with pytest.raises(ConfigError, match="model must be a file"):
        load(path)
    path.write_bytes(b"\x89PNG\r\n" * 50)
    with pytest.raises(UntrustedInputError, match=r"do not parse|must contain a graph"):
        load(path)


def test_truncation_at_any_byte_is_refused(tmp_path: Path):
    data = small().SerializeToString()
    path = tmp_path / "m.onnx"
    for length in range(0, len(data) - 1, 7):
        path.write_bytes(data[:length])
        with pytest.raises(UntrustedInputError):
            load(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_changed_byte_never_raises_anything_else(position: int, byte: int, tmp_path: Path):
    data = bytearray(small().SerializeToString())
    data[position % len(data)] = byte
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    try:
        graph = load(path)
    except JoulecutError:
        return
    assert list(nodes(graph))
