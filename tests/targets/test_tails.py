"""Accuracy of a cut and coded network is that of its parts by the reference."""

from __future__ import annotations

import numpy as np
import pytest
from cpu_parts import require_runnable, require_tools
from integer_graphs import NETWORKS

from joulecut.compiler.config import CodecConfig
from joulecut.compiler.cut import cuts
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, input_specs
from joulecut.compiler.link_code import frozen
from joulecut.compiler.plan import partition
from joulecut.compiler.reference import run_reference
from joulecut.targets.base import target
from joulecut.targets.tails import Tails

COARSE = CodecConfig(quantizer="sq", bits=1)
COUNT = 24


@pytest.fixture(autouse=True)
def _able():
    place = target("x86_64")
    require_tools(place)
    require_runnable(place)


def samples(graph: Graph) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        spec.name: rng.standard_normal((COUNT, *spec.shape[1:])).astype(np.float32)
        for spec in input_specs(graph)
    }


@pytest.mark.parametrize("name", ["digits", "two_inputs"])
def test_it_is_what_the_parts_give_by_the_reference(name: str):
    graph = NETWORKS[name]()
    feeds = samples(graph)
    labels = run_reference(graph, feeds)[0].reshape(COUNT, -1).argmax(axis=1)
    labels[::5] = (labels[::5] + 1) % 3
    tails = Tails(graph, feeds, labels, target("x86_64"))
    found = [cut for cut in cuts(graph, limit=40) if cut.specs[0].dtype != "int32"]
    found = found[:: max(1, len(found) // 4)]
    for cut in found:
        plan = partition(graph, cut)
        inputs = {spec.name: feeds[spec.name] for spec in plan.edge.inputs}
        made = run_reference(plan.edge.graph, inputs)
        known = dict(feeds) | {
            spec.name: array for spec, array in zip(plan.edge.outputs, made, strict=True)
        }
        fit = {spec.name: known[spec.name][: COUNT // 2] for spec in cut.specs}
        code = frozen(cut.specs, fit, COARSE)
        sent = [
            code.unpack(code.pack([known[spec.name][i : i + 1] for spec in cut.specs]))
            for i in range(COUNT)
        ]
        for at, spec in enumerate(cut.specs):
            known[spec.name] = np.concatenate([row[at] for row in sent])
        cloud = {spec.name: known[spec.name] for spec in plan.cloud.inputs}
        out = run_reference(plan.cloud.graph, cloud)[0].reshape(COUNT, -1)
        expected = float((out.argmax(axis=1) == labels).mean())
        assert tails(cut, COARSE).value == expected


def test_without_loss_it_is_that_of_the_whole():
    graph = NETWORKS["digits"]()
    feeds = samples(graph)
    labels = run_reference(graph, feeds)[0].reshape(COUNT, -1).argmax(axis=1)
    labels[:6] = (labels[:6] + 1) % 10
    tails = Tails(graph, feeds, labels, target("x86_64"))
    assert tails.whole.value == (COUNT - 6) / COUNT
    assert tails(cuts(graph)[3], CodecConfig()) == tails.whole


def test_without_labels_it_is_agreement():
    graph = NETWORKS["digits"]()
    tails = Tails(graph, samples(graph), None, target("x86_64"))
    assert tails.whole.value == 1
    assert (tails.wanted == run_reference(graph, samples(graph))[0].argmax(axis=1)).all()


def test_what_was_measured_is_not_measured_again():
    graph = NETWORKS["digits"]()
    said: list[str] = []
    tails = Tails(graph, samples(graph), None, target("x86_64"), said.append)
    cut = cuts(graph)[4]
    first = tails(cut, COARSE)
    assert tails(cut, COARSE) == first
    assert len(said) == 1
    assert f"accuracy at {cut.tensors[0]}, sq 1 bits" in said[0]


def test_labels_must_be_as_many_as_samples():
    graph = NETWORKS["digits"]()
    with pytest.raises(ConfigError, match="labels must be one for each of 24 samples"):
        Tails(graph, samples(graph), np.zeros(3, np.int64))
