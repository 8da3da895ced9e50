"""Specs as plain values of a manifest, and back from a stranger's manifest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_graphs import NETWORKS, resnet8

from joulecut.compiler.cut import cut_at, cuts
from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.graph import spec_of, values
from joulecut.compiler.manifest import (
    plan_fields,
    spec_fields,
    spec_from_fields,
    specs_from_fields,
)
from joulecut.compiler.plan import partition
from joulecut.compiler.quant import QType, TensorSpec

SOUND: dict[str, Any] = spec_fields(TensorSpec("x", (1, 2), "int8", QType(8, True, (0.5,), 3)))


@pytest.mark.parametrize("name", NETWORKS)
def test_specs_of_networks_come_back(name: str) -> None:
    for value in values(NETWORKS[name]()):
        spec = spec_of(value)
        assert spec_from_fields(json.loads(json.dumps(spec_fields(spec)))) == spec


@given(
    st.integers(1, 8),
    st.booleans(),
    st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=4),
    st.integers(0, 3),
)
def test_any_spec_comes_back(bits: int, signed: bool, scale: list[float], axis: int) -> None:
    qtype = QType(bits, signed, tuple(scale), axis=axis)
    spec = TensorSpec("x", (1, 3), qtype.dtype.name, qtype)
    assert spec_from_fields(json.loads(json.dumps(spec_fields(spec)))) == spec


def test_plan_is_described() -> None:
    graph = resnet8()
    cut = cut_at(graph, ["n2.requantize", "n4.requantize"])
    targets = {"edge": "aarch64", "cloud": "x86_64"}
    fields = plan_fields(partition(graph, cut), cut, targets, {"entropy": "huffman"})
    assert fields["cut"]["tensors"] == ["n2.requantize", "n4.requantize"]
    assert fields["cut"]["bytes"] == 2 * 16 * 32 * 32
    assert fields["link"]["raw"] == []
    assert fields["link"]["codec"] == {"entropy": "huffman"}
    edge, cloud = fields["parts"]["edge"], fields["parts"]["cloud"]
    assert (edge["target"], cloud["target"]) == ("aarch64", "x86_64")
    assert edge["layers"][1] == {
        "name": "n2.requantize",
        "kind": "Conv+Requantize",
        "macs": 16 * 32 * 32 * 3 * 3 * 3,
    }
    assert sum(layer["macs"] for layer in cloud["layers"]) == fields["cut"]["cloud_macs"]
    assert cloud["inputs"] == fields["link"]["tensors"]
    assert cloud["outputs"][0]["qtype"] is None


def test_description_is_plain_json() -> None:
    graph = resnet8()
    for cut in cuts(graph):
        fields = plan_fields(partition(graph, cut), cut, {"edge": "a", "cloud": "b"}, {})
        assert json.loads(json.dumps(fields, allow_nan=False)) == fields


@pytest.mark.parametrize(
    "change",
    [
        {"name": 3},
        {"shape": None},
        {"shape": [1, -2]},
        {"shape": [1, 2.0]},
        {"shape": [True]},
        {"shape": [2**31]},
        {"dtype": "object"},
        {"dtype": ["int8"]},
        {"dtype": "uint8"},
        {"more": 1},
        {"qtype": {}},
        {"qtype": 7},
        {"qtype": {**SOUND["qtype"], "bits": 9}},
        {"qtype": {**SOUND["qtype"], "bits": "8"}},
        {"qtype": {**SOUND["qtype"], "signed": 1}},
        {"qtype": {**SOUND["qtype"], "scale": [float("inf")]}},
        {"qtype": {**SOUND["qtype"], "scale": []}},
        {"qtype": {**SOUND["qtype"], "scale": [10**400]}},
        {"qtype": {**SOUND["qtype"], "scale": ["x"]}},
        {"qtype": {**SOUND["qtype"], "zero_point": 300}},
        {"qtype": {**SOUND["qtype"], "axis": 1.5}},
    ],
)
def test_unsound_specs_are_refused(change: dict[str, Any]) -> None:
    assert spec_from_fields(SOUND)
    with pytest.raises(UntrustedInputError, match="tensor spec of a manifest must have a name"):
        spec_from_fields({**SOUND, **change})


@pytest.mark.parametrize("rows", [None, "x", {"name": "x"}, 3])
def test_specs_must_be_a_list(rows: object) -> None:
    with pytest.raises(UntrustedInputError, match="tensor specs of a manifest must be a list"):
        specs_from_fields(rows)


@pytest.mark.parametrize("row", [None, "spec", [], 3])
def test_a_spec_must_be_an_object(row: object) -> None:
    with pytest.raises(UntrustedInputError, match="tensor spec of a manifest"):
        specs_from_fields([row])
