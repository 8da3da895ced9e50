from __future__ import annotations

import numpy as np
import pytest
from integer_graphs import digits, feeds

from joulecut.compiler.graph import Graph, name_of, nodes
from joulecut.compiler.passes.shorten_names import ShortenNames
from joulecut.compiler.reference import run_reference


def named(*names: str) -> Graph:
    """The digit network; its first values after the input bear these names."""
    graph = digits()
    for node, name in zip(nodes(graph), names, strict=False):
        node.outputs[0].name = name
    return graph


def first_names(graph: Graph, count: int) -> list[str]:
    return [name_of(node.outputs[0]) for node in nodes(graph)][:count]


@pytest.mark.parametrize(
    ("exported", "short"),
    [
        ("/relu1/act_quant/export_handler/QuantizeLinear_output_0", "relu1"),
        ("/pool1/MaxPool_output_0_q", "pool1"),
        ("/blocks.0/conv/Conv_output_0_acc", "blocks.0/conv_acc"),
        ("/Add_output_0", "Add"),
        ("/pool/GlobalAveragePool_output_0_QuantizeLinear_Output", "pool"),
        ("/Add_output_0_q_2", "Add"),
        ("conv1", "conv1"),
        ("/left/alone", "/left/alone"),
    ],
)
def test_exported_names_become_module_names(exported: str, short: str):
    assert first_names(ShortenNames()(named(exported)), 1) == [short]


def test_a_taken_name_gets_its_operator_then_stays_long():
    long = ("/fc/MatMul_output_0", "/fc/Relu_output_0", "/fc/Relu_output_1")
    assert first_names(ShortenNames()(named(*long)), 3) == [
        "fc",
        "fc/Relu",
        "/fc/Relu_output_1",
    ]


def test_a_name_that_another_value_has_is_not_taken():
    assert first_names(ShortenNames()(named("/x/Quant_output_0", "x/Quant")), 1) == [
        "/x/Quant_output_0"
    ]


def test_inputs_and_outputs_keep_their_names():
    before = digits()
    before.graph.inputs[0].name = "/in/Identity_output_0"
    before.graph.outputs[0].name = "/out/Dequantize_output_0"
    after = ShortenNames()(before)
    assert name_of(after.graph.inputs[0]) == "/in/Identity_output_0"
    assert name_of(after.graph.outputs[0]) == "/out/Dequantize_output_0"


def test_it_changes_neither_the_old_graph_nor_any_number():
    before = named("/q/QuantizeLinear_output_0", "/c/Conv_output_0_acc", "/r/Relu_output_0")
    names = first_names(before, 3)
    after = ShortenNames()(before)
    assert first_names(before, 3) == names
    assert first_names(after, 3) == ["q", "c_acc", "r"]
    given = feeds(before)
    np.testing.assert_array_equal(
        run_reference(after, given)[0], run_reference(before, given)[0]
    )


def test_it_is_idempotent():
    once = ShortenNames()(named("/q/QuantizeLinear_output_0"))
    assert first_names(ShortenNames()(once), 9) == first_names(once, 9)
