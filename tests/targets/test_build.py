"""Bundles: what build puts in, that it does so twice alike, and what random vectors are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from built_bundles import middle_plan, need_target
from integer_graphs import NETWORKS
from qdq_models import network, write

from joulecut.compiler.config import BuildConfig, CodecConfig
from joulecut.compiler.cut import cuts
from joulecut.compiler.errors import ConfigError, CutError
from joulecut.compiler.feeds import random_feeds
from joulecut.compiler.graph import input_specs, output_specs
from joulecut.compiler.load import load
from joulecut.compiler.pipeline import pipeline
from joulecut.compiler.reference import run_reference
from joulecut.targets import layout
from joulecut.targets.build import build


@pytest.mark.parametrize("name", NETWORKS)
def test_random_feeds_fit_their_graph_and_its_quantizers(name: str):
    graph = NETWORKS[name]()
    feeds = random_feeds(graph, 3, seed=1)
    for spec in input_specs(graph):
        assert feeds[spec.name].shape == (3, *spec.shape[1:])
        assert feeds[spec.name].dtype.name == spec.dtype
    again = random_feeds(graph, 3, seed=1)
    assert all((feeds[key] == again[key]).all() for key in feeds)
    assert np.isfinite(run_reference(graph, feeds)[0]).all()


def test_random_integers_stay_in_range():
    plan = middle_plan(NETWORKS["conv1d"]())
    for spec in plan.cloud.inputs:
        assert spec.qtype is not None
        feed = random_feeds(plan.cloud.graph, 50)[spec.name]
        assert spec.qtype.low <= feed.min()
        assert feed.max() <= spec.qtype.high


def test_a_bundle_holds_parts_graphs_vectors_and_versions(tmp_path: Path):
    need_target("x86_64")
    plan = middle_plan(NETWORKS["conv1d"]())
    bundle = build(plan, edge="x86_64", out=tmp_path / "b.zip", source=b"source", vectors=5)
    for side in layout.SIDES:
        for file in ("graph.onnx", "libmodel.so", "model", "model.h", "layers.json"):
            assert f"{side}/{file}" in bundle.files
    assert bundle.open(layout.SOURCE) == b"source"
    assert set(bundle.manifest["tools"]) >= {"joulecut", "apache-tvm", "apache-tvm-ffi"}
    inputs = layout.read_vectors(bundle, "inputs", input_specs(plan.whole))
    outputs = layout.read_vectors(bundle, "outputs", output_specs(plan.whole))
    expected = run_reference(plan.whole, inputs)
    for spec, array in zip(output_specs(plan.whole), expected, strict=True):
        np.testing.assert_array_equal(outputs[spec.name], array)
    assert len(next(iter(inputs.values()))) == 5


def test_two_builds_are_equal_and_another_codec_is_another_bundle(tmp_path: Path):
    need_target("x86_64")
    plan = middle_plan(NETWORKS["two_inputs"]())
    first, second = (build(plan, edge="x86_64", out=tmp_path / name) for name in ("a", "b"))
    lossy = CodecConfig(quantizer="sq", bits=4)
    other = build(plan, edge="x86_64", out=tmp_path / "c", codec=lossy)
    assert first.digest == second.digest != other.digest


def test_a_configuration_builds_what_it_says(tmp_path: Path):
    need_target("x86_64")
    model = write(network("convnet", dialect="QDQ"), tmp_path)
    cut = cuts(pipeline(load(model)))[-1]
    config = BuildConfig(
        model=model, cut=list(cut.tensors), edge="x86_64", out=tmp_path / "out", vectors=1
    )
    steps: list[str] = []
    bundle = build(config, progress=steps.append)
    assert bundle.manifest["cut"]["tensors"] == list(cut.tensors)
    assert bundle.open(layout.SOURCE) == model.read_bytes()
    assert steps[0] == "import model.onnx"
    assert steps[-1] == "write the bundle"


def test_auto_takes_a_legal_cut(tmp_path: Path):
    need_target("x86_64")
    model = write(network("convnet"), tmp_path)
    bundle = build(BuildConfig(model=model, edge="x86_64", out=tmp_path / "out"))
    legal = {cut.tensors for cut in cuts(pipeline(load(model)))}
    assert tuple(bundle.manifest["cut"]["tensors"]) in legal


def test_an_illegal_cut_writes_nothing(tmp_path: Path):
    model = write(network("resnet"), tmp_path)
    config = BuildConfig(model=model, cut=["nowhere"], edge="x86_64", out=tmp_path / "out")
    with pytest.raises(CutError, match="'nowhere'"):
        build(config)
    assert not (tmp_path / "out").exists()


def test_out_must_be_named():
    with pytest.raises(ConfigError, match="out must name the bundle to write"):
        build(middle_plan(NETWORKS["conv1d"]()))
