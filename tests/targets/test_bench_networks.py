"""The networks of the speed bench on every target equal the reference in every layer."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cpu_parts import (
    Builder,
    require_runnable,
    run_here,
    run_program,
    with_code_of_their_own,
)

from joulecut.compiler.graph import Graph, input_specs
from joulecut.compiler.load import load
from joulecut.compiler.pipeline import pipeline
from joulecut.compiler.reference import trace
from joulecut.targets.base import Target, target, targets
from joulecut.targets.devices.native import runs_here

FOLDER = Path(__file__).parents[2] / "out" / "bench"
NETWORKS = (
    "amr_optimized",
    "amr_original",
    "digits",
    "ds_cnn",
    "efficientnet_lite0",
    "resnet8",
    "squeezenet",
    "vgg16_convs",
)


@cache
def known(name: str) -> tuple[Graph, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A network, an input and what the reference makes of it, layer by layer."""
    found = sorted(FOLDER.glob(f"{name}-*.onnx"))
    if not found:
        pytest.skip(f"{FOLDER} holds no {name}; make bench-cpu writes it")
    graph = pipeline(load(found[-1]))
    rng = np.random.default_rng(0)
    feeds: dict[str, np.ndarray] = {}
    for spec in input_specs(graph):
        limits = np.iinfo(spec.dtype)
        feeds[spec.name] = rng.integers(limits.min, limits.max, spec.shape, spec.dtype, True)
    return graph, feeds, trace(graph, feeds)


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("networks"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "place", with_code_of_their_own(targets()), ids=lambda place: place.name
)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer(name: str, place: Target, builder: Builder, tmp_path: Path) -> None:
    require_runnable(place)
    graph, feeds, expected = known(name)
    built = builder(graph, target(place.name))
    if runs_here(place):
        found = run_here(built, feeds)
    else:
        (found,) = run_program(built, place, [feeds], tmp_path)
    assert found
    for key, array in found.items():
        np.testing.assert_array_equal(array, expected[key], err_msg=key)
